"""The feed: the venue's messages in, market records out."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from typing import Any

from pipeline.instruments import instruments_from
from pipeline.runtime import collect_garbage
from shm import Segment
from shm._native import Wake
from workers._native import Publisher
from workers.feed.decode import DecodeError, Decoder, Quote, Trade
from workers.feed.session import Session
from workers.feed.streams import stream_url

_log = logging.getLogger("bot4.feed")

_BEAT_S = 0.1
_IDLE_MESSAGES = 200  # fewer between two beats leave time for a collection
_LOG_EVERY_NS = 60_000_000_000  # a malformed message is shown at most once a minute


class Feed:
    """Reads the combined stream of all instruments and publishes each message as one record.

    It goes on after the record that was published last, by whatever process: the simulator sends
    on from a position. If a ring is full it stops reading: the venue's messages wait in the socket.
    """

    def __init__(self, segment: Segment, config: Mapping[str, Any]) -> None:
        """Take the feed's roles in the segment."""
        self._segment = segment
        self._config = config
        self._instruments = instruments_from(config)
        self._last: int | None = config.get("run", {}).get("events")
        self._words = segment.words("feed.words")
        self._exchange = segment.words("exchange.words")
        self._counters = segment.counters_writer("feed.counters")
        self._doorbell = segment.doorbell("feed")
        self._publisher = Publisher(
            market=segment.producer("market").pointer,
            ta=segment.bell("ta").pointer,
            ticks=segment.producer("ticks").pointer,
            quotes=segment.table_writer("quotes").pointer,
            latency=segment.histograms_writer("feed.latency").pointer,
            words=self._words.pointer,
        )
        self._decoder = Decoder(self._instruments, microseconds=True)
        self._session = Session(
            self._url,
            self._on_message,
            on_connected=self._on_connected,
            on_disconnected=self._on_disconnected,
        )
        self._shown_ns = 0
        self._rows = [instrument.index for instrument in self._instruments]
        self._stopped = False

    async def run(self) -> None:
        """Read until SIGTERM, or until the run's last event is published."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        beats = asyncio.create_task(self._beat())
        try:
            while not (self._exchange.load("port") or self._stopped):
                await asyncio.sleep(0.005)
            if not self._is_finished():
                await self._session.run()
        finally:
            beats.cancel()
        if self._is_finished():
            self._segment.words("run").store("finished", 1)

    def _stop(self) -> None:
        self._stopped = True
        self._session.stop()

    def _is_finished(self) -> bool:
        return self._last is not None and self._publisher.position >= self._last

    def _url(self) -> str:
        return stream_url(
            f"ws://{self._config['exchange']['host']}:{self._exchange.load('port')}",
            [instrument.symbol for instrument in self._instruments],
            microseconds=True,
            after=self._publisher.position,
            count=self._last,
        )

    def _on_message(self, payload: memoryview, received_ns: int) -> None:
        self._counters.add("messages")
        try:
            message = self._decoder.decode(payload)
        except DecodeError as error:
            self._counters.add("malformed")
            if received_ns - self._shown_ns >= _LOG_EVERY_NS:
                self._shown_ns = received_ns
                _log.warning("a message could not be read: %s", error)
            return
        if message is None:
            self._counters.add("unknown")
            return
        if not self._publish(message, received_ns):
            self._counters.add("full")
            while not self._publish(message, received_ns):
                # The consumer's commit rings. A signal does, too: what was received is then dropped
                # here, unpublished, and the venue sends it again from the last position.
                if self._doorbell.wait(_BEAT_S) is Wake.SIGNAL:
                    self._session.stop()
                    return
                self._words.store("beat", time.monotonic_ns())
        if self._is_finished():
            self._session.stop()

    def _publish(self, message: Trade | Quote, received_ns: int) -> bool:
        if isinstance(message, Trade):
            return self._publisher.trade(
                message.instrument,
                message.price,
                message.quantity,
                message.aggressor,
                message.venue_ns,
                received_ns,
                message.trade_id,
                message.position,
            )
        return self._publisher.quote(
            message.instrument,
            message.bid,
            message.bid_quantity,
            message.ask,
            message.ask_quantity,
            0,
            received_ns,
            message.update_id,
            message.position,
        )

    def _on_connected(self) -> None:
        self._counters.add("connects")

    def _on_disconnected(self, cause: str) -> None:
        _log.warning("the venue's connection was lost: %s", cause)

    async def _beat(self) -> None:
        while True:
            self._words.store("beat", time.monotonic_ns())
            self._publisher.heard(self._session.heard_ns, self._rows)
            messages = self._session.counts.messages
            await asyncio.sleep(_BEAT_S)
            collect_garbage(idle=self._session.counts.messages - messages < _IDLE_MESSAGES)
