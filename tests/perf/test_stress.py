"""The stress run: what it calls growth, loss and a full ring; and one short run."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf import stress
from perf.endurance import faults, judged, venues
from perf.endurance.observed import Observed
from pipeline.records import MARKET
from pipeline.vocabulary import MarketKind
from shm import list_segments
from workers.exchange import script
from workers.feed.decoding import StaleReason

GOOD: dict[str, Any] = {
    "stages": {
        "feed": {"records_in": 100, "records_out": 100, "restarts": 0},
        "ta": {"records_in": 100, "records_out": 40, "restarts": 0},
        # 5 intents: 4 orders with an approval and a fill each, 1 denial.
        "ml": {"records_in": 49, "records_out": 5, "restarts": 0},
        "risk": {"records_in": 9, "records_out": 13, "restarts": 0},
        "executor": {"records_in": 104, "records_out": 4, "restarts": 0},
    },
    "queues": {"market": {"depth": 0}, "orders": {"depth": 0}},
    "orders": 4,
    "denied": 1,
}


def moments(memory: list[float], depth: int = 0) -> list[judged.Moment]:
    return [
        judged.Moment(float(second), second * 10, own, own, {"market": depth})
        for second, own in enumerate(memory)
    ]


def test_a_run_whose_books_agree_has_no_problem() -> None:
    assert judged.conservation(GOOD) == []


def test_nor_has_one_with_a_sample_of_correlations() -> None:
    summary = copy.deepcopy(GOOD)
    summary["stages"]["ta"]["records_out"] += 2
    summary["stages"]["ml"]["records_in"] += 1  # clusters
    summary["stages"]["risk"]["records_in"] += 1
    assert judged.conservation(summary) == []


def _lost_by_risk(summary: dict[str, Any]) -> None:
    summary["stages"]["risk"]["records_in"] -= 1


def _lost_by_ta(summary: dict[str, Any]) -> None:
    summary["stages"]["ta"]["records_in"] -= 1


def _undecided(summary: dict[str, Any]) -> None:
    summary["denied"] = 0


def _left_over(summary: dict[str, Any]) -> None:
    summary["queues"]["orders"]["depth"] = 1


def _restarted(summary: dict[str, Any]) -> None:
    summary["stages"]["ml"]["restarts"] = 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_lost_by_ta, "ta took were 99, must be the 100"),
        (_lost_by_risk, "ml and risk took were 57, must be the 58"),
        (_lost_by_risk, "risk took were 8, must be at least the 9"),
        (_undecided, "intents were 5, must be the 4 decisions"),
        (_left_over, "orders had 1 records left"),
        (_restarted, "ml was started again 1 times"),
    ],
)
def test_books_that_do_not_agree_are_named(
    spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    summary = copy.deepcopy(GOOD)
    spoil(summary)
    assert any(said in problem for problem in judged.conservation(summary))


def test_steady_memory_is_no_growth() -> None:
    rise = judged.growth(moments([100.0, 101.0] * 60))
    assert rise is not None
    assert judged.judged_growth(rise) == []


def test_growth_during_the_warm_up_does_not_count() -> None:
    rise = judged.growth(moments([10.0 * second for second in range(10)] + [100.0] * 50))
    assert rise == (0.0, 0.0)


def test_memory_that_rises_all_the_time_is_growth() -> None:
    rise = judged.growth(moments([100.0 + second / 10 for second in range(120)]))
    assert rise is not None
    assert rise[1] == pytest.approx(6.0)
    assert "memory grew by" in judged.judged_growth(rise)[0]


def test_memory_that_could_not_be_judged_is_a_problem() -> None:
    assert judged.growth(moments([100.0])) is None
    assert judged.judged_growth(None) != []


def test_a_ring_that_is_full_for_a_moment_is_no_problem() -> None:
    short = moments([1.0] * (judged.FULL_SAMPLES - 1), depth=8)
    assert judged.judged_rings(short, {"market": 8}) == []


def test_a_ring_that_stays_full_is_named() -> None:
    (problem,) = judged.judged_rings(moments([1.0] * judged.FULL_SAMPLES, depth=8), {"market": 8})
    assert problem.startswith("ring market had all of its 8 records waiting")


def run_long_enough(run: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """Run again for longer if a busy machine took most of the time to start, or to recover."""
    for longer in (1, 2, 4):
        found = run(longer)
        if not any(
            said in problem
            for problem in found["problems"]
            for said in ("run for", "must be live at the end")
        ):
            break
    return found


def test_a_short_run_is_sampled_and_its_books_agree() -> None:
    found = run_long_enough(lambda longer: stress.run(8.0 * longer, 2000))
    assert found["problems"] == []
    assert len(found["samples"]) >= 3
    assert found["summary"]["orders"] > 0
    assert list_segments(f"perf-{os.getpid()}") == []


TOLD: dict[str, Any] = {
    "crossed": 0,
    "trades_repeated": 0,
    "records_unseen": 0,
    "wedged": [],
    "faults": {"reset": 1},
}


def test_a_feed_that_came_back_has_no_problem() -> None:
    assert venues.judged(TOLD, ["reset"]) == []


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"crossed": 2}, "crossed quotes that were published were 2"),
        ({"trades_repeated": 1}, "published twice were 1"),
        ({"records_unseen": 3}, "too slow to see were 3"),
        ({"wedged": ["instrument 1 was stale"]}, "instrument 1 was stale"),
        ({"wedged": None}, "books could not be looked at"),
        ({"faults": {}}, "fault reset never happened"),
    ],
)
def test_what_is_wrong_with_a_feed_is_named(spoilt: dict[str, Any], said: str) -> None:
    (problem,) = venues.judged({**TOLD, **spoilt}, ["reset"])
    assert said in problem


def market(*rows: tuple[MarketKind, int, int, int]) -> np.ndarray[Any, Any]:
    """Return records of (kind, instrument, sequence, bid); all asks are 5."""
    records = np.zeros(len(rows), MARKET)
    for record, (kind, instrument, sequence, bid) in zip(records, rows, strict=True):
        record["kind"], record["instrument"] = kind, instrument
        record["venue_sequence"], record["bid"], record["ask"] = sequence, bid, 5
    return records


def test_an_observer_sees_crossed_quotes_and_what_was_told_twice_or_never() -> None:
    observed = Observed()
    observed.take(
        market(
            (MarketKind.QUOTE, 0, 1, 4),
            (MarketKind.QUOTE, 0, 2, 5),  # crossed
            (MarketKind.QUOTE, 1, 2, 0),  # nobody buys
            (MarketKind.TRADE, 0, 1, 0),
            (MarketKind.TRADE, 1, 1, 0),
            (MarketKind.TRADE, 0, 4, 0),  # 2 and 3 are missing
        )
    )
    observed.take(
        market(
            (MarketKind.TRADE, 0, 4, 0),
            (MarketKind.STALE, 1, StaleReason.GAP, 0),
            (MarketKind.RESYNC, 1, 0, 0),
            (MarketKind.STALE, 0, StaleReason.SILENCE, 0),
        )
    )
    assert (observed.quotes, observed.trades, observed.crossed, observed.resyncs) == (3, 4, 1, 1)
    assert (observed.repeated(), observed.missing()) == (1, 2)
    assert {reason: count for reason, count in observed.stales.items() if count} == {
        "gap": 1,
        "silence": 1,
    }


@pytest.mark.parametrize("seconds", [30.0, 60.0, 300.0])
def test_a_script_has_all_kinds_and_is_quiet_at_the_end(seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(faults.script(seconds, 10.0, 1))
    entries = script.load(path)
    names = {fault.name for entry in entries for fault in entry.faults}
    assert names == {part.partition("=")[0] for k in faults.KINDS for part in k.fault.split(",")}
    assert max(entry.at + (entry.lasts or 0.0) for entry in entries) <= seconds - 10.0
    assert faults.script(seconds, 10.0, 1) != faults.script(seconds, 10.0, 2)


def test_a_short_run_of_the_venues_survives_faults() -> None:
    kinds = (faults.Kind("sequence-gap=0.02", 1.0), faults.Kind("reset"))
    found = run_long_enough(lambda longer: venues.run(14.0 * longer, 6.0 * longer, kinds))
    assert found["problems"] == []
    assert found["faults"]["reset"] > 0
    assert found["recoveries"] >= 3
    assert found["resyncs"] == sum(found["stales"].values()) > 0
    assert found["messages"] > found["malformed"] == 0
    assert list_segments(f"perf-{os.getpid()}") == []
