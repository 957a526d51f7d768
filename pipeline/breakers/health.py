"""How well each component is: what the supervisor measures, and how far that is from its limit.

The supervisor looks; what it found lies in the segment, in the words ``health``, for all to see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline import topology
from pipeline.breakers.latency import RecentLatency
from pipeline.breakers.settings import kind_of, value_of
from pipeline.kill.positions import committed
from pipeline.records import QUOTE
from pipeline.stage import Stage
from shm import RingSpec, Segment

OVERSLEPT_NS: Final = 500_000_000
"""A look that comes so late finds what it would find if the whole machine had stood still."""

FIRST_WORD_NS: Final = 20_000_000_000
"""So long a feed may take to bring its first record, as a process may to begin to beat."""

SUCCESSION_NS: Final = 3_000_000_000
"""So long nobody need be there in the place of a process that died."""

STALE_NS: Final = 3_600_000_000_001
"""What a look counts as while ml's model is too old: longer than `slow_ms` can be."""

NOT_JUDGED: Final = (1 << 64) - 1
"""In a word: there is no value at the moment."""

_MS = 1_000_000
_UNITS: Mapping[str, str] = {
    "age_ms": "ms",
    "beat_ms": "ms",
    "restarts": "deaths",
    "p99_ms": "ms",
    "queue_bp": "bp",
    "lag_ms": "ms",
}


@dataclass(frozen=True, slots=True)
class Distance:
    """One quantity, and the limit beyond which its component is sick.

    Attributes:
        name: As its limit is called in the configuration, e.g. "age_ms".
        value: None while there is nothing to judge.
        limit: In the same unit.
        unit: "ms", "bp" or "deaths".
    """

    name: str
    value: float | None
    limit: float
    unit: str

    @property
    def is_beyond(self) -> bool:
        """Whether it is beyond its limit."""
        return self.value is not None and self.value > self.limit


