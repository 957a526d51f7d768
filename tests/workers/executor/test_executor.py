"""The paper executor, native and reference alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pipeline.records import MARKET, ORDER, Array
from pipeline.vocabulary import Denial, ExecutionKind, MarketKind, Mode, Side
from shm.breaker_types import GlobalState
from tests.workers.risk.desk import ALL_IS_WELL, ENGINES, NOW, Driver, bits, config, record_of
from workers.executor import reference
from workers.executor.stage import PaperExecutor

FEE_E8 = 100_000  # a tenth of a per cent of a tick times a lot of instrument 0


class Venue:
    """An executor of one engine, asked one thing at a time."""

    def __init__(self, engine: str, slippage_bp: int = 0) -> None:
        stage = PaperExecutor(config() | {"executor": {"slippage_bp": slippage_bp}})
        kernel = reference.PaperExecutor(slippage_bp, stage.masks, stage.instruments)
        self.driver = Driver(stage, kernel if engine == "reference" else None)

    def tick(self, **fields: int) -> Array | None:
        """A market record, by default a quote of 99 to 100; return the execution of a stop."""
        usual = {"kind": MarketKind.QUOTE, "bid": 99, "ask": 100, "venue_ns": 5, "received_ns": 6}
        answers = self.driver.step("ticks", record_of(MARKET, **usual | fields), now_ns=NOW)
        assert [ring for ring, _ in answers] in ([], ["executions"])
        return answers[0][1] if answers else None

    def order(
        self, breakers: Mapping[str, int] = ALL_IS_WELL, /, *, halted: int = 0, **fields: int
    ) -> Array:
        """Send an order, by default to buy 10 lots at 100 or less; return what became of it."""
        self.driver.breakers = breakers
        usual = {"order_id": 3, "intent_id": 4, "side": Side.BUY, "quantity": 10, "limit": 100}
        record = record_of(ORDER, **usual | fields)
        [(ring, execution)] = self.driver.step("orders", record, now_ns=NOW, halted=halted)
        assert ring == "executions"
        return execution

    def sell(self, breakers: Mapping[str, int] = ALL_IS_WELL, /, **fields: int) -> Array:
        """Send an order to sell 10 lots at 1 or more."""
        return self.order(breakers, **{"side": Side.SELL, "limit": 1, **fields})

    def held(self, instrument: int = 0) -> np.void:
        """What is held of an instrument."""
        held: np.void = self.driver.state("instruments")[instrument]
        return held


def of(execution: Array | None, *names: str) -> Any:
    """Some fields, as plain values."""
    assert execution is not None
    return execution[list(names)][0].tolist()


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def venue(kind: str) -> Venue:
    """One that has seen a quote."""
    venue = Venue(kind)
    venue.tick()
    return venue


def test_a_buy_fills_whole_at_the_ask_and_a_sell_at_the_bid(venue: Venue) -> None:
    fill = ("kind", "side", "quantity", "price", "leaves", "position", "trade_id", "reason")
    assert of(venue.order(), *fill) == (ExecutionKind.FILL, 1, 10, 100, 0, 10, 1, 0)
    assert of(venue.sell(quantity=25), *fill) == (ExecutionKind.FILL, -1, 25, 99, 0, -15, 2, 0)
    assert venue.held()["position"] == -15
    assert venue.driver.state("stage")["last_trade_id"] == [2]


def test_an_execution_names_its_order_and_where_that_came_from(venue: Venue) -> None:
    execution = venue.order(strategy=2, received_ns=7, venue_ns=8, instrument=0)
    assert of(execution, "order_id", "intent_id", "strategy") == (3, 4, 2)
    # Its time at the venue is that of the last tick.
    assert of(execution, "received_ns", "venue_ns") == (7, 5)
    venue.tick(kind=MarketKind.TRADE, venue_ns=50, bid=1, ask=2)
    assert of(venue.order(), "venue_ns", "price") == (50, 100)


@pytest.mark.parametrize(
    ("fields", "filled"),
    [
        ({"side": Side.BUY, "limit": 101}, True),
        ({"side": Side.BUY, "limit": 100}, True),
        ({"side": Side.BUY, "limit": 99}, False),
        ({"side": Side.SELL, "limit": 98}, True),
        ({"side": Side.SELL, "limit": 99}, True),
        ({"side": Side.SELL, "limit": 100}, False),
    ],
)
def test_an_order_whose_limit_is_not_met_expires_at_once(
    venue: Venue, fields: dict[str, int], filled: bool
) -> None:
    execution = venue.order(**fields)
    if filled:
        assert of(execution, "kind", "quantity") == (ExecutionKind.FILL, 10)
    else:
        nothing = ("kind", "quantity", "price", "fee", "trade_id", "leaves", "position", "reason")
        assert of(execution, *nothing) == (ExecutionKind.EXPIRED, 0, 0, 0, 0, 0, 0, 0)
        assert venue.held()["position"] == 0


@pytest.mark.parametrize(
    ("slippage_bp", "buy", "sell"),
    [(0, 1000, 999), (1, 1001, 998), (10, 1001, 998), (11, 1002, 997)],
)
def test_slippage_worsens_the_price_rounded_against_the_order(
    kind: str, slippage_bp: int, buy: int, sell: int
) -> None:
    venue = Venue(kind, slippage_bp)
    venue.tick(bid=999, ask=1000)
    assert of(venue.order(limit=2000), "price") == (buy,)
    assert of(venue.order(limit=buy), "kind") == (ExecutionKind.FILL,)
    assert of(venue.order(limit=buy - 1), "kind") == (ExecutionKind.EXPIRED,)
    assert of(venue.sell(), "price") == (sell,)


def test_nothing_is_sold_below_one_tick(kind: str) -> None:
    venue = Venue(kind, slippage_bp=10_000)
    venue.tick(bid=1, ask=2)
    assert of(venue.sell(), "price") == (1,)


def test_the_takers_fee_is_rounded_up(venue: Venue) -> None:
    assert of(venue.order(), "fee") == (100 * 10 * FEE_E8,)
    venue.tick(instrument=1, bid=99, ask=101)
    # 0.00075 of 10.1, itself rounded up to 11, of the smallest money.
    assert of(venue.order(instrument=1, quantity=1, limit=101), "fee") == (1,)
    assert of(venue.order(instrument=1, quantity=1400, limit=101), "fee") == (11,)  # 10.605


REJECTIONS: list[tuple[dict[str, int], dict[str, int], Denial]] = [
    ({}, {"halted": 1}, Denial.KILLED),
    ({}, {"halted": 1, "reduce_only": 1, "side": -1, "limit": 1}, Denial.KILLED),
    ({"ask": 0}, {}, Denial.MD_CROSSED),
    ({"bid": 0}, {"side": -1}, Denial.MD_CROSSED),
    ({}, {"instrument": 1}, Denial.MD_CROSSED),  # no quote of it yet
    ({}, {"reduce_only": 1}, Denial.REDUCE_ONLY_INCREASES),
    ({}, {"reduce_only": 1, "side": -1, "limit": 1}, Denial.REDUCE_ONLY_INCREASES),
]


@pytest.mark.parametrize(("quote", "asked", "reason"), REJECTIONS)
def test_what_cannot_be_done_is_rejected_with_its_reason(
    venue: Venue, quote: dict[str, int], asked: dict[str, int], reason: Denial
) -> None:
    venue.tick(**quote)
    execution = venue.order(**asked)
    told = ("kind", "reason", "quantity", "price", "fee", "trade_id", "leaves", "order_id")
    assert of(execution, *told) == (ExecutionKind.REJECTED, reason, 0, 0, 0, 0, 0, 3)
    assert venue.driver.state("stage")["last_trade_id"] == [0]


AGAINST_NEW_RISK: list[Mapping[str, int]] = [
    {"global": GlobalState.OPEN},
    {"global": GlobalState.UNKNOWN},
    {"global": 4},  # whatever that is
    {"blocked": bits("feed.sim")},
    {"blocked": bits("orders.sim")},
    {"blocked": bits("ta")},
    {"blocked": bits("ml")},
]
AGAINST_ALL: list[Mapping[str, int]] = [
    {"forced": bits("feed.sim")},
    {"blocked": bits("orders.sim"), "forced": bits("orders.sim")},
]
AGAINST_NOTHING: list[Mapping[str, int]] = [
    {"global": GlobalState.DEGRADED},
    {"blocked": bits("feed.far", "orders.far"), "forced": bits("feed.far", "orders.far")},
    {"blocked": bits("risk", "storage"), "forced": bits("risk", "storage")},  # by way of the global
]


@pytest.mark.parametrize("breakers", [*AGAINST_NEW_RISK, *AGAINST_ALL])
def test_an_open_breaker_refuses_new_risk_at_the_fill(
    venue: Venue, breakers: Mapping[str, int]
) -> None:
    told = ("kind", "reason", "quantity", "trade_id", "leaves", "position", "order_id")
    refused = (ExecutionKind.REJECTED, Denial.BREAKER_OPEN, 0, 0, 0)
    assert of(venue.order(breakers), *told) == (*refused, 0, 3)
    venue.order(quantity=4)
    assert of(venue.order(breakers), *told) == (*refused, 4, 3)  # adds
    assert of(venue.sell(breakers, quantity=5), *told) == (*refused, 4, 3)  # turns


def test_while_all_positions_are_to_be_closed_an_order_can_only_reduce(venue: Venue) -> None:
    flatten = {"mode": Mode.REDUCED}
    told = ("kind", "reason", "position")
    refused = (ExecutionKind.REJECTED, Denial.MODE_REDUCE_ONLY)
    assert of(venue.order(flatten), *told) == (*refused, 0)
    venue.order(quantity=4)
    assert of(venue.sell(flatten, quantity=5), *told) == (*refused, 4)
    assert of(venue.sell(flatten, quantity=4), *told) == (ExecutionKind.FILL, 0, 0)


def test_when_paused_an_order_can_only_reduce(venue: Venue) -> None:
    paused = {"mode": Mode.PAUSED}
    refused = (ExecutionKind.REJECTED, Denial.MODE_PAUSED)
    assert of(venue.order(paused), "kind", "reason") == refused
    venue.order(quantity=4)
    assert of(venue.sell(paused, quantity=4), "kind", "position") == (ExecutionKind.FILL, 0)


def test_in_an_emergency_an_order_must_also_be_flagged(venue: Venue) -> None:
    killed = {"mode": Mode.EMERGENCY}
    refused = (ExecutionKind.REJECTED, Denial.KILLED)
    assert of(venue.order(killed), "kind", "reason") == refused
    venue.order(quantity=4)
    assert of(venue.sell(killed, quantity=4), "kind", "reason") == refused
    closed = venue.sell(killed, quantity=4, reduce_only=1)
    assert of(closed, "kind", "position") == (ExecutionKind.FILL, 0)


@pytest.mark.parametrize("breakers", [{}, *AGAINST_NEW_RISK, *AGAINST_NOTHING])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_an_open_breaker_lets_an_order_reduce(
    venue: Venue, side: Side, breakers: Mapping[str, int]
) -> None:
    venue.order(side=side, limit=100 if side > 0 else 1)
    closing = {"side": -side, "limit": 1 if side > 0 else 100}
    told = ("kind", "quantity", "position")
    part = venue.order(breakers, **closing, quantity=4)
    assert of(part, *told) == (ExecutionKind.FILL, 4, side * 6)
    # What is held is all that it would fill, and so it reduces, whatever it asks for.
    rest = venue.order(breakers, **closing, quantity=9, reduce_only=1)
    assert of(rest, *told) == (ExecutionKind.FILL, 6, 0)
    nothing = venue.order(breakers, **closing, reduce_only=1)
    assert of(nothing, "reason") == (Denial.REDUCE_ONLY_INCREASES,)


@pytest.mark.parametrize("breakers", AGAINST_ALL)
def test_a_venue_that_was_forced_open_is_sent_nothing(
    venue: Venue, breakers: Mapping[str, int]
) -> None:
    venue.order()
    for reduce_only in (0, 1):
        execution = venue.sell(breakers, reduce_only=reduce_only)
        told = ("kind", "reason", "position")
        assert of(execution, *told) == (ExecutionKind.REJECTED, Denial.BREAKER_OPEN, 10)


@pytest.mark.parametrize("breakers", AGAINST_NOTHING)
def test_breakers_of_others_refuse_nothing(venue: Venue, breakers: Mapping[str, int]) -> None:
    assert of(venue.order(breakers), "kind") == (ExecutionKind.FILL,)


@pytest.mark.parametrize(("instrument", "reason"), [(0, Denial.NONE), (1, Denial.BREAKER_OPEN)])
def test_each_instrument_is_held_to_the_breakers_of_its_own_venue(
    venue: Venue, instrument: int, reason: Denial
) -> None:
    venue.tick(instrument=1)
    execution = venue.order({"blocked": bits("orders.far")}, instrument=instrument)
    assert of(execution, "reason") == (reason,)


def test_the_halt_word_is_named_before_a_breaker_and_a_breaker_before_the_rest(
    venue: Venue,
) -> None:
    breakers = {"global": GlobalState.OPEN}
    venue.tick(ask=0)
    assert of(venue.order(breakers, halted=1), "reason") == (Denial.KILLED,)
    assert of(venue.order(breakers), "reason") == (Denial.BREAKER_OPEN,)


@pytest.mark.parametrize("breakers", [*AGAINST_NEW_RISK, *AGAINST_ALL])
def test_a_stop_is_kept_whatever_the_breakers_say(
    venue: Venue, breakers: Mapping[str, int]
) -> None:
    venue.order(stop=95)
    venue.driver.breakers = breakers
    assert of(venue.tick(bid=90, ask=91), "kind", "position") == (ExecutionKind.STOP, 0)


def test_the_other_side_of_a_quote_may_be_missing(venue: Venue) -> None:
    venue.tick(bid=0)
    assert of(venue.order(), "kind") == (ExecutionKind.FILL,)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_reducing_order_takes_what_is_held_and_no_more(venue: Venue, side: Side) -> None:
    opening, closing = {"side": side, "limit": 100 if side > 0 else 1}, {"side": -side}
    closing |= {"limit": 1 if side > 0 else 100, "reduce_only": 1}
    venue.order(**opening, quantity=10)
    told = ("kind", "quantity", "leaves", "position")
    assert of(venue.order(**closing, quantity=4), *told) == (ExecutionKind.FILL, 4, 0, side * 6)
    assert of(venue.order(**closing, quantity=9), *told) == (ExecutionKind.FILL, 6, 0, 0)
    assert of(venue.order(**closing, quantity=1), "reason") == (Denial.REDUCE_ONLY_INCREASES,)
    venue.order(**opening, quantity=10)
    adding = venue.order(**opening | {"reduce_only": 1})
    assert of(adding, "reason", "position") == (Denial.REDUCE_ONLY_INCREASES, side * 10)


@pytest.mark.parametrize(("bid", "stopped"), [(96, False), (95, True), (90, True), (0, False)])
def test_a_long_is_stopped_out_when_the_bid_reaches_its_stop(
    venue: Venue, bid: int, stopped: bool
) -> None:
    venue.order(stop=95, strategy=6)
    execution = venue.tick(bid=bid, ask=97, venue_ns=70, received_ns=71)
    if not stopped:
        assert execution is None
        assert (venue.held()["position"], venue.held()["stop"]) == (10, 95)
        return
    told = ("kind", "side", "quantity", "price", "leaves", "position", "trade_id", "fee")
    assert of(execution, *told) == (ExecutionKind.STOP, -1, 10, bid, 0, 0, 2, bid * 10 * FEE_E8)
    origin = ("order_id", "intent_id", "strategy", "reason", "venue_ns", "received_ns")
    assert of(execution, *origin) == (0, 0, 6, 0, 70, 71)
    assert venue.held()[["position", "stop", "strategy"]].tolist() == (0, 0, 0)
    assert venue.tick(bid=bid) is None  # once


@pytest.mark.parametrize(("ask", "stopped"), [(104, False), (105, True), (110, True), (0, False)])
def test_a_short_is_stopped_out_when_the_ask_reaches_its_stop(
    venue: Venue, ask: int, stopped: bool
) -> None:
    venue.sell(stop=105)
    execution = venue.tick(bid=103, ask=ask)
    assert (execution is not None) == stopped
    if stopped:
        told = ("kind", "side", "quantity", "price", "position")
        assert of(execution, *told) == (ExecutionKind.STOP, 1, 10, ask, 0)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_position_without_a_stop_is_left_alone(venue: Venue, side: Side) -> None:
    venue.order(side=side, limit=100 if side > 0 else 1)
    assert venue.tick(bid=1, ask=2) is None
    assert venue.tick(bid=10**6, ask=10**6 + 1) is None


def test_a_trade_stops_nobody_out(venue: Venue) -> None:
    venue.order(stop=95)
    assert venue.tick(kind=MarketKind.TRADE, price=90, bid=90, ask=91) is None
    assert venue.held()["bid"] == 99


def test_a_stop_of_another_instrument_is_left_alone(venue: Venue) -> None:
    venue.order(stop=95)
    assert venue.tick(instrument=1, bid=90, ask=91) is None


def test_a_stop_is_kept_under_the_halt_word(venue: Venue) -> None:
    venue.order(stop=95)
    record = record_of(MARKET, kind=MarketKind.QUOTE, bid=90, ask=91)
    [(_, execution)] = venue.driver.step("ticks", record, now_ns=NOW, halted=1)
    assert of(execution, "kind") == (ExecutionKind.STOP,)


@pytest.mark.parametrize(("bid", "reached"), [(104, False), (105, True), (110, True)])
def test_a_long_takes_its_profit_at_the_target_when_the_bid_reaches_it(
    venue: Venue, bid: int, reached: bool
) -> None:
    venue.order(stop=95, target=105, strategy=6)
    execution = venue.tick(bid=bid, ask=bid + 1, venue_ns=70, received_ns=71)
    if not reached:
        assert execution is None
        assert venue.held()[["position", "stop", "target"]].tolist() == (10, 95, 105)
        return
    # It rested there, so it is had at its own price.
    told = ("kind", "side", "quantity", "price", "leaves", "position", "trade_id", "fee")
    assert of(execution, *told) == (ExecutionKind.STOP, -1, 10, 105, 0, 0, 2, 105 * 10 * FEE_E8)
    origin = ("order_id", "intent_id", "strategy", "reason", "venue_ns", "received_ns")
    assert of(execution, *origin) == (0, 0, 6, 0, 70, 71)
    assert venue.held()[["position", "stop", "target", "strategy"]].tolist() == (0, 0, 0, 0)
    assert venue.tick(bid=bid, ask=bid + 1) is None  # once


@pytest.mark.parametrize(("ask", "reached"), [(96, False), (95, True), (90, True), (0, False)])
def test_a_short_takes_its_profit_when_the_ask_reaches_its_target(
    venue: Venue, ask: int, reached: bool
) -> None:
    venue.sell(stop=105, target=95)
    execution = venue.tick(bid=max(0, ask - 1), ask=ask)
    assert (execution is not None) == reached
    if reached:
        told = ("kind", "side", "quantity", "price", "position")
        assert of(execution, *told) == (ExecutionKind.STOP, 1, 10, 95, 0)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_where_a_quote_reaches_both_the_stop_wins(venue: Venue, side: Side) -> None:
    # Levels on the wrong sides: whatever the quote is, it is beyond both.
    stop, target = (120, 80) if side > 0 else (80, 120)
    venue.order(side=side, limit=100 if side > 0 else 1, stop=stop, target=target)
    assert of(venue.tick(bid=99, ask=100), "price") == (99 if side > 0 else 100,)


@pytest.mark.parametrize("target", [0, -5])
def test_no_target_is_never_reached(venue: Venue, target: int) -> None:
    venue.order(target=target)
    assert venue.tick(bid=10**6, ask=10**6 + 1) is None
    assert venue.held()["position"] == 10


def test_a_target_belongs_to_its_position(venue: Venue) -> None:
    def levels_after(**fields: int) -> tuple[int, int, int]:
        venue.order(**fields)
        held = venue.held()
        return int(held["position"]), int(held["stop"]), int(held["target"])

    sell = {"side": Side.SELL, "limit": 1}
    assert levels_after(stop=95, target=120) == (10, 95, 120)
    assert levels_after(stop=96) == (20, 96, 120)  # adds without one: the first stays
    assert levels_after(target=130) == (30, 96, 130)  # adds with one
    assert levels_after(**sell, stop=50, target=60) == (20, 96, 130)  # reduces
    assert levels_after(**sell, quantity=30) == (-10, 0, 0)  # turns, without one
    assert levels_after(quantity=20, target=140) == (10, 0, 140)  # turns, with one
    assert levels_after(**sell, target=5) == (0, 0, 0)  # gone


def test_a_stop_belongs_to_its_position(venue: Venue) -> None:
    def stop_after(**fields: int) -> tuple[int, int, int]:
        venue.order(**fields)
        held = venue.held()
        return int(held["position"]), int(held["stop"]), int(held["strategy"])

    sell = {"side": Side.SELL, "limit": 1}
    assert stop_after(stop=95, strategy=1) == (10, 95, 1)
    assert stop_after(strategy=2) == (20, 95, 1)  # adds without one: the first stays
    assert stop_after(stop=96, strategy=3) == (30, 96, 3)  # adds with one
    assert stop_after(**sell, stop=50, strategy=4) == (20, 96, 3)  # reduces
    assert stop_after(**sell, quantity=30, strategy=5) == (-10, 0, 5)  # turns, without one
    assert stop_after(quantity=20, stop=94, strategy=6) == (10, 94, 6)  # turns, with one
    assert stop_after(**sell, stop=93, strategy=7) == (0, 0, 0)  # gone
    assert venue.tick(bid=1, ask=2) is None


@pytest.mark.parametrize("halted", [0, 1])
def test_a_tick_changes_nothing(venue: Venue, halted: int) -> None:
    before = venue.driver.state("instruments").tobytes()
    assert venue.driver.step("tick", None, now_ns=NOW, halted=halted) == []
    assert venue.driver.state("instruments").tobytes() == before


def test_an_instrument_that_is_not_configured_is_named(venue: Venue) -> None:
    with pytest.raises(IndexError, match="tick 0: instrument was 2, must be below 2"):
        venue.tick(instrument=2)
    with pytest.raises(IndexError, match="order 0: instrument was 9, must be below 2"):
        venue.order(instrument=9)


def test_a_number_that_does_not_fit_is_named(venue: Venue) -> None:
    with pytest.raises(OverflowError, match=r"fee was \d+, must fit int64"):
        venue.order(quantity=2**62)
