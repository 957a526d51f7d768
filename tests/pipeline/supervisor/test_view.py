"""How the state of a run looks, in figures that a test has put into the segment."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from pipeline import topology
from pipeline.breakers.health import Distance
from pipeline.cli.view import WIDTH, StateTable, as_json, as_line, console, rate
from pipeline.stage import Stage
from pipeline.supervisor import Snapshot, snapshot
from pipeline.supervisor.snapshot import Answers, Book
from pipeline.vocabulary import Denial, Mode
from shm import Segment

Config = dict[str, Any]


@pytest.fixture
def idle(segment: Segment, config: Config, stages: Mapping[str, Stage]) -> Snapshot:
    """A run in which nothing has happened yet."""
    return snapshot(segment, config, stages)


@pytest.fixture
def busy(segment: Segment, config: Config, stages: Mapping[str, Stage]) -> Snapshot:
    """One that has been going on for long, with large figures everywhere."""
    for name in topology.PIPELINE:
        segment.words(f"{name}.words").store("pid", 4_194_303)
        latency = segment.histograms_writer(f"{name}.latency")
        for each in segment.histograms(f"{name}.latency"):
            latency.record(each, 123_456_789)
            latency.record(each, 1_000)
    segment.counters_writer("restarts").add("ta", 12)
    state = snapshot(segment, config, stages)
    processes = {
        name: dataclasses.replace(process, records_in=987_654_321, records_out=123_456_789)
        for name, process in state.processes.items()
    }
    return dataclasses.replace(
        state,
        processes=processes,
        orders=1_234_567,
        fills=1_234_568,
        denied=99_999,
        mode=Mode.EMERGENCY,
        account=dataclasses.replace(
            state.account,
            mode=Mode.EMERGENCY,
            mode_code=Denial.CONSEC_LOSSES,
            killed=Denial.DRAWDOWN,
            drawdown_e6=1_234,
            max_drawdown_e6=150_001,
            results_e8={"day": -98_765_432_100, "week": 98_765_432_100, "month": -1},
            gross_e8=9_876_543_210_000,
            denied={
                Denial.REDUCE_ONLY_INCREASES: 55_555,
                Denial.UNKNOWN_INSTRUMENT: 33_333,
                Denial.WRONG_SIDE: 11_000,
                Denial.GROSS: 100,
                Denial.VENUE: 11,
            },
        ),
        equity_e8=12_345_678_901_234_567,
        pnl_e8=-98_765_432_100,
        positions={"BTCUSDT": 1_694, "ETHUSDT": 0, "SOLUSDT": -5},
        model=Answers(1_000, 30, 0),
        bars={"closed": 12_345, "late_trades": 6, "restarts": 7},
        books={
            symbol: {
                "ta": Book(1_000, -12_345.678, 5.0),
                "ml": Book(0, 0.0, 0.0),
                "blend": Book(20, 100.25, -0.25),
            }
            for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")
        },
    )


def later(state: Snapshot, seconds: float, records: int) -> Snapshot:
    processes = {
        name: dataclasses.replace(process, records_in=process.records_in + records)
        for name, process in state.processes.items()
    }
    return dataclasses.replace(
        state, time_ns=state.time_ns + int(seconds * 1e9), processes=processes
    )


def shown(
    now: Snapshot, before: Snapshot | None, config: Config, width: int, title: str = "t"
) -> list[str]:
    screen = Console(file=io.StringIO(), record=True, width=width)
    screen.print(StateTable(now, before, title, config))
    return screen.export_text().splitlines()


def test_a_run_without_an_order_has_dashes_for_figures(idle: Snapshot, config: Config) -> None:
    lines = shown(idle, None, config, WIDTH)
    assert "tick to order p50 -, p99 -, p99.9 - us over 0 orders" in lines
    assert "0 orders, 0 fills, 0 intents denied" in lines
    assert "equity 100,000.00 USDT, pnl 0.00 USDT" in lines
    assert "held: nothing" in lines
    assert "mode normal, drawdown 0.00 (at most 0.00) of 15 %" in lines
    assert "result: day 0.00 of -2,000, week 0.00 of -5,000, month 0.00 of -10,000" in lines
    assert "gross 0.00 of 100,000, 0 of 100 orders open, 0 of 20 instruments" in lines
    assert "denied: " not in "\n".join(lines)
    assert "model: none has been asked" in lines
    assert (
        "at closes, net of costs: TA only +0.0 bp (0 trades), ML only +0.0 bp (0 trades), "
        "blend +0.0 bp (0 trades)" in lines
    )
    assert [line.split()[0] for line in lines[2:7]] == list(topology.PIPELINE)
    assert as_line(idle, None, 1.25, config) == (
        "    1.2 s  0 records, 0 orders, 0 fills, 0 denied, "
        "tick to order p50 - p99 - us, pnl 0.00 USDT, TA only +0.0 bp (0 trades), "
        "ML only +0.0 bp (0 trades), blend +0.0 bp (0 trades)"
    )


def test_a_wide_table_has_every_column(busy: Snapshot, config: Config) -> None:
    lines = shown(later(busy, 2.0, 5000), busy, config, 200)
    heads = "stage pid cpu restarts in/s in out waiting hop p50 p99 through p50 p99"
    assert lines[1].split() == heads.split()
    # 1 us to within 1/32; 123456.789 us is the larger of two values, so it is exact.
    cpu = str(config["affinity"]["ta"][0])
    assert lines[3].split() == [
        *("ta", "4194303", cpu, "12", "2,500", "987,659,321", "123,456,789", "0"),
        *("1.0", "123,456.8", "1.0", "123,456.8"),
    ]
    assert lines[2].split()[8:] == ["-", "-", "1.0", "123,456.8"]  # nothing is before the feed
    assert "bars: 12,345 closed, 6 trades too late for one, 7 restarts of the indicators" in lines
    assert "1,234,567 orders, 1,234,568 fills, 99,999 intents denied" in lines
    assert "equity 123,456,789.01 USDT, pnl -987.65 USDT" in lines
    assert "held: 0.01694 BTCUSDT, -0.005 SOLUSDT" in lines
    assert (
        "mode emergency (809 CONSEC_LOSSES, 808 DRAWDOWN), drawdown 0.12 (at most 15.00) of 15 %"
        in lines
    )
    assert "result: day -987.65 of -2,000, week 987.65 of -5,000, month -0.00 of -10,000" in lines
    assert (
        "denied: REDUCE_ONLY_INCREASES 55,555, UNKNOWN_INSTRUMENT 33,333, WRONG_SIDE 11,000, "
        "others 111" in lines
    )
    assert "model: in use, 970 answers, 30 without an answer" in lines
    assert (
        "at closes, net of costs: TA only -37,022.0 bp (3,000 trades), ML only +0.0 bp (0 trades), "
        "blend +300.0 bp (60 trades)" in lines
    )


@pytest.mark.parametrize("width", [60, 70, 80, 100, WIDTH, 132])
def test_no_column_is_cut_off_on_any_terminal(busy: Snapshot, config: Config, width: int) -> None:
    lines = shown(later(busy, 2.0, 5000), busy, config, width)
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    assert lines[1].split()[0] == "stage"
    assert {"hop", "through", "in/s"} <= set(lines[1].split())
    assert [line.split()[0] for line in lines[2:7]] == list(topology.PIPELINE)


def test_eighty_columns_are_enough_for_what_is_asked_most(busy: Snapshot, config: Config) -> None:
    heads = shown(later(busy, 2.0, 5000), busy, config, 80)[1].split()
    assert {"stage", "cpu", "in/s", "waiting"} <= set(heads)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_a_quiet_run_fits_a_terminal_of_24_rows(
    idle: Snapshot, config: Config, width: int
) -> None:
    assert len(shown(later(idle, 2.0, 5000), idle, config, width)) < 24


def test_what_is_nearest_to_the_limit_of_its_breaker_is_shown(
    segment: Segment, config: Config, stages: Mapping[str, Stage]
) -> None:
    words = segment.words("health")
    words.store("ml.queue_bp", 4_500)
    words.store("ta.beat_ms", 150_000_000)
    now = snapshot(segment, config, stages)
    assert now.nearest == ("ml", Distance("queue_bp", 4_500, 9_000, "bp"))
    said = "breakers: closed; nearest to its limit: ml, queue 45 of 90 %"
    assert said in shown(now, None, config, WIDTH)
    assert as_json(now, config)["breaker_nearest"] == {
        "component": "ml",
        "name": "queue_bp",
        "value": 4_500,
        "limit": 9_000,
        "unit": "bp",
    }


def test_json_has_the_account_with_its_limits(busy: Snapshot, config: Config) -> None:
    account = as_json(busy, config)["account"]
    assert (account["mode"], account["mode_code"]) == ("emergency", "CONSEC_LOSSES")
    assert account["killed_by"] == "DRAWDOWN"
    assert account["results"]["week"] == {"result": "987.654321", "loss_limit": "5000"}
    assert (account["drawdown_bp"], account["max_drawdown_bp"]) == (12.34, 1500.01)
    assert (account["drawdown_limit_bp"], account["gross"]) == (1500, "98765.4321")
    assert next(iter(account["denied"].items())) == ("REDUCE_ONLY_INCREASES", 55_555)


def test_a_title_may_have_brackets_in_it(idle: Snapshot, config: Config) -> None:
    lines = shown(idle, None, config, WIDTH, title="ended by halted: [/b] [red]stop")
    assert lines[0].rstrip() == "ended by halted: [/b] [red]stop"


def test_a_rate_needs_two_moments(busy: Snapshot) -> None:
    assert rate(busy, None, "ta") is None
    assert rate(busy, busy, "ta") is None
    assert rate(later(busy, 0.5, 100), busy, "ta") == 200.0


def test_a_line_has_rate_and_restarts_once_there_are_any(busy: Snapshot, config: Config) -> None:
    line = as_line(later(busy, 5.0, 5000), busy, 65.0, config)
    assert line.startswith("   65.0 s  123,456,789 records (1,000/s), 1,234,567 orders, ")
    assert ", pnl -987.65 USDT, TA only -37,022.0 bp (3,000 trades), ML only +0.0 bp" in line
    assert line.endswith(", blend +300.0 bp (60 trades), 12 restarts, mode emergency")


def test_notices_are_counted_where_somebody_is_told(
    segment: Segment, config: Config, stages: Mapping[str, Stage], idle: Snapshot
) -> None:
    assert idle.notices is None
    assert "notices" not in as_json(idle, config)
    config["notify"]["command"] = ["tell"]
    segment.words("notices").store("failed", 2)
    now = snapshot(segment, config, stages)
    assert as_json(now, config)["notices"] == {"delivered": 0, "failed": 2, "dropped": 0}
    assert "notices: 0 delivered, 2 failed, 0 dropped" in shown(now, None, config, WIDTH)


def test_json_has_null_for_what_was_not_measured(idle: Snapshot, config: Config) -> None:
    figures = as_json(idle, config)
    assert figures["tick_to_order"] == {
        "count": 0,
        "p50_us": None,
        "p99_us": None,
        "p999_us": None,
    }
    assert figures["stages"]["ta"]["p50_us"] is None
    assert (figures["pnl"], figures["equity"], figures["currency"]) == ("0", "100000", "USDT")
    assert figures["queues"].keys() == {edge.ring for edge in topology.EDGES}


def test_json_has_money_as_exact_text_and_one_cpu_as_a_number(
    busy: Snapshot, config: Config
) -> None:
    figures = as_json(busy, config)
    assert (figures["pnl"], figures["equity"]) == ("-987.654321", "123456789.01234567")
    assert figures["stages"]["feed"]["cpu"] == config["affinity"]["feed"][0]
    both = dataclasses.replace(busy.processes["feed"], cpus=(0, 1))
    wide = dataclasses.replace(busy, processes={**busy.processes, "feed": both})
    assert as_json(wide, config)["stages"]["feed"]["cpu"] == [0, 1]


def test_what_does_not_go_to_a_terminal_is_wide_enough() -> None:
    assert console().is_terminal or console().width == WIDTH


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (Answers(0, 0, 0), "none has been asked"),
        (Answers(5, 5, 0), "warming up, 0 answers, 5 without an answer"),
        (
            Answers(5, 5, 0, late=2),
            "degraded, 0 answers, 5 without an answer (its process: 2 late)",
        ),
        (Answers(5, 1, 2), "stale, 2 answers, 1 without an answer, 2 for which too old"),
        (Answers(5, 0, 0), "in use, 5 answers"),
        (
            Answers(9, 6, 0, late=1, refused=2, unasked=3, ignored=4),
            (
                "in use, 3 answers, 6 without an answer "
                "(its process: 1 late, 2 refused, 3 not asked for, 4 ignored)"
            ),
        ),
    ],
)
def test_how_a_model_answers_is_said_in_a_word(
    idle: Snapshot, config: Config, answers: Answers, said: str
) -> None:
    now = dataclasses.replace(idle, model=answers)
    assert f"model: {said}" in shown(now, None, config, WIDTH)


def test_the_books_are_in_the_json_for_all_and_for_each(busy: Snapshot, config: Config) -> None:
    books = as_json(busy, config)["books"]
    assert books["blend"] == {"trades": 60, "result_bp": 300.75, "open_bp": -0.75}
    assert books["instruments"]["ETHUSDT"]["ta"] == {
        "trades": 1_000,
        "result_bp": -12_345.678,
        "open_bp": 5.0,
    }
    assert as_json(busy, config)["model"] == {
        "state": "in use",
        "asked": 1_000,
        "missing": 30,
        "stale": 0,
        "late": 0,
        "refused": 0,
        "unasked": 0,
        "ignored": 0,
    }
