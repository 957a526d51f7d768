"""One line to a venue: a session, its decoder, and what that needs from elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import numpy as np

from pipeline.records import MARKET
from pipeline.vocabulary import MarketKind
from workers._native import Arbiter, Line, Outbox, Recorder, Sink
from workers.feed import decoding
from workers.feed.capture import END
from workers.feed.decoding import WISHES, BookState, PlainError, StaleReason, Verdict, WishKind
from workers.feed.missing import ANY, MissingTrades
from workers.feed.rest import Rest, RestError
from workers.feed.session import Session
from workers.feed.venue import Allowance, Notice, Venue, jittered

_log = logging.getLogger("bot4.feed")

_LOG_EVERY_NS = 60_000_000_000
_AGAIN_S = 0.25  # after a request failed; doubles
_AGAIN_MOST_S = 2.0
_LEAST_S = 0.5  # between two requests for a new snapshot of one book
_ALL = -1  # instruments
_SHOWN = 200  # characters of a message


class Connection:
    """Reads one line, made again whenever it is lost, and tells the arbiter what it says.

    `settle` is called whenever the outbox has something left; `told` after each message. A decoder
    outlives the connections: it knows which trades were told.
    """

    def __init__(
        self,
        venue: Venue,
        arbiter: Arbiter,
        outbox: Outbox,
        rest: Rest,
        *,
        settle: Callable[[], None],
        told: Callable[[], None] | None = None,
        connected: Callable[[], None] = lambda: None,
        farewell: Callable[[], None] = lambda: None,
        seed: int = 0,
    ) -> None:
        self.decoder = venue.decoder()
        captured = venue.capture is not None
        self.session = Session(
            self._url_of_capture if captured else venue.url,
            self._on_frame if captured else self._on_message,
            on_connected=self._on_connected,
            on_lost=self._on_lost,
            on_disconnected=self._on_disconnected,
            may_dial=venue.connects.wait,
            timing=venue.timing,
            ping_text=venue.ping_text,
            ends_with=END if captured else None,
            seed=seed,
        )
        self._venue = venue
        self._arbiter = arbiter
        self._outbox = outbox
        self._line = Line(arbiter)
        self._scratch = Recorder()
        self._rest = rest
        self._settle = settle
        self._told = told
        self._connected = connected
        self._farewell = farewell
        self._decode = self.decoder.decode
        self._frames = 0  # of a capture, on this connection
        self._rows = [instrument.index for instrument in venue.instruments]
        self._fresh: set[int] = set()  # instruments whose first trades may be the past
        self._requests: deque[str] = deque()
        self._has_requests = asyncio.Event()
        self._messages = Allowance(*venue.limits.messages)
        self._fetching: dict[tuple[WishKind, int], asyncio.Task[None]] = {}
        self._missing = MissingTrades(
            venue, self._line, outbox, self._get, settle=settle, warn=self._warn
        )
        self._asked: dict[int, float] = {}  # when a book was asked for
        self._error: BaseException | None = None
        self._cause = ""  # of the last loss, or of why there is none yet
        self._shown_ns: dict[str, int] = {}

    @property
    def is_live(self) -> bool:
        """Whether all books hold; of a venue without books, whether it is connected."""
        if not self.session.is_connected:
            return False
        return not self._venue.has_books or all(map(self._holds, self._rows))

    def stop(self) -> None:
        """End `run` in order; nothing is told any more."""
        self.session.stop()

    def retire(self) -> None:
        """End `run` as another line has taken over, which is told so."""
        self.stop()
        self._lose(StaleReason.DISCONNECTED)

    def go_on_from(self, predecessor: Connection) -> None:
        """Have fetched what a line that has ended knew to be missing, and had no time for."""
        self._missing.add(predecessor._missing)
        if self.session.is_connected:  # else once it is
            self._fetch_missing()

    async def run(self) -> None:
        """Read until `stop`.

        Raises:
            Exception: what one of the callbacks raised.
        """
        keepers = [asyncio.create_task(self._send())]
        if self._venue.has_books:
            keepers.append(asyncio.create_task(self._watch()))
        for keeper in keepers:
            keeper.add_done_callback(self._done)
        try:
            await self.session.run()
        finally:
            keepers += self._fetching.values()
            for task in keepers:
                task.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        if self._error is not None:
            raise self._error

    # What the session says.

    def _url_of_capture(self) -> str:
        """Return the address from which a capture begins anew; what was told is sent at once."""
        self._frames = 0
        url = self._venue.url()
        return f"{url}{'&' if '?' in url else '?'}after={self._outbox.begin()}"

    def _on_frame(self, payload: memoryview, received_ns: int) -> None:
        self._frames += 1
        self._outbox.at(self._frames)
        self._on_message(payload, received_ns)

    def _on_message(self, payload: memoryview, received_ns: int) -> None:
        past = self._venue.past(payload, self._fresh) if self._fresh else ()
        sink = self._scratch if past else self._line
        code = self._decode(payload, received_ns, sink)
        if code:
            self._look(code, payload, received_ns, sink)
        if past:
            self._fresh.difference_update(past)
            self._tell_all_but_trades()
        if self._outbox.kept:
            self._settle()
        if self._told is not None:
            self._told()

    def _on_connected(self) -> None:
        self._connected()
        self._cause = ""
        self.decoder.connected()
        known = [row for row in self._rows if self._arbiter.last_trade(row)]
        for row in known:
            # As if it had come over this line: the next one shows whether one is missing.
            self.decoder.trade(row, self._arbiter.last_trade(row), 1, 1, 1, 0, 0, self._scratch)
        self._scratch.take()
        if self._venue.sends_past:
            # Of others the decoder has seen the past, and tells what came while there was no line.
            self._fresh = {
                row for row in self._rows if row not in known and not self.decoder.last_trade(row)
            }
        now = time.monotonic()
        self._asked = dict.fromkeys(self._rows, now)
        self._ask(*self._venue.subscriptions(known))
        if not self._venue.numbers_trades:
            for row in known:
                self._miss(row, self._arbiter.last_trade(row) + 1)
        self._fetch_missing()  # what the connection before had no time for
        if self._venue.finds_last:
            self._fetch(WishKind.TRADES, _ALL, self._missing.find_last(self._arbiter))

    def _on_lost(self, silent: bool) -> None:
        self._requests.clear()
        for task in self._fetching.values():
            task.cancel()
        self._fetching.clear()
        self._lose(StaleReason.SILENCE if silent else StaleReason.DISCONNECTED)

    def _on_disconnected(self, cause: str) -> None:
        if cause != self._cause:  # and not each attempt of a long outage
            self._cause = cause
            _log.warning("%s: the venue's connection was lost: %s", self._venue.name, cause)

    def _lose(self, reason: StaleReason) -> None:
        self.decoder.lost(reason, time.monotonic_ns(), self._line)
        if self._outbox.kept:
            self._settle()

    # What messages need.

    def _tell_all_but_trades(self) -> None:
        """Tell what a message with trades of the past has said besides: that books are stale."""
        records = np.frombuffer(self._scratch.take(), MARKET)
        for record in records[records["kind"] != MarketKind.TRADE]:
            self._line.tell(record)

    def _look(self, code: int, payload: memoryview, received_ns: int, sink: Sink) -> None:
        """See to a message that was not simply told."""
        verdict = code & ~WISHES
        if verdict == Verdict.FALLBACK:
            try:
                plain = decoding.plain(payload)
            except PlainError:
                self.decoder.refuse()
                verdict = Verdict.MALFORMED
            else:
                code = self.decoder.decode_again(plain, received_ns, sink)
                verdict = code & ~WISHES
        if verdict == Verdict.MALFORMED:
            self._warn("a message could not be read", bytes(payload[:_SHOWN]))
        elif verdict == Verdict.CONTROL:
            self._heed(bytes(payload))
        if code & WISHES:
            self._fulfil()

    def _heed(self, message: bytes) -> None:
        try:
            notice = self._venue.notice(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError):
            return
        if notice is Notice.REFUSAL:
            self._warn("a request was refused", message[:_SHOWN])
        elif notice is Notice.FAREWELL:
            self._farewell()

    def _fulfil(self) -> None:
        """See to what the decoder wishes."""
        again = []
        for kind, row, first, last in decoding.wishes(self.decoder):
            if kind == WishKind.SNAPSHOT:
                self._fetch(WishKind.SNAPSHOT, row, self._fetch_snapshot(row))
            elif kind == WishKind.TRADES:
                self._miss(row, first, last)
            elif time.monotonic() - self._asked[row] >= _LEAST_S:
                again.append(row)
        self._resubscribe(again)

    def _resubscribe(self, rows: list[int]) -> None:
        if rows:
            self._asked.update(dict.fromkeys(rows, time.monotonic()))
            self._ask(*self._venue.resubscriptions(rows))
            for row in rows:  # what made the book wrong may have cost trades as well
                if last := self._arbiter.last_trade(row):
                    self._miss(row, last + 1)

    def _ask(self, *requests: str) -> None:
        self._requests += requests
        self._has_requests.set()

    async def _send(self) -> None:
        """Send requests, no faster than the venue takes them."""
        while True:
            await self._has_requests.wait()
            while self._requests:
                if (pause := self._messages.wait()) > 0:
                    await asyncio.sleep(pause)
                elif self._requests:
                    self.session.send(self._requests.popleft())
            self._has_requests.clear()

    async def _watch(self) -> None:
        """Ask again for books that do not hold: what was asked for may have been lost."""
        patience = self._venue.patience
        while True:
            await asyncio.sleep(patience / 3)
            if not self.session.is_connected:
                continue
            for row, first, last in self._arbiter.take_gaps():
                self._miss(row, first, last)
            now = time.monotonic()
            overdue = [
                row
                for row in self._rows
                if not self._holds(row) and now - self._asked[row] >= patience
            ]
            if overdue and self._venue.snapshot_url(overdue[0]) is None:
                self._resubscribe(overdue)
            else:
                for row in overdue:
                    self._fetch(WishKind.SNAPSHOT, row, self._fetch_snapshot(row))

    def _holds(self, row: int) -> bool:
        return self.decoder.state(row) == BookState.LIVE

    # Over REST.

    def _miss(self, row: int, first: int, last: int = ANY) -> None:
        """Have trades with these ids fetched, as far as they were not told."""
        self._missing.note(row, first, last)
        self._fetch(WishKind.TRADES, row, self._missing.fetch(row))

    def _fetch_missing(self) -> None:
        for row in self._missing.rows:
            self._fetch(WishKind.TRADES, row, self._missing.fetch(row))

    def _fetch(self, kind: WishKind, row: int, fetch: Coroutine[Any, Any, None]) -> None:
        """Have something fetched, unless that is being done."""
        what = (kind, row)
        if what in self._fetching:
            fetch.close()
            return
        task = asyncio.create_task(fetch)
        self._fetching[what] = task

        def over(task: asyncio.Task[None]) -> None:
            if self._fetching.get(what) is task:
                del self._fetching[what]
            self._done(task)

        task.add_done_callback(over)

    def _done(self, task: asyncio.Task[None]) -> None:
        """End with the error of a task, if it has one."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self.session.stop()

    async def _get(self, url: str, wait: Callable[[], float], *, insists: bool = True) -> bytes:
        """Return an answer, however long that takes.

        Raises:
            RestError: the venue refuses to give it, and one does not insist.
        """
        pause = _AGAIN_S
        while True:
            try:
                return await self._rest.get(url, wait)
            except RestError as error:
                self._warn("a request failed", str(error))
                if error.refused and not insists:
                    raise
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, _AGAIN_MOST_S)

    async def _fetch_snapshot(self, row: int) -> None:
        url = self._venue.snapshot_url(row)
        assert url is not None
        while not self._holds(row):
            answer = await self._get(url, self._venue.snapshot_requests.wait)
            now = time.monotonic_ns()
            verdict, _ = decoding.snapshot(self.decoder, row, answer, now, self._line)
            if verdict == Verdict.OK:
                like = self._venue.after_snapshot(row, answer)
                if like is not None:
                    decoding.decode(self.decoder, like, now, self._line)
            else:
                self._warn("a snapshot could not be read", answer[:_SHOWN])
            self._fulfil()
            if self._outbox.kept:
                self._settle()
            if not self._holds(row):  # it was older than the first message, or is none
                await asyncio.sleep(jittered(_AGAIN_S))

    def _warn(self, what: str, detail: object) -> None:
        """Say that something is wrong, of each kind at most once a minute."""
        now = time.monotonic_ns()
        if now - self._shown_ns.get(what, -_LOG_EVERY_NS) >= _LOG_EVERY_NS:
            self._shown_ns[what] = now
            _log.warning("%s: %s: %s", self._venue.name, what, detail)