@dataclass(frozen=True, slots=True)
class Health:
    """How well a component is.

    Attributes:
        judged: Whether that can be said: not of a process that is just starting.
        wrong: What is beyond its limit, with figures; empty if nothing is.
        duration_ns: The largest p99 of the last second, the time that this look counts as; or
            STALE_NS.
        distances: All that is looked at.
    """

    judged: bool
    wrong: str
    duration_ns: int
    distances: tuple[Distance, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def process_of(component: str) -> str | None:
    """Return the process that a component is; None for one that is none."""
    kind = kind_of(component)
    return {"orders": "executor", "storage": None}.get(kind, kind)


def components_of(process: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the components that a process is."""
    return tuple(each for each in topology.components(config) if process_of(each) == process)


def distances(segment: Segment, config: Mapping[str, Any]) -> dict[str, tuple[Distance, ...]]:
    """Return what the supervisor found when it last looked at each component."""
    words = segment.words("health")
    try:
        return {
            component: tuple(
                _distance(config, component, quantity, words.load(f"{component}.{quantity}"))
                for quantity in topology.HEALTH[kind_of(component)]
            )
            for component in topology.components(config)
        }
    finally:
        words.close()


class Vitals:
    """Looks at all components of a run."""

    def __init__(
        self,
        segment: Segment,
        config: Mapping[str, Any],
        stages: Mapping[str, Stage],
        lag_ns: Callable[[int], int],
        *,
        died_ns: int | None = None,
    ) -> None:
        """Look at a run from now on.

        Args:
            segment: Of the run.
            config: Its resolved configuration.
            stages: Its stages by name.
            lag_ns: Returns the age of the oldest event that is not on the disk, 0 without any.
            died_ns: If the run goes on with one that was killed: since when all are awaited.
        """
        self._config = config
        self._lag_ns = lag_ns
        self._shown = segment.words("health")
        self._processes = {
            name: _Process(name, segment, config, stages, died_ns) for name in topology.PIPELINE
        }
        self._model = _ModelAge(segment)
        self._last_ns: int | None = None
        self._fair_ns = 0
        self.late_ns = 0
        """How long after the one before the last look came, if that was too late; else 0."""

    def died(self, process: str, now_ns: int) -> None:
        """Note the death of a process."""
        self._processes[process].died(now_ns)

    def look(self, now_ns: int) -> dict[str, Health]:
        """Return how well each component is; of none is anything said if this look is late."""
        slept_ns = 0 if self._last_ns is None else now_ns - self._last_ns
        self.late_ns = slept_ns if slept_ns > OVERSLEPT_NS else 0
        if self._last_ns is None or self.late_ns:
            self._fair_ns = now_ns  # the limits count from now on
            for process in self._processes.values():
                process.latency.clear()
        self._last_ns = now_ns
        for process in self._processes.values():
            process.look(now_ns, self._fair_ns)
        return {
            component: self._judge(component, now_ns, late=bool(self.late_ns))
            for component in topology.components(self._config)
        }

    def _judge(self, component: str, now_ns: int, *, late: bool) -> Health:
        found: dict[str, tuple[int, str] | None]
        if (name := process_of(component)) is None:
            found = {"lag_ms": (self._lag_ns(now_ns), "the oldest event that is not on disk")}
            judged, duration_ns = True, 0
        else:
            process = self._processes[name]
            found = dict(process.found)
            judged = process.has_begun
            if kind_of(component) == "feed":
                venue = component.partition(".")[2]
                found["age_ms"] = process.silence(venue, now_ns, self._fair_ns)
                judged = process.has_worked
            duration_ns = (found["p99_ms"] or (0, ""))[0]
            if name == "ml" and self._model.is_stale():
                duration_ns = STALE_NS
        measured, wrong = [], []
        if (name := process_of(component)) is not None and (missed := self._processes[name].late):
            # However long a decision may last: its model has missed a budget of its own.
            budget_ms = self._config["ml"]["answer_timeout_ms"]
            duration_ns = max(duration_ns, budget_ms * _MS)
            wrong.append(f"{missed} decisions without the model's answer within {budget_ms} ms")
        for quantity in topology.HEALTH[kind_of(component)]:
            value = found[quantity]
            word = NOT_JUDGED if value is None else value[0]
            self._shown.store(f"{component}.{quantity}", word)
            measured.append(_distance(self._config, component, quantity, word))
            if measured[-1].is_beyond and value is not None:
                wrong.append(_sentence(measured[-1], value[1]))
        # A death is one, whether or not the successor has begun, and so is one that never does.
        judged = (judged or bool(wrong)) and not late
        return Health(judged, "; ".join(wrong), duration_ns, tuple(measured))


class _ModelAge:
    """Whether ml's model was too old when it was last asked."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._is_stale = False
        self._asked, self._stale = self._counts()

    def _counts(self) -> tuple[int, int]:
        state = committed(self._segment, "ml", "instruments")
        return int(state["asked"].sum()), int(state["stale"].sum())

    def is_stale(self) -> bool:
        asked, stale = self._counts()
        if asked != self._asked:
            self._is_stale = stale != self._stale
            self._asked, self._stale = asked, stale
        return self._is_stale


class _Process:
    """What is known of one process."""

    def __init__(
        self,
        name: str,
        segment: Segment,
        config: Mapping[str, Any],
        stages: Mapping[str, Stage],
        died_ns: int | None,
    ) -> None:
        self._segment = segment
        self._words = segment.words(f"{name}.words")
        self._deaths: deque[int] = deque()
        self._died_ns = died_ns  # since when it has no successor that beats
        self._first_due_ns = died_ns  # since when it has none that has taken a record
        self._window_s = config["supervisor"]["restart_window_s"]
        self._capacities: dict[str, int] = {}
        for ring in stages[name].inputs if name in stages else ():
            spec = segment.layout.regions[ring].spec
            assert isinstance(spec, RingSpec)
            self._capacities[ring] = spec.capacity
        self._quotes = segment.table_reader("quotes") if name == "feed" else None
        self._rows: dict[str, list[int]] = {}
        for row, instrument in enumerate(config["instruments"]):
            self._rows.setdefault(instrument["venue"], []).append(row)
        # A ring that wakes nobody is read when something else does: its hop says nothing.
        judged = {"through", "step", *(f"hop.{edge.ring}" for edge in topology.EDGES if edge.wakes)}
        self.latency = RecentLatency(
            lambda: {
                histogram: values
                for histogram, values in segment.histograms(f"{name}.latency").items()
                if histogram in judged
            }
        )
        self._asks = name == "ml" and topology.asks(config)
        self._late = self._count_late()
        self.late = 0
        self.has_begun = False
        self.has_worked = False
        self.found: dict[str, tuple[int, str] | None] = {}

    def died(self, now_ns: int) -> None:
        self._deaths.append(now_ns)
        self.latency.clear()
        # If its successor has died before it did anything, nobody is there since the first death.
        self._see_successor()
        self._died_ns = now_ns if self._died_ns is None else self._died_ns
        self._first_due_ns = now_ns if self._first_due_ns is None else self._first_due_ns

    def _see_successor(self) -> None:
        # Until it is started these are its predecessor's words.
        if self._died_ns is not None and self._words.load("beat") > self._died_ns:
            self._died_ns = None
        if self._first_due_ns is not None and self._words.load("first_ns") > self._first_due_ns:
            self._first_due_ns = None

    def look(self, now_ns: int, fair_ns: int) -> None:
        """Find all quantities that do not depend on the venue, each with what it is of."""
        while self._deaths and now_ns - self._deaths[0] > self._window_s * 1e9:
            self._deaths.popleft()
        self._see_successor()
        beat = self._words.load("beat")
        self.has_begun = bool(beat)
        self.has_worked = has_worked = bool(beat and self._words.load("first_ns"))
        if not has_worked:
            self.latency.clear()
        awaited_ns = _awaited(self._died_ns, now_ns, fair_ns)
        beat_ms: tuple[int, str] | None = None
        if beat:
            beat_ms = now_ns - min(now_ns, max(beat, fair_ns)), "the last heartbeat"
        elif awaited_ns:
            beat_ms = awaited_ns, "the last death (no heartbeat since)"
        self.found = {
            "beat_ms": beat_ms,
            "restarts": (len(self._deaths), f"{self._window_s:g} s"),
            "p99_ms": self.latency.look(now_ns) if has_worked else None,
            "queue_bp": max(map(self._filling, self._capacities), default=None)
            if has_worked
            else None,
        }
        before, self._late = self._late, self._count_late()
        self.late = self._late - before

    def _count_late(self) -> int:
        """Return how often a decision was made without an answer that was due."""
        return int(committed(self._segment, "ml", "stage")["late"][0]) if self._asks else 0

    def _filling(self, ring: str) -> tuple[int, str]:
        return self._segment.depth(ring) * 10_000 // self._capacities[ring], ring

    def silence(self, venue: str, now_ns: int, fair_ns: int) -> tuple[int, str] | None:
        """Return the age of the oldest last message on the venue's link; None at the beginning.

        Until there is a first message, that is 20 s, or, after a death, 3 s; what was heard before
        that counts then.
        """
        what = "the last message"
        if self.has_worked:
            first_ns = self._words.load("first_ns")
            # What its predecessor heard last is not its own.
            since = max(self._heard(venue, first_ns), first_ns, fair_ns)
            return now_ns - min(now_ns, since), what
        if self._first_due_ns is not None:
            if not _awaited(self._first_due_ns, now_ns, fair_ns):
                return None
            since = max(self._heard(venue, self._first_due_ns), fair_ns)
            return now_ns - min(now_ns, since), what
        if not self.has_begun:
            return None
        age = now_ns - max(self._words.load("started_ns"), fair_ns)
        return (age, what) if age > FIRST_WORD_NS else None

    def _heard(self, venue: str, default: int) -> int:
        assert self._quotes is not None
        heard = []
        quote = np.zeros(1, QUOTE)
        for row in self._rows[venue]:
            self._quotes.read(row, quote)
            if quote["received_ns"][0]:  # until then nobody says that the link is alive
                heard.append(int(quote["link_ns"][0]))
        return min(heard, default=default)


def _awaited(died_ns: int | None, now_ns: int, fair_ns: int) -> int:
    """Return for how long a successor has been awaited; 0 if not for too long."""
    awaited_ns = 0 if died_ns is None else now_ns - max(died_ns, fair_ns)
    return awaited_ns if awaited_ns > SUCCESSION_NS else 0


def _distance(config: Mapping[str, Any], component: str, quantity: str, word: int) -> Distance:
    limit = value_of(config["breakers"], component, quantity)
    unit = _UNITS[quantity]
    value = None if word == NOT_JUDGED else round(word / _MS, 3) if unit == "ms" else word
    return Distance(quantity, value, limit, unit)


def _sentence(beyond: Distance, of: str) -> str:
    assert beyond.value is not None
    value, limit = beyond.value, beyond.limit
    if beyond.name == "restarts":
        return f"{value:g} deaths within {of} > {limit:g}"
    if beyond.name == "queue_bp":
        return f"filling of ring {of} {value / 100:.1f} % > {limit / 100:.1f} %"
    subject = f"p99 of {of}" if beyond.name == "p99_ms" else f"age of {of}"
    return f"{subject} {round(value, 1):.10g} ms > {limit:g} ms"
