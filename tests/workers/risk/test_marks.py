"""Marks, equity, the high-water mark and the drawdown; native and reference alike."""

from __future__ import annotations

import pytest

from pipeline.records import Array
from pipeline.vocabulary import Side
from tests.workers.risk.desk import NOW, STALE_MS, Desk, e8, quote


def test_a_long_is_worth_the_bid_and_a_short_the_ask(desk: Desk) -> None:
    desk.execute(quantity=10, price=100)
    desk.tick(quote(110, 112))
    assert (desk.held()["mark"], desk.held()["value_e8"]) == (110, e8(1100))
    assert desk.account["equity_e8"] == e8(100_100)
    desk.execute(side=Side.SELL, quantity=20, price=110, market=quote(110, 112))
    assert (desk.held()["mark"], desk.held()["value_e8"]) == (112, e8(-1120))
    assert desk.account["equity_e8"] == e8(100_100 - 20)


def test_the_value_is_rounded_against_us(desk: Desk) -> None:
    market = quote(101, 109)
    desk.execute(instrument=1, quantity=1, price=100, market=market)
    assert desk.held(1)["value_e8"] == 10
    desk.execute(instrument=1, side=Side.SELL, quantity=2, price=100, market=market)
    assert desk.held(1)["value_e8"] == -11


def test_the_account_is_worth_all_of_its_positions(desk: Desk) -> None:
    desk.execute(quantity=10, price=100)
    desk.execute(instrument=1, quantity=1000, price=100, market=quote(100, 101))
    desk.tick(quote(120, 121), instrument=0)
    desk.tick(quote(200, 201), instrument=1)
    assert desk.account["value_e8"] == e8(1200) + 1000 * 200 // 10
    assert desk.account["equity_e8"] == desk.account["cash_e8"] + desk.account["value_e8"]


@pytest.mark.parametrize(
    "market",
    [
        quote(120, 121, link_ns=NOW - STALE_MS * 1_000_000 - 1),
        quote(120, 121, received_ns=0),
        quote(121, 121),
        quote(122, 121),
        quote(0, 121),
        quote(120, 0),
    ],
)
def test_an_invalid_quote_marks_nothing(desk: Desk, market: Array) -> None:
    desk.execute(quantity=10, price=100)
    desk.tick(quote(110, 111))
    desk.tick(market)
    assert desk.held()["mark"] == 110
    assert desk.account["equity_e8"] == e8(100_100)
    assert desk.account["high_water_e12"] == desk.account["nav_e12"] == 1001 * 10**9
    desk.tick(quote(120, 121, link_ns=NOW - STALE_MS * 1_000_000))
    assert desk.held()["mark"] == 120


def test_a_fill_before_any_valid_quote_is_marked_at_its_price(desk: Desk) -> None:
    desk.execute(quantity=10, price=100, fee=3, market=quote(received_ns=0))
    assert desk.held()["mark"] == 100
    assert desk.account["equity_e8"] == e8(100_000) - 3


def test_the_high_water_mark_goes_up_only_and_on_ticks_only(desk: Desk) -> None:
    desk.execute(quantity=10, price=50, market=quote(100, 101))
    assert desk.account["equity_e8"] == e8(100_500)
    assert desk.account["high_water_e12"] == 10**12
    heights = []
    for bid in (100, 120, 90, 119, 121):
        desk.tick(quote(bid, bid + 1))
        heights.append(int(desk.account["high_water_e12"]))
    assert heights == [each * 10**7 for each in (100_500, 100_700, 100_700, 100_700, 100_710)]


@pytest.mark.parametrize(("bid", "reached"), [(86, False), (85, True), (84, True)])
def test_the_drawdown_counts_at_its_limit(desk: Desk, bid: int, reached: bool) -> None:
    desk.execute(quantity=1000, price=100)
    desk.tick(quote(100, 101))
    desk.tick(quote(bid, bid + 1))
    assert desk.account["drawdown"] == reached


def test_the_drawdown_is_measured_from_the_height_and_stays(desk: Desk) -> None:
    desk.execute(quantity=1000, price=100, market=quote(100, 101))
    for bid, reached in ((110, 0), (94, 0), (93, 1), (200, 1)):  # 15 % of 110,000 is 16,500
        desk.tick(quote(bid, bid + 1))
        assert desk.account["drawdown"] == reached


def test_a_loss_that_a_fill_brings_counts_at_once(desk: Desk) -> None:
    desk.execute(quantity=1000, price=100, fee=e8(15_000), market=quote(100, 101))
    assert desk.account["drawdown"] == 1
