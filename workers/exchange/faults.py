"""What can be wrong with an exchange, and what is wrong now.

A fault is written ``[venue:]name[=value]``: ``drop=0.01``, ``kraken:latency=50ms``, ``reset``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum

VENUES = ("binance", "kraken", "coinbase")


class FaultError(ValueError):
    """A fault that cannot be; the text is for the user."""


class Unit(Enum):
    """What the value of a fault is."""

    SECONDS = "a time such as 50ms, 1.5s or 2m"
    SHARE = "a share from 0 to 1"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        unit: Of its value.
        default: The value if none is given; None: it must be.
        does: What happens, for people.
    """

    unit: Unit
    default: float | None
    does: str


_S, _P = Unit.SECONDS, Unit.SHARE
KINDS = {
    "latency": Kind(_S, None, "everything is sent that much later"),
    "jitter": Kind(_S, None, "and at random up to that much more, in order"),
    "drop": Kind(_P, 1.0, "that share of messages is not sent"),
    "duplicate": Kind(_P, 1.0, "that share of messages is sent twice"),
    "reorder": Kind(_P, 1.0, "that share of messages changes places with the next one"),
    "sequence-gap": Kind(_P, 1.0, "that share of numbered messages is missing"),
    "bad-checksum": Kind(_P, 1.0, "that share of checksums is wrong"),
    "malformed": Kind(_P, 1.0, "that share of messages is no JSON"),
    "slow-reader": Kind(_S, 0.1, "after each read of a client's requests none for that long"),
    "clock-skew": Kind(_S, None, "the venue's times are off by that much"),
    "5xx": Kind(_P, 1.0, "that share of HTTP requests fails with 500, 502, 503 or 504"),
    "429": Kind(_S, 1.0, "HTTP requests are refused, with that Retry-After"),
    "half-open": Kind(
        _P, 1.0, "connections stay open and dead; a share: at that share of messages"
    ),
    "reset": Kind(_P, 1.0, "connections are reset; a share: at that share of messages"),
    "black-hole": Kind(_S, 0.0, "nothing comes or goes for that long, 0: until cleared"),
    "refuse": Kind(_S, 0.0, "no new connections for that long, 0: until cleared"),
    "restart": Kind(_S, 1.0, "all connections are cut, and none possible for that long"),
}
"""The kinds of faults, by name."""

AT_ONCE = ("half-open", "reset")
"""Those that, without a share, happen once."""

WHOLE = ("refuse", "restart")
"""Those of the port, so not of one venue."""

