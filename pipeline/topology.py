"""The pipeline, declared once: its processes, the rings between them, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline import _native
from pipeline.instruments import SIMULATOR
from pipeline.records import (
    ANSWER,
    CONTEXT,
    CONTROL,
    CORRELATIONS,
    CURSORS,
    EXECUTION,
    FEATURES,
    INTENT,
    MARKET,
    ORDER,
    OUTCOME,
    QUESTION,
    QUOTE,
)
from pipeline.stage import Stage, load_object
from shm import (
    BlobSpec,
    BreakersSpec,
    CellsSpec,
    CountersSpec,
    DoorbellSpec,
    HistogramsSpec,
    Layout,
    LayoutError,
    ObserverSpec,
    RingSpec,
    TableSpec,
    WordsSpec,
)
from shm.layout import RegionSpec


@dataclass(frozen=True, slots=True)
class Edge:
    """A ring from one process to another.

    A consumer that is not woken by it takes its records whenever something else, a tick at the
    latest, wakes it.
    """

    ring: str
    dtype: np.dtype[np.void]
    producer: str
    consumer: str
    wakes: bool = True

    @property
    def producer_bell(self) -> str | None:
        """The doorbell of its producer, if that waits at one."""
        return self.producer if self.producer in PIPELINE else None


EDGES: Final = (
    Edge("market", MARKET, "feed", "ta"),
    # For the paper venue: an order is matched against all that had happened when it arrived.
    Edge("ticks", MARKET, "feed", "executor", wakes=False),
    Edge("features", FEATURES, "ta", "ml"),
    # None is urgent: risk takes them when something else wakes it.
    Edge("correlations", CORRELATIONS, "ta", "risk", wakes=False),
    # The same records, for the sizes of entries.
    Edge("clusters", CORRELATIONS, "ta", "ml", wakes=False),
    Edge("intents", INTENT, "ml", "risk"),
    Edge("orders", ORDER, "risk", "executor"),
    Edge("outcomes", OUTCOME, "risk", "ml"),
    Edge("executions", EXECUTION, "executor", "risk"),
    # What operators ask for; see `pipeline.requests`.
    Edge("control", CONTROL, "supervisor", "risk", wakes=False),
)

MODEL: Final = "model"
"""The process that evaluates a model which is not evaluated natively; no stage, and not vital."""

MODEL_EDGES: Final = (
    Edge("questions", QUESTION, "ml", MODEL),
    Edge("answers", ANSWER, MODEL, "ml"),
)

STAGES: Final[Mapping[str, str]] = {
    "ta": "workers.ta.stage:TechnicalAnalysis",
    "ml": "workers.ml.stage:Strategies",
    "risk": "workers.risk.stage:Risk",
    "executor": "workers.executor.stage:PaperExecutor",
}
"""The stages that the runtime drives, from source to sink; the feed, before them, is a source."""

PIPELINE: Final = ("feed", *STAGES)
PROCESSES: Final = ("exchange", *PIPELINE)
"""All that the supervisor starts, from source to sink."""

SHOWN: Final = (*PIPELINE, MODEL)
"""The processes, of those that a run has, of which people are told what they take and give."""

LAST: Final = "orders"
"""The ring whose records end the way of a market record: tick to order is measured behind it."""

# The first ones of each are known to native/binding/loop.cpp by their place.
STAGE_WORDS: Final = ("committed", "beat", "first_ns", "crash", "pid", "started_ns")
RUN_WORDS: Final = ("halted", "finished", "mode")

STAGE_COUNTERS: Final = ("replayed", "suppressed")
FEED_COUNTERS: Final = (
    *("connects", "messages", "malformed", "unknown", "full"),
    *("trades", "quotes", "gaps", "checksum_failed", "crossed", "stales", "resyncs", "takeovers"),
)

# Recovery reads the contexts of a whole batch. In a ring of one slot the next record is written
# over the last cause before it is published: what was out already would be published again.
_LEAST: Final = {"market_capacity": _native.BATCH, "capacity": 2}

CONFIG_BYTES: Final = 1 << 16
HALT: Final = np.dtype([("time_ns", "<i8"), ("actor", "S64"), ("reason", "S184")])

MOST_LIMITS: Final = 1024
"""Numbers that one request may change: a key for all instruments is one for each."""

REQUEST: Final = np.dtype(
    [
        ("request", "<u8"),  # from 1; a new one is larger
        ("kind", "<u8"),  # a ControlKind
        ("amount", "<i8"),
        ("limits", "<u8"),  # how many of the next two there are
        ("index", "<u4", (MOST_LIMITS,)),
        ("value", "<i8", (MOST_LIMITS,)),
        ("actor", "S64"),
        ("reason", "S184"),
        ("live", "S4096"),  # keys of [risk] whose values are other than at the start, as JSON
    ]
)
"""What an operator has asked the run for last; see `pipeline.requests`."""


def processes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the supervisor starts for a configuration.

    An exchange only to trade there, or to play a captured market.
    """
    is_captured = "capture" in config.get("run", {})
    is_simulated = any(each["venue"] == SIMULATOR for each in config["instruments"])
    started = PROCESSES if is_captured or is_simulated else PIPELINE
    return (*started, MODEL) if asks(config) else started


def asks(config: Mapping[str, Any]) -> bool:
    """Return whether ml asks a process of its own for what the model says."""
    return bool(config.get("ml", {}).get("model_kind") == "skops")


