"""The circuit breakers: the rules that all follow, and what is different for each component."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from pipeline.config.table import Problem, Table, refuse
from pipeline.config.values import BasisPoints, PositiveBasisPoints

COMPONENTS = ("feed", "orders", "ta", "ml", "risk", "storage")
"""The tables; those of feed and orders are for each venue's."""

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
Span = Annotated[float, Field(ge=0.001, le=3600, allow_inf_nan=False)]
Day = Annotated[float, Field(ge=0.001, le=86_400, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)]
Window = Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)]
Calls = Annotated[int, Field(ge=1, le=1024)]
Probes = Annotated[int, Field(ge=1, le=16)]
Weight = Annotated[int, Field(ge=1, le=1000)]
# A worker beats each 100 ms at the latest.
Beat = Annotated[int, Field(ge=300, le=3_600_000)]
Fill = Annotated[int, Field(ge=1, lt=10_000)]


def _critical(value: Any) -> Literal["auto"] | bool:
    if value == "auto" or isinstance(value, bool):
        return "auto" if value == "auto" else value
    raise ValueError('must be true, false or "auto"')


class Component(Table):
    """What is different for one component; None is as in the table above."""

    window: Literal["time", "count"] | None = None
    window_s: Window | None = None
    window_calls: Calls | None = None
    min_calls: Annotated[Count, Field(ge=1)] | None = None
    failure_bp: BasisPoints | None = None
    slow_bp: BasisPoints | None = None
    slow_ms: Annotated[int, Field(ge=0, le=3_600_000)] | None = None
    consecutive: Count | None = None
    cooldown_s: Span | None = None
    cooldown_factor: Factor | None = None
    cooldown_max_s: Day | None = None
    jitter_bp: Annotated[int, Field(ge=0, le=5000)] | None = None
    probes: Probes | None = None
    successes: Probes | None = None
    failures: Annotated[int, Field(ge=0, le=15)] | None = None
    max_stay_s: Span | None = None
    lease_s: Span | None = None
    weight: Weight = Field(default=1, description="in the global state")


class ProcessComponent(Component):
    """One that is a process of the pipeline."""

    beat_ms: Beat | None = None
    restarts: Count | None = None
    p99_ms: Milliseconds | None = None


class FeedComponent(ProcessComponent):
    """The market data of a venue."""

    critical: Annotated[Literal["auto"] | bool, PlainValidator(_critical)] = Field(
        default="auto", description='whether it opens the global one; "auto": if it is the only one'
    )
    age_ms: Annotated[int, Field(ge=200, le=600_000)] = Field(
        default=3000, description="oldest last message from the venue, ms"
    )


class StageComponent(ProcessComponent):
    """A stage."""

    critical: bool = Field(default=False, description="whether it opens the global one")
    queue_bp: Fill | None = None


class CriticalStage(StageComponent):
    """A stage that nothing may be traded without."""

    critical: bool = Field(default=True, description="whether it opens the global one")


class StorageComponent(Component):
    """The disk."""

    critical: bool = Field(default=False, description="whether it opens the global one")
    # Writes are its only calls: while it is open, what happens waits in memory.
    cooldown_max_s: Day | None = 30.0
    lag_ms: Milliseconds = Field(default=5000, description="oldest event not yet on disk, ms")


