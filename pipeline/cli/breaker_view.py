"""How the breakers look on a terminal: in a table, in a sentence, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from pipeline.breakers.audit import AuditEntry
from pipeline.breakers.explain import dropped, readable, state_of
from pipeline.breakers.figures import (
    BreakerFigures,
    GlobalFigures,
    duration,
    explain,
    percent,
    plural,
    rate_bp,
)
from pipeline.breakers.health import Distance
from pipeline.cli.view import STYLES, WIDTH, quantity, styled
from shm import BreakerSettings

_RESULTS = ("done", "no-op", "refused")
"""Kinds of what an operation by hand came to."""


@dataclass(frozen=True, slots=True)
class BreakerTable:
    """What `bot4 breaker list` shows: the global state, and a row per breaker.

    Where there is little room, of each breaker's health only what is nearest to its limit is shown.
    """

    title: str
    figures: GlobalFigures

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render it for a console's width."""
        figures = self.figures
        yield Text(self.title)
        yield Text.assemble("global breaker: ", styled(figures.name), f" ({figures.why()})")
        if figures.flatten:
            yield Text("all positions are closed until bot4 resume", "bold red")
        if (missing := dropped({"full rings": figures.dropped})) is not None:
            yield Text(missing, "bold red")
        rows = [self._row(each, options.max_width < WIDTH) for each in figures.breakers]
        slow_rule = any(each.settings.slow_bp for each in figures.breakers)
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold underline")
        shown = [column for column in rows[0] if column != "slow" or slow_rule]
        for column in shown:
            is_text = column in ("component", "state", "health")
            table.add_column(
                column,
                justify="left" if is_text else "right",
                no_wrap=column != "health",
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(row[column] for column in shown))
        yield table
        yield Text(
            "*: critical; failed, in a row, health: value/limit; -: too few calls for a rate"
        )

    def _row(self, figures: BreakerFigures, is_narrow: bool) -> dict[str, str | Text]:
        counts, settings = figures.counts, figures.settings
        health = figures.health
        if is_narrow:
            health = sorted(health, key=lambda each: (each.value or 0) / (each.limit or 1))[-1:]
        return {
            "component": figures.name + ("*" if settings.critical else ""),
            "state": styled(figures.state.name.lower()),
            "since": duration(figures.since_ns),
            "failed": _rate(counts.failures, figures, settings.failure_bp),
            "slow": _rate(counts.slow, figures, settings.slow_bp),
            "in a row": f"{counts.consecutive}/{settings.consecutive or 'off'}",
            "calls": f"{counts.calls:,}",
            "health": distances(health),
        }


def distances(health: Sequence[Distance]) -> Text:
    """Return each quantity with its limit, without blanks inside; what is beyond it stands out."""
    text = Text()
    for each in health:
        what, value, limit, unit = quantity(each)
        unit = "" if unit == "deaths" else unit
        text.append(" " if text else "")
        text.append(f"{what}={value}/{limit}{unit}", "bold red" if each.is_beyond else "")
    return text


def transition(event: Any) -> str:
    """Return what the states before and after a transition were."""
    before, after = (state_of(int(event[which])) for which in ("before", "after"))
    return f"{before} -> {after}"


