"""How processes should wait for each other on this machine: hops and idle CPU of each strategy.

Prints a table, or --json, and recommends a strategy. Ends with 1 if a process died or a record was
lost, and with 0 whatever it recommends.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/waits.py

from perf import machine, script
from perf.chain.hops import NAMES, FailedError, Waits, measure
from pipeline import affinity
from shm import STRATEGIES, Finally, ShmError, WaitStrategy, choose
from shm.waiting import check, shares_a_core

RATES = (1_000, 10_000)
SECONDS, REPEATS = 1.5, 3
QUICK_SECONDS, QUICK_REPEATS = 0.5, 1

MOST_IDLE_CPU = 0.05
"""CPU seconds a second that the six processes together may use without records."""

CLEARLY = 0.75
"""A strategy is better than the default if its score is below this share of the default's."""

METHOD = f"""\
Six processes in a row ({" -> ".join(NAMES)}), pinned as `affinity = "auto"`
pins a pipeline of six. The first makes records at a rate, open loop; a hop is from the push of one
process to the pop of the next, percentiles are of all five hops together. Idle: nobody has anything
to do; CPU seconds a second of all six together. Repeats are interleaved, figures are their medians.
Busy: the same beside a busy loop on each CPU, with the slices that such a process has: in a real
run exchange, supervisor and what else the machine does are on these CPUs too.
Excluded: starting, a warm-up. The loops are in Python: about a microsecond of each hop.
Rule: of the strategies that lose nothing and use less than {MOST_IDLE_CPU:.0%} of a core while
idle, the one with the least score, the geometric mean of all p50 and p99, alone and busy; but the
default, unless another has less than {CLEARLY:.0%} of its score: what is closer is noise."""


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of a strategy's repeats, by rate: alone, and beside a busy loop on each CPU."""

    strategy: str
    spins: int
    yields: int
    finally_: str
    repeats: int
    idle_cpu: float
    p50_us: Mapping[int, float]
    p99_us: Mapping[int, float]
    busy_p50_us: Mapping[int, float]
    busy_p99_us: Mapping[int, float]
    lost: int

    @property
    def score(self) -> float:
        """The geometric mean that the rule compares, in microseconds."""
        figures = (self.p50_us, self.p99_us, self.busy_p50_us, self.busy_p99_us)
        return statistics.geometric_mean(value for each in figures for value in each.values())

    @property
    def is_eligible(self) -> bool:
        """Whether it loses nothing, and leaves the CPU to others while idle."""
        return self.lost == 0 and self.idle_cpu < MOST_IDLE_CPU


def candidates() -> list[WaitStrategy]:
    """Return the strategies of `shm`, and those that sleep in the end with other numbers."""
    others = [
        WaitStrategy(f"yield-futex ({yields})", 0, yields, Finally.SLEEP)
        for yields in (10, 100, 1000)
    ]
    others.append(WaitStrategy("spin-futex (2000)", 2000, 0, Finally.SLEEP))
    return [*STRATEGIES.values(), *others]


def why_refused(strategy: WaitStrategy, cpus: Mapping[str, Sequence[int]]) -> str | None:
    """Return why a strategy is not measured on these CPUs, None if it is."""
    for name in cpus:
        try:
            check(strategy, cpus, name)
        except ShmError as error:
            return str(error)
        if strategy.spins and strategy.name not in STRATEGIES and shares_a_core(cpus, name):
            return f"{name} shares a core; other numbers of spins are of interest where none does"
    return None


def summary(strategy: WaitStrategy, repeats: Sequence[Waits]) -> Result:
    """Return the medians of a strategy's repeats."""
    p50, p99 = [_medians([each.hops for each in repeats], place) for place in (0, 1)]
    busy_p50, busy_p99 = [_medians([each.busy_hops for each in repeats], place) for place in (0, 1)]
    return Result(
        strategy.name,
        strategy.spins,
        strategy.yields,
        strategy.finally_.name.lower(),
        len(repeats),
        round(statistics.median(each.idle_cpu for each in repeats), 4),
        p50,
        p99,
        busy_p50,
        busy_p99,
        sum(each.lost for each in repeats),
    )


def _medians(repeats: Sequence[Mapping[int, tuple[float, float]]], place: int) -> dict[int, float]:
    """Return the medians by rate of the p50 (place 0) or the p99 (place 1)."""
    rates = dict.fromkeys(rate for each in repeats for rate in each)
    return {
        rate: round(statistics.median(each[rate][place] for each in repeats if rate in each), 2)
        for rate in rates
    }


