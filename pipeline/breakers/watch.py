"""The supervisor's part in the breakers: it feeds them with the components' health, and acts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pipeline.breakers.explain import sentence, state_of
from pipeline.breakers.health import OVERSLEPT_NS, Health, Vitals, components_of
from pipeline.breakers.settings import LOOK_S, begin
from pipeline.breakers.subscribers import Continuity, Event, generation_of
from pipeline.mode import mode_of
from pipeline.notify.notice import Notice, Severity, to_nobody
from pipeline.stage import Stage
from pipeline.vocabulary import Mode
from shm import Breaker, Breakers, EventKind, GlobalState, Segment, State
from shm.breaker_types import GENERATIONS, SILENT_NS

_UNTIL_RESUMED = "new risk is refused and positions are closed until `bot4 resume`"
_ACTS = {
    "refuse": "new risk is refused",
    "flatten": _UNTIL_RESUMED,
    "halt": "the run is halted",
}

_MOST_EVENTS = 1024
_LOOK_NS = int(LOOK_S * 1e9)
_COUNTING = (State.CLOSED, State.METRICS_ONLY)
_BLOCKING = (State.UNINIT, State.INVALID, State.OPEN, State.FORCED_OPEN)
_OPEN = ("open", "forced-open")


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
        tell: Callable[[Notice], object] = to_nobody,
        raise_mode: Callable[[Mode, str], object] = lambda mode, reason: None,
        lag_ns: Callable[[int], int] = lambda now_ns: 0,
        resumed: bool = False,
        forced: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    ) -> None:
        """Give settings to the breakers that have none, and close those that were never closed.

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
            tell: Is given a notice of each breaker that opens or closes, and of the global one.
            raise_mode: Raises the mode of the run, for a reason.
            lag_ns: Returns at a time the age of the oldest event that is not on the disk.
            resumed: Whether it is a run that was killed, and whose processes are awaited again.
            forced: Actor and reason of those that are forced open again instead of closed.
        """
        self._group = group
        self._config = config
        self._report = report
        self._halt = halt
        self._publish = publish
        self._notify = tell
        self._raise_mode = raise_mode
        self._run = segment.words("run")
        self._breakers = {name: self._group.breaker(name) for name in self._group.names}
        self._vitals = Vitals(segment, config, stages, lag_ns, died_ns=now_ns if resumed else None)
        self._wrong: dict[str, tuple[int, str]] = {}  # the last, and in which generation it was
        self._global = GlobalState.UNKNOWN
        self._fed_ns = 0  # not known of a predecessor, who may have been silent for long
        self._acted_ns = 0  # what was open until then has been acted on
        self._is_oversleeping = False
        self._continuity = Continuity(self._words())
        again = begin(self._group, config, now_ns, forced)
        self._told = {name: _as_told(each.word) for name, each in self._breakers.items()}
        self._group.fed(now_ns)
        # Those are refused what they were refused before; to halt for them would halt each run
        # before an operator could reset them.
        self._follow(now_ns, on_open="refuse" if again else None)
        self._fed_ns = now_ns

    def tick(self, now_ns: int, *, judge: bool = True) -> None:
        """Look, and do what follows.

        Args:
            now_ns: CLOCK_MONOTONIC.
            judge: False while the run is drained: silence is no illness then.
        """
        is_killed = self._run.load("halted") or self._mode() is Mode.EMERGENCY
        if is_killed and not self._group.latch:
            self._group.set_latch(True)
        if judge:
            found = self._vitals.look(now_ns)
            self._tell_late(self._vitals.late_ns)
            for name, health in found.items():
                if health.judged:
                    self._feed(self._breakers[name], health, now_ns)
        for breaker in self._breakers.values():
            breaker.reap(now_ns)
        self._group.fed(now_ns)
        self._follow(now_ns)
        self._fed_ns = now_ns

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

    def _tell_late(self, late_ns: int) -> None:
        if late_ns and not self._is_oversleeping:
            refused = "; new risk was refused meanwhile" if late_ns > SILENT_NS else ""
            self._report(
                f"the supervisor looked {late_ns / 1e6:.0f} ms after its last look, later than "
                f"{OVERSLEPT_NS / 1e6:.0f} ms: no component is judged by that{refused}"
            )
        self._is_oversleeping = late_ns > 0

    def _mode(self) -> Mode:
        return mode_of(self._run.load("mode"))

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

    def _follow(self, now_ns: int, on_open: str | None = None) -> None:
        """Hand on what has happened, and act if the global one has opened.

        `on_open` goes over what is configured.
        """
        state = GlobalState(self._group.derive(now_ns))
        told: list[Event] = []
        while True:
            events = self._group.events(_MOST_EVENTS)
            told += self._continuity.fill(events)
            if len(events) < _MOST_EVENTS:
                break
        told += self._continuity.look(self._words(), now_ns, state, latch=self._group.latch)
        for event in told:
            self._tell(event)
        opened = [event for event in told if self._has_opened(event)]
        if opened and state is not GlobalState.OPEN:
            state = GlobalState(self._group.derive(now_ns))  # it may have been open since
        # By the state first, not by events, which may have been lost.
        before, self._global = self._global, state
        on_open = on_open or self._config["breakers"]["on_open"]
        if GlobalState.OPEN not in (before, state):
            if opened:
                self._act("open for less than a look", self._were_open(told), on_open)
        elif before is not state:
            self._turned(before, state, on_open)
        if opened or state is GlobalState.OPEN:
            # Others may yet tell of the same opening.
            times = (int(event["time_ns"]) for event in told)
            self._acted_ns = max([now_ns, *times]) + _LOOK_NS

    def _has_opened(self, event: Event) -> bool:
        """Return whether an event says that the global one has opened, and that is news."""
        if event["time_ns"] <= self._acted_ns:
            return False
        if event["kind"] == EventKind.GLOBAL:
            # If only because nobody judged the components for so long, that is over now.
            is_silence = event["time_ns"] - self._fed_ns > SILENT_NS
            return event["after"] == GlobalState.OPEN and not is_silence
        settings = self._breaker_of(event).settings
        return _opens(event) and settings is not None and settings.critical

    def _breaker_of(self, event: Event) -> Breaker:
        return self._breakers[self._group.names[int(event["breaker"])]]

    def _tell(self, event: Event) -> None:
        self._publish(event)
        if event["kind"] == EventKind.RELOADED and event["pid"] == os.getpid():
            return  # at the start, which is no news
        wrong = ""
        if event["kind"] != EventKind.GLOBAL:
            wrong = self._wrong_in(self._breaker_of(event).name, generation_of(event["before"]))
        if (said := sentence(event, self._group.names, wrong)) is not None:
            self._report(said)
            if event["kind"] == EventKind.TRANSITION:
                self._notice(event, said)

    def _notice(self, event: Event, said: str) -> None:
        """Tell of a breaker that is in another state than was told last."""
        name, state = self._breaker_of(event).name, _as_told(event["after"])
        if state == self._told[name]:
            return
        self._told[name] = state
        severity: Severity = "info" if state == "closed" else "warning"
        by, reason = (bytes(event[field]).decode(errors="replace") for field in ("actor", "reason"))
        self._notify(Notice("breaker", severity, said, reason, by))

    def _turned(self, before: GlobalState, state: GlobalState, on_open: str) -> None:
        change = f"{before.name.lower()} -> {state.name.lower()}"
        if state is not GlobalState.OPEN:
            still = f"; {_UNTIL_RESUMED}" if self._mode() >= Mode.REDUCED else ""
            said = f"global breaker: {change}: {self._open() or 'no breaker is open'}{still}"
            self._report(said)
            self._notify(Notice("breaker", "info", said))
        elif self._group.latch:
            self._report(f"global breaker: {change}: the run is halted")
        else:
            self._act(change, self._open(), on_open)

    def _act(self, change: str, why: str, on_open: str) -> None:
        said = f"global breaker: {change}: {why}; {_ACTS[on_open]}"
        self._report(said)
        if self._fed_ns:  # else it is at the start, and was open before
            self._notify(Notice("breaker", "critical", said, why))
        if on_open == "flatten":
            self._raise_mode(Mode.REDUCED, f"the global breaker opened: {why}")
        elif on_open == "halt":
            self._halt(f"the global breaker opened: {why}")

    def _open(self) -> str:
        """Say which breakers are open, and what was wrong when they opened."""
        said = []
        for name, breaker in self._breakers.items():
            if breaker.state in _BLOCKING:
                wrong = self._wrong_in(name, breaker.generation - 1)
                said.append(f"{name} is {state_of(breaker.word)}" + (wrong and f" ({wrong})"))
        return ", ".join(said)

    def _were_open(self, events: Sequence[Event]) -> str:
        """Say of which breakers events say that they opened."""
        opened = [event for event in events if _opens(event)]
        said = (f"{self._breaker_of(each).name} was {state_of(each['after'])}" for each in opened)
        return ", ".join(said) or "nobody has told of which breakers"


def _opens(event: Event) -> bool:
    """Return whether an event says that a breaker has opened."""
    return event["kind"] == EventKind.TRANSITION and state_of(event["after"]) in _OPEN


def _as_told(word: int) -> str:
    """Return the state in a state word; one that is probed counts as open until that is decided."""
    state = state_of(word)
    return "open" if state == "half-open" else state
