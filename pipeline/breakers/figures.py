"""The breakers at one moment, as figures, in sentences that explain them, and as JSON."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.breakers.explain import readable
from pipeline.breakers.health import Distance, distances
from pipeline.mode import mode_of
from pipeline.vocabulary import Mode
from shm import Breaker, BreakerSettings, Cause, Counts, GlobalState, Segment, State

_BLOCKING = (State.UNINIT, State.INVALID, State.OPEN, State.FORCED_OPEN)
_BY_HAND: Mapping[Cause, str] = {
    Cause.TRIPPED: "tripped",
    Cause.FORCED_OPEN: "forced open",
    Cause.RESET: "reset",
    Cause.DISABLED: "disabled",
    Cause.METRICS_ONLY: "set to metrics only",
}


@dataclass(frozen=True, slots=True)
class BreakerFigures:
    """All of one breaker at one moment; times in ns.

    Attributes:
        name: Of the component.
        state: What it is doing.
        generation: Of that state.
        attempt: Episodes of probes that have failed since it was last closed.
        since_ns: How long it has been in that state; None if nobody has recorded it.
        wait_ns: Until it lets probes through; None unless it is open.
        counts: Its window.
        probes: Issued, done, succeeded, failed; None unless it is half-open.
        in_flight: Permits of probes that are out.
        totals: Of all calls since the segment was made.
        settings: What it decides by.
        last: The event of its last transition; None if nobody could tell of it.
        health: How far each quantity of its component is from its limit.
    """

    name: str
    state: State
    generation: int
    attempt: int
    since_ns: int | None
    wait_ns: int | None
    counts: Counts
    probes: tuple[int, int, int, int] | None
    in_flight: int
    totals: Mapping[str, int]
    settings: BreakerSettings
    last: Any
    health: Sequence[Distance]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data; a rate below `min_calls` is null."""
        return {
            "state": self.state.name.lower(),
            "generation": self.generation,
            "attempt": self.attempt,
            "since_s": _or_none(self.since_ns, _s),
            "probes_again_in_s": _or_none(self.wait_ns, _s),
            "critical": self.settings.critical,
            "weight": self.settings.weight,
            "window": {
                "calls": self.counts.calls,
                "min_calls": self.settings.min_calls,
                "failures": self.counts.failures,
                "slow": self.counts.slow,
                "failure_bp": rate_bp(self.counts.failures, self.counts, self.settings),
                "failure_limit_bp": self.settings.failure_bp or None,
                "slow_bp": rate_bp(self.counts.slow, self.counts, self.settings),
                "slow_limit_bp": self.settings.slow_bp or None,
                "consecutive": self.counts.consecutive,
                "consecutive_limit": self.settings.consecutive or None,
                "verdict": self.counts.verdict.name.lower(),
            },
            "probes": None
            if self.probes is None
            else dict(zip(("issued", "done", "succeeded", "failed"), self.probes, strict=True)),
            "in_flight": self.in_flight,
            "totals": dict(self.totals),
            "health": {
                each.name: {"value": each.value, "limit": each.limit, "unit": each.unit}
                for each in self.health
            },
            "why": explain(self),
            "settings": dataclasses.asdict(self.settings),
        }


@dataclass(frozen=True, slots=True)
class GlobalFigures:
    """The global state, the rules that it follows from, and the breakers that it follows.

    `flatten` says whether all positions are being closed, which an operator has to end, `dropped`
    how many events found no place in the rings since the segment was made, by kind.
    """

    state: GlobalState
    latch: bool
    flatten: bool
    min_components: int
    open_bp: int
    close_bp: int
    breakers: Sequence[BreakerFigures]
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The state's name, in lower case."""
        return self.state.name.lower()

    def why(self) -> str:
        """Return what the state follows from, in a sentence with figures."""
        if self.latch:
            return "the kill latch is set"
        blocking = [each for each in self.breakers if each.state in _BLOCKING]
        critical = [each for each in blocking if each.settings.critical]
        if critical:
            return f"critical: {_listed(critical)}"
        enabled = [each for each in self.breakers if each.state is not State.DISABLED]
        weight = sum(each.settings.weight for each in enabled)
        share = sum(each.settings.weight for each in blocking)
        bp = share * 10_000 // weight if weight else 0
        what = f"{share} of {weight} in weight open = {percent(bp)}"
        if len(enabled) < self.min_components:
            what += f", not judged with fewer than {self.min_components} enabled"
        if self.state is GlobalState.OPEN:
            held = bp < self.open_bp
            limit = f"closes at {percent(self.close_bp)}" if held else _limit(self.open_bp)
            return f"{what}, {limit}: {_listed(blocking) or 'none'}"
        impaired = [each for each in self.breakers if each.state is State.HALF_OPEN]
        if blocking or impaired:
            return f"{_listed([*blocking, *impaired])}; {what}, {_limit(self.open_bp)}"
        return f"{len(enabled)} of {len(self.breakers)} breakers are enabled, none is open"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "state": self.name,
            "latch": self.latch,
            "flatten": self.flatten,
            "why": self.why(),
        }


