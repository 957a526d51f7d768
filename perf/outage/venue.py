"""The venue of the measurement: the simulated exchange, a process that can fail in four ways."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final, Self

from perf.transports.standard import context
from pipeline.instruments import Instrument
from pipeline.process import become_worker
from workers.exchange.history import History
from workers.exchange.listing import Listing, listings_from
from workers.exchange.market import SeededMarket
from workers.exchange.run import Options, run_alone

HOST: Final = "127.0.0.1"
RATE: Final = 300
"""Market events a second, half of them trades, evenly among the instruments."""

REPLAYED: Final = 1000
"""Trades of an instrument that the venue still tells: the most of one request for the latest."""

OUTAGES: Final = {
    "reset": "connections are reset, and new ones refused",
    "black_hole": "nothing comes or goes; who connects is not answered",
    "half_open": "connections stay open and are dead, and new ones are refused",
    "restart": "kill -9; another process goes on with the market on the same port",
}
"""The kinds of outages, and what each of them is."""

JITTER: Final = "jitter"
"""No outage: the venue can be reached, but badly."""

_FAULTS = {
    "reset": "reset,refuse",
    "black_hole": "black-hole",
    "half_open": "half-open,refuse",
    JITTER: "latency=20ms,jitter=50ms,drop=0.01",
}
_PATHS = {"binance": "", "kraken": "/v2", "coinbase": "/coinbase"}
_BETWEEN = {"binance": "", "kraken": "/", "coinbase": "-"}
VENUES: Final = tuple(_PATHS)

_INSTRUMENTS = [
    {"symbol": f"{base}USDT", "base": base, "quote": "USDT", "tick": "0.01", "lot": lot, "price": p}
    for base, lot, p in (
        ("BTC", "0.00001", "60000"),
        ("ETH", "0.0001", "3000"),
        ("SOL", "0.001", "150"),
    )
]
LISTINGS: Final = listings_from(_INSTRUMENTS)
SEED: Final = 1
_VOLATILITY_BP = 2.0
_ANSWER_S = 30.0


class FailedError(Exception):
    """A process hung or died, or what a client told is not what was sent."""


def instruments(venue: str) -> tuple[Instrument, ...]:
    """Return what is traded, as the feed wants it."""
    between = _BETWEEN[venue]
    return tuple(
        Instrument(
            between.join(each.pair), venue, *each.pair, each.tick_e8, each.lot_e8, 0, 0, 0, index
        )
        for index, each in enumerate(LISTINGS)
    )


def pairs() -> tuple[str, ...]:
    """Return what is traded, as ccxt calls it."""
    return tuple("/".join(each.pair) for each in LISTINGS)


def market() -> SeededMarket:
    """Return the market that the exchange sends, to compare with."""
    return SeededMarket(LISTINGS, SEED, _VOLATILITY_BP)


def past(market: SeededMarket) -> History:
    """Return what a client may ask about its past."""
    return History(market, tuple[Listing, ...](LISTINGS))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a venue is."""

    name: str
    port: int

    @property
    def url(self) -> str:
        """The address of its stream."""
        return f"ws://{HOST}:{self.port}{_PATHS[self.name]}"

    @property
    def rest_url(self) -> str:
        """The address of its REST."""
        return f"http://{HOST}:{self.port}"


class Venue:
    """An exchange process on a port that stays its own while it is down."""

    def __init__(self, name: str) -> None:
        # Bound but not listening: connections are refused, and the port is nobody else's.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind((HOST, 0))
        self.place = Place(name, self._held.getsockname()[1])
        self._process: Any = None
        self._began_ns = 0
        self._start_s = 0.5  # that a process needs until it listens

    def __enter__(self) -> Self:
        try:
            self._start(0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._kill()
        self._held.close()

    def position(self, at_ns: int) -> int:
        """Return the event at which the market stands at a time, of CLOCK_MONOTONIC."""
        return max(0, at_ns - self._began_ns) * RATE // 1_000_000_000

    def fail(self, outage: str, seconds: float, wait: Callable[[float], object]) -> int:
        """Have an outage of that length, and return when it ended; `wait` passes the time."""
        if outage == "restart":
            return self._restart(seconds, wait)
        begun_ns = time.monotonic_ns()
        self.order({"fault": _FAULTS[outage], "for": seconds})
        wait(seconds - (time.monotonic_ns() - begun_ns) / 1e9)
        # It began a little later than this says, so nobody is taken to be faster than he is.
        return begun_ns + round(seconds * 1e9)

    def order(self, order: dict[str, Any]) -> None:
        """Post an order to the exchange's control."""
        connection = http.client.HTTPConnection(HOST, self.place.port, timeout=_ANSWER_S)
        try:
            connection.request("POST", "/control", json.dumps(order))
            answer = connection.getresponse()
            if answer.status != 200:
                raise FailedError(f"the exchange refused {order}: {answer.read().decode()}")
        except OSError as error:
            raise FailedError(f"the exchange took no orders: {error}") from None
        finally:
            connection.close()

    def _restart(self, seconds: float, wait: Callable[[float], object]) -> int:
        begun_ns = time.monotonic_ns()
        self._kill()
        wait(seconds - self._start_s)
        # The market goes on meanwhile, and its trades can be asked for afterwards.
        return self._start(self.position(begun_ns + round(seconds * 1e9)))

    def _start(self, position: int) -> int:
        """Start the process at an event of the market; return when it took connections."""
        asked = time.monotonic()
        control, other = context.Pipe()
        task = (self.place.name, self.place.port, position, other)
        self._process = context.Process(target=_serve, args=task, name="venue", daemon=True)
        self._process.start()
        other.close()
        with control:
            if not control.poll(_ANSWER_S):
                raise FailedError(f"the exchange did not begin within {_ANSWER_S:g} s")
            try:
                listening_ns: int = control.recv()
            except EOFError:
                raise FailedError("the exchange has died; see what it printed") from None
        self._began_ns = listening_ns - position * 1_000_000_000 // RATE
        self._start_s = time.monotonic() - asked
        return listening_ns

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None


def _serve(name: str, port: int, position: int, control: Connection) -> None:
    """Be the exchange."""
    become_worker("exchange", os.sched_getaffinity(0), os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    options = Options(
        instruments=_INSTRUMENTS,
        host=HOST,
        port=port,
        seed=SEED,
        rate=RATE,
        volatility_bp=_VOLATILITY_BP,
        venues=(name,),
        faults=(),
        script=None,
        captures=(),
        speed="max",
        position=position,
    )
    run_alone(options, lambda found: control.send(time.monotonic_ns()))
