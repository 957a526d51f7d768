"""`bot4 why`, asked of a run as a user asks it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.cli.why import as_data, explained, listed
from pipeline.rules import RULES
from pipeline.vocabulary import CHECKS, Denial
from pipeline.why import Decision
from tests.pipeline.supervisor.started import Started, bot4, until
from tests.workers.risk.desk import Desk
from tests.workers.risk.test_why import last, made

S = 10**9


@pytest.fixture
def run(name: str, tmp_path: Path) -> Iterator[Started]:
    """A run that refuses each entry in one instrument for its stop."""
    # So slow that what one command has found is still kept when the next one asks for it.
    with Started(
        name, tmp_path, exchange__rate="500", risk__instruments__BTCUSDT__stop_distance_bp="1"
    ) as run:
        run.flows(60, ring="outcomes")
        yield run


def test_decisions_of_a_run_are_listed_and_explained(run: Started, tmp_path: Path) -> None:
    def why(*arguments: str) -> Any:
        done = bot4("why", *arguments, *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def kept() -> dict[tuple[str, bool], Any]:
        # Of each answer the newest, which is kept longest; of refusals those for the stop alone,
        # of orders those that add risk.
        found = why("--last", "4096", "--json")["decisions"]
        return {
            (each["answer"], each["asked"]["instrument"] == "BTCUSDT"): each
            for each in found
            if (
                [failed["code"] for failed in each["failed"]] == [Denial.STOP_TOO_FAR]
                if each["answer"] == "denied"
                else each["order"]["worst_case"] is not None
            )
        }

    until(lambda: {("denied", True), ("approved", False)} <= kept().keys(), "both answers")
    refused, approved = kept()["denied", True], kept()["approved", False]

    said = why(str(refused["intent_id"]))
    assert re.search(r"^intent +\d+, .* ago: denied: 803 STOP_TOO_FAR$", said, re.M)
    assert re.search(r"^asked +(buy|sell) \d\.\d{5} BTCUSDT at the market", said, re.M)
    assert re.search(r"^quote +(ask|bid) \d\d,\d{3}\.\d\d$", said, re.M)
    assert re.search(r"^because +stop \d\d,\d{3}\.\d\d, at farthest \d\d,\d{3}\.\d\d$", said, re.M)
    assert "limit      risk.instruments.BTCUSDT.stop_distance_bp = 1 (0.01 %)\n" in said

    said = why(str(approved["intent_id"]))
    order = approved["order"]
    assert f"approved as order {order['order_id']}\n" in said
    assert re.search(
        r"^worst case a position of [\d,.]+ USDT, [\d.]+ % of the equity, ", said, re.M
    )
    assert re.search(r"^now +(open: |over: )", said, re.M)
    assert 0 < float(order["worst_case"]) < float(order["equity"])

    rows = why("--last", "3", "--denied").splitlines()
    assert len(rows) == 4
    assert all(row.split()[-1] in Denial.__members__ for row in rows[1:])

    done = bot4("why", "99999999999", *run.flags, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"bot4: intent was 99999999999, must be one of the last 4,096 that were decided, "
        r"\d+ to \d+: see bot4 why --last 20\n",
        done.stderr,
    )

    change = ("instruments.BTCUSDT.stop_distance_bp=2", "--reason", "x")
    done = bot4("limits", "set", *change, *run.flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = why(str(kept()["denied", True]["intent_id"]))
    assert "limit      risk.instruments.BTCUSDT.stop_distance_bp = 2 (0.02 %)\n" in said


def asked(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(main, ["why", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("0",), "0 is not in the range 1<=x<=18446744073709551615"),
        (("--", "-1"), "-1 is not in the range"),
        (("-1",), "No such option"),
        (("first",), "'first' is not a valid integer range"),
        ((str(2**64),), "is not in the range"),
        (("1.5",), "is not a valid integer range"),
        (("--last", "0"), "0 is not in the range x>=1"),
        (("1", "--last", "2"), "INTENT_ID was given, must be left out with --last and --denied"),
        (("1", "--denied"), "INTENT_ID was given, must be left out with --last and --denied"),
    ],
)
def test_what_is_no_id_is_a_usage_error(arguments: tuple[str, ...], said: str) -> None:
    done = asked(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_all_codes_are_listed_without_a_run() -> None:
    told = asked("--codes").output
    assert all(f"{code.value} {code.name}" in told for code in CHECKS)
    as_json = json.loads(asked("--codes", "--json").output)
    assert list(as_json) == [str(code.value) for code in RULES]
    assert as_json["701"]["unit"] == "money"


def said_of(desk: Desk, now_ns: int | None = None) -> list[str]:
    one = last(desk)
    orders = desk.driver.state("orders")
    order = orders[int(one.cell["order_id"]) % len(orders)]
    found = order if order["order_id"] and not one.failed else None
    now_ns = desk.now + 3 * S // 2 if now_ns is None else now_ns
    return [f"{what:10} {text}".rstrip() for what, text in explained(one, found, now_ns)]


def refuse(desk: Desk) -> None:
    desk.now += 5_200_000
    created = desk.now - 5_200_000
    desk.ask(intent_id=9, quantity=21, stop=0, target=110, limit=101, created_ns=created)


def approve(desk: Desk) -> None:
    desk.execute(quantity=5)
    desk.approve(intent_id=9, quantity=10)


@pytest.mark.parametrize(
    ("act", "limits", "lines"),
    [
        (
            refuse,
            {},
            [
                "intent     9, 1.5 s ago: denied: 701 POSITION_SIZE",
                "asked      buy 21 ONEUSDT at 101, target 110",
                "           by strategy 0, decided 5.2 ms after it was made, valid for 1,000 ms",
                "quote      ask 100",
                "because    the position would be worth 2,100.00 USDT, at most 2,000.00 USDT",
                "limit      risk.position_bp = 200 (2 %)",
                "also       801 STOP_REQUIRED: it has no stop [risk.stop_required = true]",
            ],
        ),
        (
            refuse,
            {"preset": "conservative", "stop_required": False},
            [
                "intent     9, 1.5 s ago: denied: 701 POSITION_SIZE",
                "asked      buy 21 ONEUSDT at 101, target 110",
                "           by strategy 0, decided 5.2 ms after it was made, valid for 1,000 ms",
                "quote      ask 100",
                "because    the position would be worth 2,100.00 USDT, at most 1,000.00 USDT",
                "limit      risk.position_bp = 200 (2 %)",
                "preset     conservative: it scales limits of size and loss",
            ],
        ),
        (
            approve,
            {},
            [
                "intent     9, 1.5 s ago: approved as order 1",
                "asked      buy 10 ONEUSDT at the market, stop 97",
                "           by strategy 0, decided 0 ms after it was made, valid for 1,000 ms",
                "quote      ask 100",
                "order      limit 105, 1,051.05 USDT reserved",
                "worst case a position of 1,500.00 USDT, 1.5 % of the equity, 99,995.00 USDT",
                "limit      risk.position_bp = 200 (2 %)",
                (
                    "now        open: 10 ONE left, 1,051.05 USDT reserved, "
                    "30.00 USDT at risk to the stop"
                ),
            ],
        ),
    ],
    ids=["refused", "refused-by-a-preset", "approved"],
)
def test_a_decision_is_explained_line_by_line(
    act: Callable[[Desk], None], limits: dict[str, Any], lines: list[str]
) -> None:
    desk = Desk("native", **limits)
    act(desk)
    assert said_of(desk) == lines


def test_of_an_order_that_is_over_nothing_is_reserved() -> None:
    desk = Desk("native")
    order = desk.approve(quantity=10)
    desk.execute(order_id=int(order["order_id"][0]), quantity=10)
    assert said_of(desk)[-1] == "now        over: nothing is reserved any more"


@pytest.mark.parametrize("code", CHECKS, ids=lambda code: code.name)
def test_every_code_can_be_shown_in_full_as_data_and_in_a_row(code: Denial) -> None:
    for instrument in (0, 7):
        one: Decision = made(code, 3, 2, instrument=instrument, side=-1, decided_ns=S)
        assert list(explained(one, None, 2 * S))
        data = json.loads(json.dumps(as_data(one, None, 2 * S)))
        assert data["because"]["text"] == one.because()
        assert data["age_s"] == 1.0
    assert listed([one], 300 * S) != "no decisions"
    assert listed([], 0) == "no decisions"
