"""The circuit breaker's control word, its table of transitions, and the length of a cooldown.

[state:3][attempt:4][generation:20][payload:37]

CLOSED, METRICS_ONLY    payload: the tick at which it began (so too FORCED_OPEN and DISABLED)
OPEN                    payload: the tick from which probes are let through
HALF_OPEN               payload: [issued:5][done:16][succeeded:5][failed:5][spare:6]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from shm.breaker_settings import BreakerSettings
from shm.breaker_types import GENERATIONS, MOST_ATTEMPTS, PROBES, TICK_NS, State
from shm.reference.common import MAX_WORD

PAYLOAD_BITS: Final = 37
GENERATION_BITS: Final = 20
ATTEMPT_BITS: Final = 4
PAYLOADS: Final = 1 << PAYLOAD_BITS


@dataclass(frozen=True, slots=True)
class Control:
    """The control word, taken apart."""

    state: State
    attempt: int  # episodes of probes that failed since it was last CLOSED
    generation: int  # rises with each change of state
    payload: int

    @classmethod
    def of(cls, word: int) -> Control:
        """Take a word apart."""
        return cls(
            State(word >> (PAYLOAD_BITS + GENERATION_BITS + ATTEMPT_BITS)),
            word >> (PAYLOAD_BITS + GENERATION_BITS) & MOST_ATTEMPTS,
            word >> PAYLOAD_BITS & (GENERATIONS - 1),
            word & (PAYLOADS - 1),
        )

    @property
    def word(self) -> int:
        """Put it together again."""
        fields = (self.state << ATTEMPT_BITS | self.attempt) << GENERATION_BITS | self.generation
        return fields << PAYLOAD_BITS | self.payload

    def changed(self, state: State, attempt: int, payload: int) -> Control:
        """Return the word after a change of state: the generation rises, the attempt saturates."""
        return Control(
            state,
            min(attempt, MOST_ATTEMPTS),
            (self.generation + 1) % GENERATIONS,
            payload % PAYLOADS,
        )

    def opened(self, attempt: int, settings: BreakerSettings, now_ns: int) -> Control:
        """Return what it is when it opens now."""
        attempt = min(attempt, MOST_ATTEMPTS)
        pause = cooldown_ns(settings, attempt, (self.generation + 1) % GENERATIONS)
        return self.changed(State.OPEN, attempt, tick_after(now_ns + pause))

    def by_hand(
        self, trigger: Trigger, settings: BreakerSettings | None, now_ns: int
    ) -> Control | Refusal:
        """Return what somebody makes of it now; only FORCE_OPEN works without settings."""
        to = TRANSITIONS[self.state][trigger]
        if isinstance(to, Refusal):
            return to
        if to != State.OPEN:
            return self.changed(to, 0, tick_of(now_ns))
        assert settings is not None
        # A trip of OPEN goes on with its attempt, one of HALF_OPEN is the next.
        attempts = {State.OPEN: self.attempt, State.HALF_OPEN: self.attempt + 1}
        after = self.opened(attempts.get(self.state, 0), settings, now_ns)
        if self.state == State.OPEN and after.payload <= self.payload:
            return Refusal.NOTHING_TO_DO
        return after

    @property
    def counts(self) -> bool:
        """Whether outcomes are counted in a window."""
        return self.state in (State.CLOSED, State.METRICS_ONLY)

    @property
    def is_open(self) -> bool:
        """Whether it weighs as open in the global state."""
        return self.state in (State.UNINIT, State.OPEN, State.FORCED_OPEN, State.INVALID)

    @property
    def is_blocked(self) -> bool:
        """Whether nobody is admitted but, perhaps, probes."""
        return self.is_open or self.state == State.HALF_OPEN

    @property
    def probes(self) -> Probes:
        """The payload of HALF_OPEN."""
        return Probes(
            self.payload >> 32 & 0x1F,
            self.payload >> 16 & 0xFFFF,
            self.payload >> 11 & 0x1F,
            self.payload >> 6 & 0x1F,
        )

    def with_probes(self, probes: Probes) -> Control:
        """Return the same episode of HALF_OPEN with other probes."""
        return replace(self, payload=probes.payload)


@dataclass(frozen=True, slots=True)
class Probes:
    """An episode of HALF_OPEN. Indices of permits are not used again in it."""

    issued: int
    done: int  # a bit for each index
    succeeded: int
    failed: int

    @property
    def payload(self) -> int:
        """As it lies in the word."""
        return self.issued << 32 | self.done << 16 | self.succeeded << 11 | self.failed << 6

    @property
    def in_flight(self) -> int:
        """Permits that are out."""
        return self.issued - self.done.bit_count()

    @property
    def used_up(self) -> bool:
        """Whether all indices were given out and all came back."""
        return self.issued == PROBES and self.in_flight == 0

    def is_out(self, index: int) -> bool:
        """Whether this permit was given out and has not come back."""
        return 0 <= index < self.issued and not self.done >> index & 1


class Trigger(Enum):
    """What can change a state."""

    RULE_MET = auto()  # consecutive failures, or a rate
    DEADLINE = auto()  # somebody asks for a permit after it
    SUCCEEDED = auto()  # as many probes as close it
    FAILED = auto()  # one probe more than it allows, its max stay is over, or no probes are left
    TRIP = auto()
    FORCE_OPEN = auto()
    RESET = auto()
    DISABLE = auto()
    METRICS_ONLY = auto()
    INITIALISE = auto()


class Refusal(Enum):
    """What a trigger by hand meets where it changes nothing."""

    NOTHING_TO_DO = auto()
    ILLEGAL = auto()


_NOTHING, _ILLEGAL = Refusal.NOTHING_TO_DO, Refusal.ILLEGAL
_IN_USE: dict[Trigger, State | Refusal] = {
    Trigger.FORCE_OPEN: State.FORCED_OPEN,
    Trigger.RESET: State.CLOSED,
    Trigger.DISABLE: State.DISABLED,
    Trigger.METRICS_ONLY: State.METRICS_ONLY,
    Trigger.TRIP: State.OPEN,
    Trigger.INITIALISE: _NOTHING,
}
_UNINIT: dict[Trigger, State | Refusal] = {
    Trigger.INITIALISE: State.CLOSED,
    Trigger.RESET: State.CLOSED,
    Trigger.FORCE_OPEN: State.FORCED_OPEN,
    Trigger.TRIP: _ILLEGAL,
    Trigger.DISABLE: _ILLEGAL,
    Trigger.METRICS_ONLY: _ILLEGAL,
}

TRANSITIONS: Final[dict[State, dict[Trigger, State | Refusal]]] = {
    State.CLOSED: _IN_USE | {Trigger.RULE_MET: State.OPEN},
    # A trip of what is open already takes effect if it puts the deadline off.
    State.OPEN: _IN_USE | {Trigger.DEADLINE: State.HALF_OPEN},
    State.HALF_OPEN: _IN_USE | {Trigger.SUCCEEDED: State.CLOSED, Trigger.FAILED: State.OPEN},
    State.FORCED_OPEN: {
        Trigger.RESET: State.CLOSED,  # the only way out
        Trigger.FORCE_OPEN: _NOTHING,
        Trigger.INITIALISE: _NOTHING,
        Trigger.TRIP: _ILLEGAL,
        Trigger.DISABLE: _ILLEGAL,
        Trigger.METRICS_ONLY: _ILLEGAL,
    },
    State.DISABLED: _IN_USE | {Trigger.DISABLE: _NOTHING},
    State.METRICS_ONLY: _IN_USE | {Trigger.METRICS_ONLY: _NOTHING},
    State.UNINIT: _UNINIT,
    State.INVALID: _UNINIT,
}


def tick_of(ns: int) -> int:
    """Return the tick that a time is in."""
    return ns // TICK_NS


def tick_after(ns: int) -> int:
    """Return the first tick that does not begin before a time."""
    return -(-ns // TICK_NS)


def splitmix64(seed: int) -> int:
    """Return a well mixed word (Steele, Lea, Flood 2014)."""
    word = (seed + 0x9E3779B97F4A7C15) & MAX_WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MAX_WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MAX_WORD
    return word ^ word >> 31


def cooldown_ns(settings: BreakerSettings, attempt: int, generation: int) -> int:
    """Return the length of a stay in OPEN, `generation` being that of the stay.

    min(max, base * factor^attempt), stretched or shortened by at most `jitter_bp`. The jitter
    follows from the generation alone, so that a test or a replay has it again.
    """
    pause = settings.cooldown_ns
    for _ in range(attempt):
        if pause < settings.cooldown_max_ns:
            pause = pause * settings.cooldown_factor_bp // 10_000
    pause = min(pause, settings.cooldown_max_ns)
    jitter = settings.jitter_bp
    stretch = splitmix64(settings.seed ^ generation) % (2 * jitter + 1)
    return pause * (10_000 - jitter + stretch) // 10_000
