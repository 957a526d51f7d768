"""Random sequences of calls to native breakers and to the reference: they never differ."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from shm import BreakerError, BreakerSettings, Permit
from shm.breaker_types import GENERATIONS, LARGEST_LEASE_NS, TICK_NS
from shm.reference.breaker_memory import Permit as ReferencePermit
from tests.shm.breaker.desk import ALIVE, DEAD, MS, NAMES, WHO, NativeDesk, ReferenceDesk, settings

PARTICIPANTS = 3
_numbers = itertools.count()

participants = st.integers(0, PARTICIPANTS - 1)
# Mostly one breaker, so that a short sequence gets far with it.
breakers = st.sampled_from((NAMES[0], NAMES[0], NAMES[0], *NAMES[1:]))
steps = st.sampled_from(
    (0, 1, TICK_NS, 7 * MS, 51 * MS, 300 * MS, 1000 * TICK_NS, 4000 * TICK_NS, 15_000 * MS)
) | st.integers(0, 1 << 33)


@st.composite
def valid_settings(draw: st.DrawFn) -> BreakerSettings:
    successes, failures = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    if draw(st.booleans()):  # so many that the indices of an episode are used up
        successes, failures = 12, 4
    slow_bp = draw(st.sampled_from((0, 0, 5_000, 10_000)))
    return settings(
        window=draw(st.sampled_from(("time", "count"))),
        window_ns=draw(st.sampled_from((10, 100 * MS, 1000 * MS))),
        window_calls=draw(st.integers(4, 8)),
        min_calls=draw(st.integers(1, 4)),
        failure_bp=draw(st.sampled_from((1, 3_334, 5_000, 10_000))),
        slow_bp=slow_bp,
        slow_ns=draw(st.sampled_from((1, 5 * MS))),
        consecutive=draw(st.sampled_from((0, 0, 1, 2, 3))),
        cooldown_ns=draw(st.sampled_from((100 * MS, 1000 * TICK_NS))),
        cooldown_factor_bp=draw(st.sampled_from((10_000, 15_001, 20_000, 1_000_000))),
        cooldown_max_ns=draw(st.sampled_from((1000 * TICK_NS, 1 << 33))),
        jitter_bp=draw(st.integers(0, 5_000)),
        probes=draw(st.integers(1, min(4, successes + failures))),
        successes=successes,
        failures=failures,
        max_stay_ns=draw(st.sampled_from((1, 200 * MS, 20_000 * MS))),
        lease_ns=draw(st.sampled_from((1, 100 * MS, 1000 * MS))),
        weight=draw(st.integers(1, 3)),
        critical=draw(st.booleans()),
        seed=draw(st.integers(0, (1 << 64) - 1)),
    )


class Twins(RuleBasedStateMachine):
    """Each rule is one call to both; what they return and what can be seen afterwards is alike."""

    permits: Bundle[Any] = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.native = NativeDesk(f"twins-{os.getpid()}-{next(_numbers)}")
        self.reference = ReferenceDesk()
        self.now = self.native.now
        for participant, desk in itertools.product(
            range(PARTICIPANTS), (self.native, self.reference)
        ):
            desk.group(participant)
        self.observers = (self.native.observer(), self.reference.observer())
        for name in NAMES:
            self.configure(name, 0, settings(min_calls=2, failure_bp=5_000))
            self.both(name, 0, lambda breaker: breaker.initialise(self.now))

    def teardown(self) -> None:
        self.native.close()

    def both(self, name: str, participant: int, call: Callable[[Any], Any]) -> Any:
        """Make a call to both, and return what the native one answers."""
        return _alike(
            lambda: call(self.native.breaker(name, participant)),
            lambda: call(self.reference.breaker(name, participant)),
        )

    def both_groups(self, participant: int, call: Callable[[Any], Any]) -> Any:
        return _alike(
            lambda: call(self.native.group(participant)),
            lambda: call(self.reference.group(participant)),
        )

    @rule(step=steps)
    def wait(self, step: int) -> None:
        self.now += step

    @rule(name=breakers)
    def wait_for_the_deadline(self, name: str) -> None:
        self.now = max(self.now, self.native.breaker(name).deadline_ns)

    @rule(name=breakers, participant=participants, settings=valid_settings())
    def configure(self, name: str, participant: int, settings: BreakerSettings) -> None:
        self.both(name, participant, lambda breaker: breaker.configure(settings, self.now))

    @rule(
        target=permits,
        name=breakers,
        participant=participants,
        owner=st.sampled_from((None, None, ALIVE, DEAD)),
        times=st.sampled_from((1, 1, 4)),
    )
    def acquire(
        self, name: str, participant: int, owner: tuple[int, int] | None, times: int
    ) -> Any:
        taken = []
        for _ in range(times):
            native = self.native.breaker(name, participant).acquire(self.now, owner)
            reference = self.reference.breaker(name, participant).acquire(self.now, owner)
            assert _figures(native) == _figures(reference)
            assert bool(native) == bool(reference)
            taken.append((name, native, reference))
        return multiple(*taken)

    @rule(
        permit=permits,
        participant=participants,
        ok=st.booleans(),
        duration=st.none() | st.sampled_from((0, 1, 2, 5 * MS, 6 * MS)),
    )
    def complete(self, permit: Any, participant: int, ok: bool, duration: int | None) -> None:
        """Also of a permit that was given back before."""
        name, native, reference = permit
        found = self.native.breaker(name, participant).complete(native, ok, self.now, duration)
        breaker = self.reference.breaker(name, participant)
        assert found == breaker.complete(reference, ok, self.now, duration)

    @rule(
        name=breakers,
        participant=participants,
        ahead=st.sampled_from((0, 0, 0, 1, GENERATIONS - 1)),
        index=st.integers(-1, 16),
        age=st.sampled_from((0, LARGEST_LEASE_NS, LARGEST_LEASE_NS + 1)),
        ok=st.booleans(),
    )
    def complete_a_made_up_permit(
        self, name: str, participant: int, ahead: int, index: int, age: int, ok: bool
    ) -> None:
        generation = (self.native.breaker(name).generation + ahead) % GENERATIONS
        figures = (generation, index, self.now - age)
        _alike(
            lambda: self.native.breaker(name, participant).complete(
                Permit(*figures), ok, self.now, 0
            ),
            lambda: self.reference.breaker(name, participant).complete(
                ReferencePermit(*figures), ok, self.now, 0
            ),
        )

    @rule(
        name=breakers,
        participant=participants,
        outcomes=st.lists(st.booleans(), min_size=1, max_size=12),
        duration=st.sampled_from((0, 6 * MS)),
    )
    def calls(self, name: str, participant: int, outcomes: list[bool], duration: int) -> None:
        for ok in outcomes:

            def call(breaker: Any, ok: bool = ok) -> int:
                permit = breaker.acquire(self.now)
                completion: int = breaker.complete(permit, ok, self.now, duration)
                return completion

            self.both(name, participant, call)

    @rule(
        name=breakers,
        participant=participants,
        outcomes=st.lists(st.none() | st.booleans(), min_size=1, max_size=16),
        duration=st.sampled_from((0, 0, 6 * MS)),
    )
    def probe(
        self, name: str, participant: int, outcomes: list[bool | None], duration: int
    ) -> None:
        """Let what is open be probed; None is a probe whose owner dies."""
        self.wait_for_the_deadline(name)
        for ok in outcomes:
            owner = DEAD if ok is None else ALIVE

            def call(breaker: Any, owner: Any = owner, ok: bool | None = ok) -> int:
                permit = breaker.acquire(self.now, owner)
                reaped: int = (
                    breaker.reap(self.now)
                    if ok is None
                    else breaker.complete(permit, ok, self.now, duration)
                )
                return reaped

            self.both(name, participant, call)

    @rule(name=breakers, participant=participants)
    def fail_once(self, name: str, participant: int) -> None:
        self.both(name, participant, lambda breaker: breaker.fail_once(self.now))

    @rule(name=breakers, participant=participants, alive=st.sampled_from((None, True, False)))
    def reap(self, name: str, participant: int, alive: bool | None) -> None:
        ask = None if alive is None else lambda pid, started: alive
        self.both(name, participant, lambda breaker: breaker.reap(self.now, ask))

    @rule(
        name=breakers,
        participant=participants,
        act=st.sampled_from(("reset", "trip", "force_open", "disable", "metrics_only")),
        actor=st.sampled_from(("someone", "an actor whose name is longer than its field", "")),
    )
    def by_hand(self, name: str, participant: int, act: str, actor: str) -> None:
        self.both(
            name,
            participant,
            lambda breaker: getattr(breaker, act)(self.now, actor=actor, reason="why not"),
        )

    @rule(name=breakers)
    def reset(self, name: str) -> None:
        self.both(name, 0, lambda breaker: breaker.reset(self.now, **WHO))

    @rule(name=breakers)
    def initialise(self, name: str) -> None:
        self.both(name, 1, lambda breaker: breaker.initialise(self.now))

    @rule(
        least=st.integers(0, 4),
        open_bp=st.sampled_from((0, 3_000, 5_000, 10_000, 10_001)),
        close_bp=st.sampled_from((0, 1, 2_500, 5_000)),
        live=st.booleans(),
    )
    def limits(self, least: int, open_bp: int, close_bp: int, live: bool) -> None:
        self.both_groups(0, lambda group: group.limits(least, open_bp, close_bp, live=live))

    @rule(on=st.booleans())
    def latch(self, on: bool) -> None:
        self.both_groups(0, lambda group: group.set_latch(on))

    @rule(participant=participants, how=st.sampled_from(("state", "derive", "view")))
    def look(self, participant: int, how: str) -> None:
        self.both_groups(participant, lambda group: getattr(group, how)(self.now))

    @rule(how=st.sampled_from(("state", "derive", "view")))
    def look_from_outside(self, how: str) -> None:
        native, reference = self.observers
        assert getattr(native, how)(self.now) == getattr(reference, how)(self.now)

    @rule(most=st.sampled_from((0, 1, 5, 1024)))
    def events(self, most: int) -> None:
        native = self.native.group().events(most)
        reference = self.reference.group().events(most)
        assert native.dtype == reference.dtype
        assert native.tolist() == reference.tolist()

    @invariant()
    def nothing_differs(self) -> None:
        _alike(self.native.group().drops, self.reference.group().drops)
        for name in NAMES:
            self.both(name, 0, self._seen)

    def _seen(self, breaker: Any) -> tuple[Any, ...]:
        last = breaker.last()
        return (
            *(breaker.word, breaker.state, breaker.generation, breaker.attempt),
            *(breaker.since_ns, breaker.deadline_ns, breaker.in_flight, breaker.probes()),
            *(breaker.counts(self.now), breaker.totals()),
            None if last is None else last.tolist(),
        )


def _alike(native: Callable[[], Any], reference: Callable[[], Any]) -> Any:
    """Make both calls; both return the same, or both refuse."""
    answers = []
    for call in (native, reference):
        try:
            answers.append(call())
        except BreakerError:
            answers.append(BreakerError)
    assert answers[0] == answers[1]
    return answers[0]


def _figures(permit: Any) -> tuple[Any, ...]:
    return (permit.generation, permit.index, permit.issued_ns, permit.rejection, permit.counted)


Twins.TestCase.settings = hypothesis.settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestTwins = Twins.TestCase