def recommended(results: Sequence[Result], default: str) -> str | None:
    """Return the strategy that the rule in `METHOD` names; None if none is eligible."""
    eligible = {each.strategy: each for each in results if each.is_eligible}
    if not eligible:
        return None
    best = min(eligible.values(), key=lambda each: each.score)
    kept = eligible.get(default)
    if kept is not None and best.score >= CLEARLY * kept.score:
        return default
    return best.strategy


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within 30 s; noisier.")
@script.seconds_option
@script.repeats_option
def main(as_json: bool, quick: bool, seconds: float | None, repeats: int | None) -> None:
    """Measure, print, and exit."""
    script.exit_on_sigterm()
    found = run(
        seconds or (QUICK_SECONDS if quick else SECONDS),
        repeats or (QUICK_REPEATS if quick else REPEATS),
    )
    script.tell(found, _show, as_json=as_json)
    sys.exit(1 if found["failed"] or any(each["lost"] for each in found["results"]) else 0)


def run(
    seconds: float,
    repeats: int,
    rates: Sequence[int] = RATES,
    strategies: Sequence[WaitStrategy] | None = None,
) -> dict[str, Any]:
    """Measure the strategies; return all that there is to tell, as plain data."""
    about = machine.describe()
    available = sorted(os.sched_getaffinity(0))
    cpus = affinity.resolve({}, NAMES, available).cpus
    default = choose(cpus, NAMES[0])
    refused: dict[str, str] = {}
    failed: dict[str, str] = {}
    measured: list[WaitStrategy] = []
    for each in candidates() if strategies is None else strategies:
        if (reason := why_refused(each, cpus)) is None:
            measured.append(each)
        else:
            refused[each.name] = reason
    samples: dict[str, list[Waits]] = defaultdict(list)
    for repeat in range(repeats):
        for each in measured:
            if each.name in failed:
                continue
            script.progress(f"repeat {repeat + 1} of {repeats}: {each.name}")
            try:
                samples[each.name].append(measure(each, cpus, rates, seconds))
            except FailedError as error:
                failed[each.name] = str(error)
    results = [summary(each, samples[each.name]) for each in measured if samples[each.name]]
    best = recommended(results, default.name)
    return {
        "machine": about,
        "affinity": {name: list(own) for name, own in cpus.items()},
        "seconds": seconds,
        "method": METHOD,
        "results": [
            {**asdict(each), "score_us": round(each.score, 2), "eligible": each.is_eligible}
            for each in results
        ],
        "default": default.name,
        "recommended": best,
        "default_is_recommended": best == default.name,
        "refused": refused,
        "failed": failed,
    }


def _show(report: Mapping[str, Any], console: Console) -> None:
    console.print(machine.in_words(report["machine"]))
    placed = ", ".join(
        f"{name} {','.join(map(str, cpus))}" for name, cpus in report["affinity"].items()
    )
    console.print(f"CPUs: {placed}\n\n{METHOD}\n")
    results = report["results"]
    rates = sorted(results[0]["p50_us"]) if results else []
    table = Table(title="hops, us", title_justify="left")
    table.add_column("strategy", no_wrap=True)
    table.add_column("idle CPU", justify="right", no_wrap=True)
    for condition in ("alone", "busy"):
        for rate in rates:
            head = f"{condition}\n{rate / 1000:g}k/s\np50 / p99"
            table.add_column(head, justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("lost", justify="right", no_wrap=True)
    for each in results:
        hops = [
            f"{each[p50][rate]:.1f} / {each[p99][rate]:,.0f}" if rate in each[p50] else "-"
            for p50, p99 in (("p50_us", "p99_us"), ("busy_p50_us", "busy_p99_us"))
            for rate in rates
        ]
        table.add_row(
            each["strategy"],
            f"{each['idle_cpu']:.4f}",
            *hops,
            f"{each['score_us']:.1f}",
            f"{each['lost']:,}",
            style="bold" if each["strategy"] == report["recommended"] else "",
        )
    console.print(table, "")
    script.show_end(report, console)
    is_default = "which is" if report["default_is_recommended"] else "which is NOT"
    console.print(
        f"Recommended: {report['recommended']}, {is_default} the default here ({report['default']})"
    )


if __name__ == "__main__":
    main()