def details(figures: BreakerFigures) -> Iterator[tuple[str, str | Text]]:
    """Yield what `bot4 breaker show` says of a breaker, line by line."""
    settings, counts = figures.settings, figures.counts
    window = (
        f"{settings.window_ns / 1e9:g} s"
        if settings.window == "time"
        else f"{settings.window_calls} calls"
    )
    verdict = counts.verdict.name.lower().replace("_", " ")
    yield "state", styled(figures.state.name.lower())
    yield "why", explain(figures)
    if figures.last is not None:
        yield "last transition", transition(figures.last)
    yield "generation", str(figures.generation)
    yield "critical", "yes" if settings.critical else "no"
    yield "weight", str(settings.weight)
    calls = f"{counts.calls:,} {plural(counts.calls, 'call')}, {counts.failures:,} failed"
    row = f"{counts.consecutive} {plural(counts.consecutive, 'failure')} in a row"
    yield "window", f"{window}: {calls}, {counts.slow:,} slow, {row} ({verdict})"
    yield "opens at", ", ".join(_rules(settings))
    most = settings.cooldown_max_ns / 1e9
    grows = f"times {settings.cooldown_factor_bp / 1e4:g} up to {most:g} s"
    jitter = f"+-{percent(settings.jitter_bp)}"
    yield "cooldown", f"{settings.cooldown_ns / 1e9:g} s, {grows}, {jitter}"
    closes = f"{settings.probes} at once, closes after {settings.successes}"
    opens = f"opens after {settings.failures + 1} failed or {settings.max_stay_ns / 1e9:g} s"
    yield "probes", f"{closes}, {opens}"
    yield "in flight", str(figures.in_flight)
    yield "all calls", ", ".join(f"{count:,} {what}" for what, count in figures.totals.items())
    for each in figures.health:
        what, value, limit, unit = quantity(each)
        yield what, Text(f"{value} of {limit} {unit}", "bold red" if each.is_beyond else "")


def as_lines(entries: Sequence[AuditEntry]) -> Iterator[Text]:
    """Yield a line for each thing that happened, from the entries of the audit trail.

    What was done by hand is in the trail up to three times: as it was intended, as it was seen from
    the breaker, and with its result. If there is a result, that is the one that is shown.
    """
    seen = {
        (entry.run_id, entry.breaker, entry.generation)
        for entry in entries
        if entry.kind in _RESULTS
    }
    answered: Counter[tuple[str, ...]] = Counter()
    shown = []
    for entry in reversed(entries):  # so that a result belongs to the last intent before it
        asked = entry.run_id, entry.breaker, entry.cause, entry.actor, entry.reason
        is_seen = (entry.run_id, entry.breaker, entry.generation) in seen
        if entry.kind in _RESULTS:
            answered[asked] += 1
        elif entry.kind == "intent" and answered[asked]:
            answered[asked] -= 1
            continue
        elif entry.kind == "reloaded" or (entry.kind == "transition" and entry.actor and is_seen):
            continue  # the first is written for each breaker, at each start, too
        shown.append(entry)
    widest = max((len(entry.breaker) for entry in shown), default=0)
    yield from (_line(entry, widest) for entry in reversed(shown))


def _line(entry: AuditEntry, widest: int) -> Text:
    change = entry.before if entry.before == entry.after else f"{entry.before} -> {entry.after}"
    line = Text(f"{entry.time}  {entry.breaker:{widest}}  ")
    line.append(f"{readable(change)}  " if change else "", STYLES.get(entry.after, ""))
    line.append(entry.cause.replace("_", " "))
    if entry.kind == "intent":
        line.append(" (without a result)")
    elif entry.kind not in ("transition", "global", "done", entry.cause):
        line.append(f" ({entry.kind.replace('_', ' ')})")
    calls, failures, slow, consecutive = (
        entry.figures.get(name, 0) for name in ("calls", "failures", "slow", "consecutive")
    )
    figures = [
        *([f"{failures} of {calls} {plural(calls, 'call')} failed"] if calls else ()),
        *([f"{slow} slow"] if slow else ()),
        *([f"{consecutive} in a row"] if consecutive else ()),
    ]
    line.append(f"  {', '.join(figures)}" if figures else "")
    by = f"{entry.actor}: " if entry.actor else ""
    line.append(f"  {by}{entry.reason}" if entry.reason else "")
    return line


def _rules(settings: BreakerSettings) -> Iterator[str]:
    if settings.consecutive:
        yield f"{settings.consecutive} failures in a row"
    least = f"of at least {settings.min_calls} calls"
    if settings.failure_bp:
        yield f"{percent(settings.failure_bp)} {least} failed"
    if settings.slow_bp:
        yield f"{percent(settings.slow_bp)} {least} slower than {settings.slow_ns / 1e6:g} ms"


def _rate(part: int, figures: BreakerFigures, limit_bp: int) -> str:
    if not limit_bp:
        return "off"
    bp = rate_bp(part, figures.counts, figures.settings)
    return f"{'-' if bp is None else f'{bp / 100:.1f}'}/{limit_bp / 100:g}%"