def edges(config: Mapping[str, Any]) -> tuple[Edge, ...]:
    """Return the rings that there are for a resolved configuration."""
    return (*EDGES, *MODEL_EDGES) if asks(config) else EDGES


def questions_capacity(config: Mapping[str, Any]) -> int:
    """Return how many records the ring of questions holds: two of each instrument, and a batch."""
    return 1 << (_native.BATCH + 2 * len(config["instruments"]) - 1).bit_length()


def most_questions(config: Mapping[str, Any]) -> int:
    """Return how many questions may be without an answer.

    The ring then never fills up, even if a batch that is answered is not yet released: a step of ml
    never waits for room in it.
    """
    return questions_capacity(config) - _native.BATCH


def components(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the components that have a breaker, in the order of their bits in a context."""
    venues = sorted({instrument["venue"] for instrument in config["instruments"]})
    return (
        *(f"feed.{venue}" for venue in venues),
        *(f"orders.{venue}" for venue in venues),
        *("ta", "ml", "risk", "storage"),
    )


HEALTH: Final[Mapping[str, tuple[str, ...]]] = {
    "feed": ("age_ms", "beat_ms", "restarts", "p99_ms"),
    "orders": ("beat_ms", "restarts", "p99_ms", "queue_bp"),
    "ta": ("beat_ms", "restarts", "p99_ms", "queue_bp"),
    "ml": ("beat_ms", "restarts", "p99_ms", "queue_bp"),
    "risk": ("beat_ms", "restarts", "p99_ms", "queue_bp"),
    "storage": ("lag_ms",),
}
"""What the supervisor judges a component by, named like its limits in the configuration."""


def health_words(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the words in which the supervisor publishes how well all are."""
    return tuple(
        f"{component}.{quantity}"
        for component in components(config)
        for quantity in HEALTH[component.partition(".")[0]]
    )


def stage(name: str, config: Mapping[str, Any]) -> Stage:
    """Return a stage by its name, importing it."""
    made: Stage = load_object(STAGES[name]).of(config)
    return made


def outputs_of(producer: str, among: Sequence[Edge] = EDGES) -> tuple[Edge, ...]:
    """Return the rings that a process publishes to."""
    return tuple(edge for edge in among if edge.producer == producer)


def edge(ring: str) -> Edge:
    """Return an edge by the name of its ring."""
    return next(each for each in (*EDGES, *MODEL_EDGES) if each.ring == ring)


def histograms_of(stage: Stage) -> tuple[str, ...]:
    """Return the latencies that a stage records, all in ns."""
    hops = tuple(f"hop.{ring}" for ring in stage.inputs)
    steps = ("step",) if stage.timed else ()
    last = ("tick_to_order",) if LAST in stage.inputs else ()
    return (*hops, "through", *steps, *last)


def layout(config: Mapping[str, Any], affinity: Mapping[str, Sequence[int]]) -> Layout:
    """Return the segment's layout for a resolved configuration and a map of CPUs.

    Raises:
        LayoutError: rings are too small for a stage to recover from them.
    """
    pipeline = config["pipeline"]
    for key, least in _LEAST.items():
        if pipeline[key] < least:
            raise LayoutError(f"pipeline.{key} was {pipeline[key]}, must be >= {least}")
    capacities = {
        "market": pipeline["market_capacity"],
        "ticks": 4 * pipeline["market_capacity"],
        "questions": questions_capacity(config),
    }
    own = (MODEL,) if asks(config) else ()
    regions: list[RegionSpec] = [
        BlobSpec("config", CONFIG_BYTES),
        WordsSpec("run", RUN_WORDS),
        BreakersSpec("breakers", components(config)),
        WordsSpec("health", health_words(config)),
        TableSpec("halt", HALT, 1),
        TableSpec("request", REQUEST, 1),
        WordsSpec("supervisor.words", ("beat", "pid")),
        WordsSpec("notices", ("delivered", "failed", "dropped")),
        CountersSpec("restarts", (*PROCESSES, *own)),
        WordsSpec("exchange.words", ("port", "beat", "pid", "leash")),
        WordsSpec("feed.words", STAGE_WORDS),
        CountersSpec("feed.counters", FEED_COUNTERS),
        HistogramsSpec("feed.latency", ("through",)),
        TableSpec("quotes", QUOTE, len(config["instruments"])),
        *(DoorbellSpec(name, cpus=tuple(affinity[name]) or None) for name in (*PIPELINE, *own)),
        *(WordsSpec(f"{name}.words", STAGE_WORDS) for name in own),
    ]
    for each in edges(config):
        regions.append(
            RingSpec(
                each.ring,
                each.dtype,
                capacities.get(each.ring, pipeline["capacity"]),
                consumer_bell=each.consumer if each.wakes else None,
                producer_bell=each.producer_bell,
            )
        )
    for name in STAGES:
        made = stage(name, config)
        regions += [
            WordsSpec(f"{name}.words", STAGE_WORDS),
            CountersSpec(f"{name}.counters", STAGE_COUNTERS),
            HistogramsSpec(f"{name}.latency", histograms_of(made)),
            ObserverSpec(f"{name}.contexts", CONTEXT, pipeline["market_capacity"]),
            CellsSpec(f"{name}.cursors", CURSORS, 1),
            *(CellsSpec(f"{name}.{group}", *cells) for group, cells in made.cells().items()),
        ]
    return Layout(*regions)