class Breakers(Table):
    """What each breaker follows unless its own table says otherwise; bp are of 10000."""

    window: Literal["time", "count"] = Field(default="time", description="of what outcomes")
    window_s: Window = Field(default=10.0, description="length of a window of time")
    window_calls: Calls = Field(default=100, description="length of a window of calls")
    min_calls: Annotated[Count, Field(ge=1)] = Field(
        default=10, description="calls in a window below which there is no rate"
    )
    failure_bp: BasisPoints = Field(default=5000, description="failures that open it, bp; 0: off")
    slow_bp: BasisPoints = Field(default=0, description="slow calls that open it, bp; 0: off")
    slow_ms: Annotated[int, Field(ge=0, le=3_600_000)] = Field(
        default=1000, description="what takes longer is slow, ms"
    )
    consecutive: Count = Field(default=5, description="failures in a row that open it; 0: off")
    cooldown_s: Span = Field(default=30.0, description="open for so long, then probes")
    cooldown_factor: Factor = Field(default=2.0, description="by which failed probes prolong that")
    cooldown_max_s: Day = Field(default=300.0, description="no longer than that")
    jitter_bp: Annotated[int, Field(ge=0, le=5000)] = Field(
        default=2000, description="by which a cooldown varies, bp"
    )
    probes: Probes = Field(default=3, description="at once")
    successes: Probes = Field(default=3, description="of probes, that close it")
    failures: Annotated[int, Field(ge=0, le=15)] = Field(
        default=1, description="of probes, that it allows; one more opens it again"
    )
    max_stay_s: Span = Field(default=60.0, description="longest time without a decision")
    lease_s: Span = Field(default=10.0, description="longest time for a probe")

    beat_ms: Beat = Field(default=1500, description="silence of a process that makes it sick, ms")
    restarts: Count = Field(
        default=3, description="more deaths in supervisor.restart_window_s make it sick"
    )
    p99_ms: Milliseconds = Field(
        default=1000, description="p99 of its hops and its step over the last second, ms"
    )
    queue_bp: Fill = Field(default=9000, description="filling of its input rings, bp")

    min_components: Annotated[int, Field(ge=1, le=64)] = Field(
        default=3, description="enabled ones below which there is no share of open ones"
    )
    open_bp: PositiveBasisPoints = Field(
        default=5000, description="share, in weight, of open ones that opens the global one, bp"
    )
    close_bp: PositiveBasisPoints = Field(
        default=3500, description="share at which it is no longer open, bp"
    )
    on_open: Literal["refuse", "flatten", "halt"] = Field(
        default="refuse", description="what is done when the global one opens"
    )

    feed: FeedComponent = FeedComponent()
    orders: CriticalStage = CriticalStage()
    ta: StageComponent = StageComponent()
    ml: StageComponent = StageComponent()
    risk: CriticalStage = CriticalStage()
    storage: StorageComponent = StorageComponent()

    @field_validator("close_bp")
    @classmethod
    def _is_below(cls, close_bp: int, info: ValidationInfo) -> int:
        if (open_bp := info.data.get("open_bp")) is not None and close_bp >= open_bp:
            raise ValueError(f"must be less than breakers.open_bp, {open_bp}")
        return close_bp

    @model_validator(mode="after")
    def _can_work(self) -> Breakers:
        table = self.model_dump()
        problems = {problem.path: problem for problem in _problems(table, "")}
        for component in COMPONENTS:
            for problem in _problems(table, component):
                # What is wrong for all is said once.
                if ("breakers", problem.path[-1]) not in problems:
                    problems[problem.path] = problem
        refuse(list(problems.values()))
        return self


def _problems(table: Mapping[str, Any], component: str) -> Iterator[Problem]:
    """Yield what is wrong with a component's settings, or with those of all ("")."""
    # Here, because they cost numpy.
    from pipeline.breakers.settings import KEYS, LOOK_S, settings_from
    from shm.breaker_types import PROBES, BreakerSettingsError

    try:
        settings = settings_from(table, component)
    except BreakerSettingsError as error:
        wrong = error.problems
    else:
        looks = int(round(settings.window_ns / 1e9 / LOOK_S, 6))
        is_rate_only = settings.window == "time" and not settings.consecutive
        if is_rate_only and settings.min_calls > looks and component != "storage":
            yield _never_opens(table, component, settings.min_calls, looks, LOOK_S)
        return
    for field, sentence in wrong.items():
        key, unit = KEYS[field]
        own = table[component] if component else {}
        value = table[key] if own.get(key) is None else own[key]
        path = ("breakers", component, key) if component else ("breakers", key)
        before, _, remedy = sentence.partition(", must ")
        if not before.startswith(f"{field} was "):  # it is about several
            remedy = {
                "successes": f"be less, so that failures and it are at most {PROBES} together, "
                "the permits of an episode",
                "failure_bp": "be > 0, unless slow_bp or consecutive is, or nothing would ever "
                "open it",
            }.get(field, sentence)
            yield Problem(path, value, remedy)
            continue
        if unit != 1:
            remedy = re.sub(r"\d+", lambda found: f"{int(found[0]) / unit:g}", remedy)  # noqa: B023 - called at once
        for other, (name, _) in KEYS.items():
            remedy = re.sub(rf"\b{other}\b", name, remedy)
        yield Problem(path, value, remedy)


def _never_opens(
    table: Mapping[str, Any], component: str, min_calls: int, looks: int, look_s: float
) -> Problem:
    own = table[component] if component else {}
    at = ("breakers", component) if component else ("breakers",)
    most = (
        f"at most {looks}, the looks in window_s, one each {look_s * 1000:g} ms, "
        "or nothing would ever open it"
    )
    if own.get("consecutive") == 0 and own.get("min_calls") is None:
        return Problem((*at, "consecutive"), 0, f"be > 0, or min_calls, {min_calls}, {most}")
    return Problem((*at, "min_calls"), min_calls, f"be {most}, unless consecutive is > 0")