def figures_of(
    segment: Segment, config: Mapping[str, Any], now_ns: int | None = None
) -> GlobalFigures:
    """Read all breakers of a run; `config` is its resolved configuration.

    Anybody may, at any time: it changes nothing but how fresh the global state is.
    """
    now_ns = time.monotonic_ns() if now_ns is None else now_ns
    group = segment.breakers("breakers", observe=True)
    try:
        health = distances(segment, config)
        return GlobalFigures(
            GlobalState(group.derive(now_ns)),  # the cached one may be older than the words
            group.latch,
            mode_of(segment.words("run").load("mode")) >= Mode.REDUCED,
            *group.current_limits[:3],
            [_figures(group.breaker(name), health[name], now_ns) for name in group.names],
            {kind.name.lower(): count for kind, count in group.drops().items()},
        )
    finally:
        group.close()


def _figures(breaker: Breaker, health: Sequence[Distance], now_ns: int) -> BreakerFigures:
    settings = breaker.settings
    assert settings is not None, "the supervisor configures them before a run has a name"
    state, since, deadline = breaker.state, breaker.since_ns, breaker.deadline_ns
    return BreakerFigures(
        breaker.name,
        state,
        breaker.generation,
        breaker.attempt,
        max(0, now_ns - since) if since else None,
        max(0, deadline - now_ns) if state is State.OPEN else None,
        breaker.counts(now_ns),
        breaker.probes(),
        breaker.in_flight,
        breaker.totals(),
        settings,
        breaker.last(),
        health,
    )


def duration(ns: int | None) -> str:
    """Return a length of time as people read it."""
    if ns is None:
        return "-"
    for unit, of_ns in (
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
    ):
        if ns >= 2 * of_ns:
            return f"{ns / of_ns:,.1f} {unit}"
    return f"{ns / 1e9:.1f} s"


def rate_bp(part: int, counts: Counts, settings: BreakerSettings) -> int | None:
    """Return a rate in basis points; None with fewer calls than one is made of."""
    if counts.calls < settings.min_calls:
        return None
    return part * 10_000 // counts.calls


def explain(figures: BreakerFigures) -> str:
    """Return what a breaker does, since when, and why, in one sentence with figures."""
    state = readable(figures.state.name.lower())
    since = "" if figures.since_ns is None else f" since {duration(figures.since_ns)}"
    parts = [f"{state}{since}: {_why(figures)}"]
    if figures.wait_ns is not None:
        parts.append(
            f"probes again in {duration(figures.wait_ns)}"
            if figures.wait_ns > 0
            else "probes again with the next call"
        )
    if figures.probes is not None:
        _, _, succeeded, failed = figures.probes
        wanted = figures.settings
        parts.append(
            f"{succeeded} of {wanted.successes} probes have succeeded, {failed} failed "
            f"({wanted.failures} may), {figures.in_flight} in flight"
        )
    if figures.attempt:
        episodes = "episode of probes has" if figures.attempt == 1 else "episodes of probes have"
        parts.append(f"{figures.attempt} {episodes} failed since it was closed")
    return "; ".join(parts)


def _why(figures: BreakerFigures) -> str:
    last, settings = figures.last, figures.settings
    if figures.state in (State.UNINIT, State.INVALID):
        return "it was never closed; bot4 breaker reset does so"
    if last is None:
        return "whoever changed it was killed before it could say why"
    cause = Cause(int(last["cause"]))
    calls, failures, slow = int(last["calls"]), int(last["failures"]), int(last["slow"])
    consecutive = int(last["consecutive"])
    window = f"{calls} {plural(calls, 'call')} in the window, {failures} failed"
    if calls:
        window += f" = {percent(failures * 10_000 // calls)}"
    if cause in _BY_HAND:
        actor = bytes(last["actor"]).decode(errors="replace")
        reason = bytes(last["reason"]).decode(errors="replace")
        return f"{_BY_HAND[cause]} by {actor}: {reason} ({window})"
    if cause is Cause.CONSECUTIVE:
        return f"{consecutive} consecutive failures, limit {settings.consecutive} ({window})"
    if cause is Cause.FAILURE_RATE:
        return f"{window}, limit {percent(settings.failure_bp)}"
    if cause is Cause.SLOW_RATE:
        share = percent(slow * 10_000 // calls) if calls else "-"
        return (
            f"{slow} of {calls} calls took longer than {settings.slow_ns / 1e6:g} ms = {share}, "
            f"limit {percent(settings.slow_bp)}"
        )
    return {
        Cause.INITIALISED: "initialised",
        Cause.COOLDOWN_OVER: "the cooldown is over",
        Cause.PROBES_SUCCEEDED: f"{settings.successes} probes succeeded",
        Cause.PROBES_FAILED: f"more than {settings.failures} of the probes failed",
        Cause.MAX_STAY: f"half-open for {settings.max_stay_ns / 1e9:g} s without a decision",
        Cause.NO_PROBES_LEFT: "all permits of the episode were used without a decision",
    }.get(cause, cause.name.lower())


def _listed(breakers: Sequence[BreakerFigures]) -> str:
    return ", ".join(f"{each.name} is {readable(each.state.name.lower())}" for each in breakers)


def _limit(bp: int) -> str:
    return f"limit {percent(bp)}"


def percent(bp: int) -> str:
    """Return basis points as people read them."""
    return f"{bp / 100:.1f} %"


def plural(count: int, word: str) -> str:
    """Return the word for so many of them."""
    return word if count == 1 else f"{word}s"


def _s(ns: int) -> float:
    return round(ns / 1e9, 3)


def _or_none(value: int | None, convert: Callable[[int], float]) -> float | None:
    return None if value is None else convert(value)