_TIME = re.compile(r"(-?\d+(?:\.\d+)?)(us|ms|s|m)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: of which kind, how much, and of which venue, None for all."""

    name: str
    value: float
    venue: str | None = None
    once: bool = False
    """Now, rather than from now on."""

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault of a text ``[venue:]name[=value]``.

        Raises:
            FaultError: there is no such venue or fault, or the value cannot be.
        """
        scope, colon, rest = text.strip().rpartition(":")
        name, equals, value = rest.partition("=")
        if colon and scope not in VENUES:
            raise FaultError(f"venue of fault {text!r} was {scope!r}, must be {_one_of(VENUES)}")
        kind = KINDS.get(name)
        if kind is None:
            raise FaultError(f"fault was {name!r}, must be {_one_of(KINDS)}")
        if colon and name in WHOLE:
            raise FaultError(
                f"fault {name} was for {scope}, must be for all venues: they share the port"
            )
        number = _value(name, kind, value) if equals else kind.default
        if number is None:
            raise FaultError(f"value of fault {name} was missing, must be {kind.unit.value}")
        return cls(name, number, scope or None, once=name in AT_ONCE and not equals)


def faults_of(text: str) -> list[Fault]:
    """Return the faults of a text that separates them by commas.

    Raises:
        FaultError: one of them cannot be.
    """
    return [Fault.parse(part) for part in text.split(",")]


def _value(name: str, kind: Kind, text: str) -> float:
    if kind.unit is Unit.SECONDS:
        match = _TIME.fullmatch(text)
        number = float(match[1]) * _SECONDS[match[2]] if match else None
        fits = (
            number is not None and (name == "clock-skew" or number >= 0) and abs(number) <= 86_400
        )
    else:
        number = float(text) if _NUMBER.fullmatch(text) else None
        fits = number is not None and 0 <= number <= 1
    if number is None or not fits:
        raise FaultError(f"value of fault {name} was {text!r}, must be {kind.unit.value}")
    return number


def _one_of(names: Collection[str]) -> str:
    return f"one of {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is wrong with one venue at present; shares from 0 to 1, times in seconds."""

    latency: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    sequence_gap: float = 0.0
    bad_checksum: float = 0.0
    malformed: float = 0.0
    half_open: float = 0.0
    reset: float = 0.0
    slow_reader: float = 0.0
    clock_skew: float = 0.0
    server_error: float = 0.0
    retry_after: float | None = None
    black_hole: bool = False

    @property
    def spares_messages(self) -> bool:
        """Tell whether messages go out as they are, and at once."""
        return not (
            self.latency
            or self.jitter
            or self.drop
            or self.duplicate
            or self.reorder
            or self.sequence_gap
            or self.bad_checksum
            or self.malformed
            or self.half_open
            or self.reset
        )


class Faults:
    """The faults in force. Who must act when one comes or goes adds itself to `listeners`.

    Attributes:
        seed: Of all that is random about them.
        counts: How often each kind has happened.
        requests: How often each request of HTTP was subject to chance.
        listeners: Called with each change: the fault, and whether it has begun or ended.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.requests: dict[str, int] = {}
        self.listeners: list[Callable[[Fault, bool], None]] = []
        self._active: dict[tuple[str, str | None], Fault] = {}
        self._of: dict[str, Conditions] = {}
        self._plain: dict[str, bool] = {}
        self._conclude()

    def of(self, venue: str) -> Conditions:
        """Return what is wrong with a venue."""
        return self._of[venue]

    def spare(self, venue: str) -> bool:
        """Tell whether its messages go out as they are, and at once."""
        return self._plain[venue]

    def active(self) -> list[Fault]:
        """Return the faults that last."""
        return list(self._active.values())

    def begin(self, fault: Fault) -> None:
        """Let it happen, or begin."""
        if not fault.once:
            self._active[fault.name, fault.venue] = fault
            self._conclude()
        if fault.name in WHOLE or fault.name == "black-hole" or fault.once:
            self.count(fault.name)
        for listener in self.listeners:
            listener(fault, True)

    def end(self, name: str, venue: str | None = None) -> bool:
        """Let a lasting fault end; return whether it was in force."""
        fault = self._active.pop((name, venue), None)
        if fault is None:
            return False
        self._conclude()
        for listener in self.listeners:
            listener(fault, False)
        return True

    def clear(self) -> None:
        """Let all end."""
        for fault in self.active():
            self.end(fault.name, fault.venue)

    def count(self, name: str) -> None:
        """Note that a fault of that kind has happened."""
        self.counts[name] += 1

    def _conclude(self) -> None:
        for venue in VENUES:
            conditions = Conditions()
            for fault in self._active.values():
                if fault.venue in (None, venue):
                    conditions = _with(conditions, fault)
            self._of[venue] = conditions
            self._plain[venue] = conditions.spares_messages


def _with(conditions: Conditions, fault: Fault) -> Conditions:
    if fault.name in WHOLE:
        return conditions
    if fault.name == "5xx":
        return replace(conditions, server_error=fault.value)
    if fault.name == "429":
        return replace(conditions, retry_after=fault.value)
    if fault.name == "black-hole":
        return replace(conditions, black_hole=True)
    changes: dict[str, float] = {fault.name.replace("-", "_"): fault.value}
    return replace(conditions, **changes)  # type: ignore[arg-type]
