"""The supervisor's part in the breakers: it feeds them with the components' health, and acts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.breakers.audit import state_name
from pipeline.breakers.explain import sentence
from pipeline.breakers.health import Health, Vitals, components_of
from pipeline.breakers.settings import begin
from pipeline.breakers.subscribers import Continuity, Event, generation_of
from pipeline.stage import Stage
from shm import Breaker, Breakers, EventKind, GlobalState, Segment, State
from shm.breaker_types import GENERATIONS

LOOK_S: Final = 0.05
"""How often to look: what a crashed process leaves behind in a breaker waits for as long."""

_UNTIL_RESUMED = "new risk is refused and positions are closed until `bot4 breaker resume`"
_ACTS = {
    "refuse": "new risk is refused",
    "flatten": _UNTIL_RESUMED,
    "halt": "the run is halted",
}

_MOST_EVENTS = 1024
_COUNTING = (State.CLOSED, State.METRICS_ONLY)
_BLOCKING = (State.UNINIT, State.INVALID, State.OPEN, State.FORCED_OPEN)


class BreakerWatch:
    """Looks at everything each `LOOK_S` seconds. All calls come from one thread."""

    def __init__(
        self,
        group: Breakers,
        segment: Segment,
        config: Mapping[str, Any],
        stages: Mapping[str, Stage],
        report: Callable[[str], None],
        halt: Callable[[str], object],
        *,
        now_ns: int,
        publish: Callable[[Event], None] = lambda event: None,
        lag_ns: Callable[[int], int] = lambda now_ns: 0,
    ) -> None:
        """Give the breakers their settings, and close those that were never closed.

        All others, of a run that is gone on with, stay as they are.

        Args:
            group: The breakers of the run, as their participant.
            segment: Of the run.
            config: Its resolved configuration.
            stages: Its stages by name.
            report: Is given a sentence for what an operator should know of.
            halt: Halts the run, for a reason.
            now_ns: CLOCK_MONOTONIC, as in all other calls.
            publish: Is given each event of the breakers, in order.
            lag_ns: Returns at a time the age of the oldest event that is not on the disk.
        """
        self._group = group
        self._config = config
        self._report = report
        self._halt = halt
        self._publish = publish
        self._run = segment.words("run")
        self._breakers = {name: self._group.breaker(name) for name in self._group.names}
        self._vitals = Vitals(segment, config, stages, lag_ns)
        self._wrong: dict[str, tuple[int, str]] = {}  # the last, and in which generation it was
        self._global = GlobalState.UNKNOWN
        self._continuity = Continuity(self._words())
        begin(self._group, config, now_ns)
        self._follow(now_ns)

    def tick(self, now_ns: int, *, judge: bool = True) -> None:
        """Look, and do what follows.

        Args:
            now_ns: CLOCK_MONOTONIC.
            judge: False while the run is drained: silence is no illness then.
        """
        if self._run.load("halted") and not self._group.latch:
            self._group.set_latch(True)
        if judge:
            for name, health in self._vitals.look(now_ns).items():
                if health.judged:
                    self._feed(self._breakers[name], health, now_ns)
        for breaker in self._breakers.values():
            breaker.reap(now_ns)
        self._follow(now_ns)

    def died(self, process: str, how: str, now_ns: int) -> None:
        """Count the death of a process as one failure of the components that it is.

        That of the exchange is nobody's: the silence of its feed shows what it does.
        """
        names = components_of(process, self._config)
        if names:
            self._vitals.died(process, now_ns)
        for name in names:
            self._fail(self._breakers[name], f"its process ended: {how}", now_ns)

    def _wrong_in(self, name: str, generation: int) -> str:
        known, wrong = self._wrong.get(name, (0, ""))
        return wrong if known == generation % GENERATIONS else ""

    def _words(self) -> list[int]:
        return [breaker.word for breaker in self._breakers.values()]

    # Feeding.

    def _feed(self, breaker: Breaker, health: Health, now_ns: int) -> None:
        """Count what was found as a call: in CLOSED for its window, in HALF_OPEN as a probe."""
        if breaker.name == "storage":
            # Its calls are the writes, which also probe it: between them, nothing is a success.
            if not health.ok and breaker.state in _COUNTING:
                self._fail(breaker, health.wrong, now_ns)
            return
        permit = breaker.acquire(now_ns)
        if not permit:
            return
        if not health.ok:
            self._wrong[breaker.name] = (permit.generation, health.wrong)
        breaker.complete(permit, health.ok, now_ns, health.duration_ns)

    def _fail(self, breaker: Breaker, wrong: str, now_ns: int) -> None:
        self._wrong[breaker.name] = (breaker.generation, wrong)
        breaker.fail_once(now_ns)

    # Following.

    def _follow(self, now_ns: int) -> None:
        state = GlobalState(self._group.derive(now_ns))
        while True:
            events = self._group.events(_MOST_EVENTS)
            for event in self._continuity.fill(events):
                self._tell(event)
            if len(events) < _MOST_EVENTS:
                break
        for event in self._continuity.look(self._words(), now_ns, state, latch=self._group.latch):
            self._tell(event)
        # By the state, not by its event, which may have been lost.
        before, self._global = self._global, state
        if GlobalState.OPEN in (before, state) and before is not state:
            self._turned(before, state)

    def _tell(self, event: Event) -> None:
        self._publish(event)
        if event["kind"] == EventKind.RELOADED and event["pid"] == os.getpid():
            return  # at the start, which is no news
        wrong = ""
        if event["kind"] != EventKind.GLOBAL:
            name = self._group.names[int(event["breaker"])]
            wrong = self._wrong_in(name, generation_of(event["before"]))
        if (said := sentence(event, self._group.names, wrong)) is not None:
            self._report(said)

    def _turned(self, before: GlobalState, state: GlobalState) -> None:
        change = f"global breaker: {before.name.lower()} -> {state.name.lower()}"
        if state is not GlobalState.OPEN:
            still = f"; {_UNTIL_RESUMED}" if self._run.load("flatten") else ""
            self._report(f"{change}: {self._open() or 'no breaker is open'}{still}")
            return
        why = self._open()
        if self._group.latch:
            self._report(f"{change}: the run is halted")
            return
        on_open = self._config["breakers"]["on_open"]
        self._report(f"{change}: {why}; {_ACTS[on_open]}")
        if on_open == "flatten":
            self._run.store("flatten", 1)
        elif on_open == "halt":
            self._halt(f"the global breaker opened: {why}")

    def _open(self) -> str:
        """Say which breakers are open, and what was wrong when they opened."""
        said = []
        for name, breaker in self._breakers.items():
            if breaker.state in _BLOCKING:
                wrong = self._wrong_in(name, breaker.generation - 1)
                said.append(f"{name} is {state_name(breaker.word)}" + (wrong and f" ({wrong})"))
        return ", ".join(said)
