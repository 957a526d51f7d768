"""Money in several currencies: each is conserved, and all of it is judged in the account's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.instruments import E8
from pipeline.records import CONTROL, Array
from pipeline.rules import Unit
from pipeline.vocabulary import ControlKind, Denial, ExecutionKind, Mode
from pipeline.why import decisions
from tests.workers.risk.desk import ENGINES, Desk, codes, config, e8, quote, record_of

OWN, BTCUSDT, ETHBTC, USDTEUR, ONEEUR = range(5)
BTC, EUR = 1, 2  # numbers of currencies, in the order of their names; 0 is the account's
QUOTED = (0, 0, BTC, EUR, EUR)
CONVERTERS = {BTC: BTCUSDT, EUR: USDTEUR}

# What is a base, what is converted by a market of it, and what by one that has it as its quote.
INSTRUMENTS = [
    {
        "symbol": base + quote,
        "venue": "sim",
        "base": base,
        "quote": quote,
        "tick": tick,
        "lot": lot,
        "min_notional": "0.0001",
        "maker_fee": "0",
        "taker_fee": "0.001",
    }
    for base, quote, tick, lot in (
        ("ONE", "USDT", "0.01", "0.001"),
        ("BTC", "USDT", "0.01", "0.00001"),
        ("ETH", "BTC", "0.00001", "0.001"),
        ("USDT", "EUR", "0.0001", "0.01"),
        ("ONE", "EUR", "0.01", "0.001"),
    )
]
PRICES = (10_000, 6_000_000, 5_000, 9_000, 9_000)  # ticks
THOUSAND = (10_000, 1_667, 333, 100_000, 11_111)  # lots that are worth about 1,000 USDT
BALANCES = {"BTC": "0.5", "EUR": "10000"}


def settings_of(balances: Mapping[str, str] = BALANCES, **risk: Any) -> dict[str, Any]:
    """A configuration with these opening balances beside 100,000 USDT."""
    made = config(**{"stop_distance_bp": 10_000, "position_bp": 10_000} | risk)
    return {**made, "currency": "USDT", "instruments": INSTRUMENTS, "balances": dict(balances)}


def market_of(index: int, permille: int = 1000, spread: int = 2, **fields: int) -> Array:
    """A quote at so much of the usual price."""
    bid = PRICES[index] * permille // 1000
    return quote(bid, bid + spread, **fields)


def desk_of(kind: str, *seen: int, **given: Any) -> Desk:
    """A desk that has seen the usual price of some instruments, by default of all."""
    desk = Desk(kind, settings=settings_of(**given))
    for index in seen or range(5):
        desk.tick(market_of(index), index)
    return desk


def currency(desk: Desk, number: int) -> np.void:
    """What there is of another currency."""
    cell: np.void = desk.driver.state("currencies")[number - 1]
    return cell


def sound(index: int, side: int = 1, lots: int | None = None, permille: int = 1000) -> Any:
    """The fields of an intent that nothing but its size is against."""
    bid = PRICES[index] * permille // 1000
    return {
        "instrument": index,
        "side": side,
        "quantity": THOUSAND[index] if lots is None else lots,
        "limit": bid + 2 if side > 0 else bid,
        "stop": bid - bid // 100 if side > 0 else bid + bid // 100,
    }


def test_what_is_bought_is_paid_in_its_own_currency(kind: str) -> None:
    desk = desk_of(kind)
    before = int(desk.account["cash_e8"])
    order = desk.approve(**sound(ETHBTC, lots=1000), market=market_of(ETHBTC))
    reserved = currency(desk, BTC)["reserved_e8"]
    assert order["reserved"] == reserved == math.ceil(Fraction("0.05002") * Fraction("1.001") * E8)
    assert desk.account["reserved_e8"] == 0
    assert desk.account["gross_e8"] == e8(0.05002 * 60_000.02 * 1000 / 1000)
    desk.execute(
        instrument=ETHBTC,
        order_id=int(order["order_id"][0]),
        quantity=1000,
        price=5002,
        fee=5002,
        market=market_of(ETHBTC),
    )
    held = currency(desk, BTC)
    assert (held["cash_e8"], held["fees_e8"]) == (e8(0.5) - e8(0.05002) - 5002, 5002)
    assert (held["value_e8"], held["reserved_e8"]) == (e8(0.05), 0)
    assert desk.account["cash_e8"] == before
    # 0.5 BTC less the spread and the fee, at the bid of BTC.
    btc = e8(0.5) - 2000 - 5002
    eur = 10_000 * E8 * 10_000 // 9_002
    assert desk.account["equity_e8"] == e8(100_000) + btc * 60_000 + eur


def test_no_more_is_bought_than_there_is_of_the_currency(kind: str) -> None:
    desk = desk_of(kind)
    # 0.5 BTC pay for 9.9 ETH with the fee; USDT there would be enough for 30.
    _, outcome = desk.ask(**sound(ETHBTC, lots=10_000), market=market_of(ETHBTC))
    assert codes(outcome) == {Denial.BUYING_POWER}
    desk.approve(**sound(ETHBTC, lots=5_000), market=market_of(ETHBTC))
    _, outcome = desk.ask(**sound(ETHBTC, lots=5_000), market=market_of(ETHBTC))
    assert codes(outcome) == {Denial.BUYING_POWER}
    desk.approve(**sound(ETHBTC, lots=4_900), market=market_of(ETHBTC))


@pytest.mark.parametrize(("index", "rate"), [(ETHBTC, 6_000_002), (ONEEUR, 9_000)])
def test_limits_are_of_money_of_the_account(kind: str, index: int, rate: int) -> None:
    lots = THOUSAND[index]
    price = PRICES[index] + 2
    tick, lot = (Fraction(str(INSTRUMENTS[index][what])) for what in ("tick", "lot"))
    paid = math.ceil(price * tick * lots * lot * E8)
    worth = -(-paid * rate // 100) if index == ETHBTC else -(-paid * 10_000 // rate)
    for limit, denied in ((worth, set()), (worth - 1, {Denial.NOTIONAL_MAX, Denial.GROSS})):
        money = f"{limit // E8}.{limit % E8:08}"
        desk = desk_of(kind, order_notional=money, gross=money)
        _, outcome = desk.ask(**sound(index), market=market_of(index))
        assert codes(outcome) == denied


def test_without_a_rate_there_is_no_new_risk(kind: str) -> None:
    desk = desk_of(kind, OWN, ETHBTC)
    _, outcome = desk.ask(**sound(ETHBTC), market=market_of(ETHBTC))
    assert codes(outcome) == {Denial.MD_STALE}
    assert desk.account["equity_e8"] == desk.account["units"] == e8(100_000)
    desk.tick(market_of(BTCUSDT), BTCUSDT)
    desk.approve(**sound(ETHBTC), market=market_of(ETHBTC))


@pytest.mark.parametrize("how", ["old", "flagged", "crossed", "far off"])
def test_a_rate_that_is_not_valid_lets_only_reducing_orders_pass(kind: str, how: str) -> None:
    desk = desk_of(kind, jump_bp=100)
    desk.execute(
        instrument=ETHBTC, quantity=1000, price=5002, fee=0, market=market_of(ETHBTC), order_id=0
    )
    late = desk.now + 3_000_000_001
    if how == "flagged":
        desk.tick(market_of(BTCUSDT, stale=1), BTCUSDT)
    elif how == "crossed":
        desk.tick(market_of(BTCUSDT, spread=0), BTCUSDT)
    else:
        desk.now = late
        if how == "far off":
            desk.tick(market_of(BTCUSDT, 1100, link_ns=late), BTCUSDT)
    market = market_of(ETHBTC, link_ns=desk.now)
    desk.tick(market, ETHBTC)
    _, outcome = desk.ask(**sound(ETHBTC, lots=100), market=market)
    assert codes(outcome) == {Denial.MD_STALE}
    desk.approve(**sound(ETHBTC, -1, lots=100), market=market)
    desk.tick(market_of(BTCUSDT, link_ns=desk.now), BTCUSDT)
    desk.approve(**{**sound(ETHBTC, lots=100), "limit": 4999}, market=market)


def test_a_first_rate_is_neither_a_profit_nor_a_loss(kind: str) -> None:
    desk = desk_of(kind, OWN)
    desk.execute(instrument=OWN, quantity=1000, price=10_000, fee=e8(50), market=market_of(OWN))
    before = {field: int(desk.account[field]) for field in ("nav_e12", "high_water_e12")}
    result = int(desk.account["equity_e8"] - desk.account["day_open_e8"])
    desk.tick(market_of(BTCUSDT), BTCUSDT)
    account = desk.account
    assert account["joined_e8"] == e8(30_000)
    assert account["equity_e8"] - account["day_open_e8"] == result
    assert account["high_water_e12"] == before["high_water_e12"]
    assert 0 <= account["nav_e12"] - before["nav_e12"] <= 1
    # From now on it is one.
    desk.tick(market_of(BTCUSDT, 900), BTCUSDT)
    assert desk.account["equity_e8"] - desk.account["day_open_e8"] == result - e8(3000)


def test_a_rate_that_falls_trips_the_drawdown(kind: str) -> None:
    desk = desk_of(kind, OWN, BTCUSDT, balances={"BTC": "5"}, reduce_bp=1000, jump_bp=100)
    for permille, mode in ((840, Mode.NORMAL), (840, Mode.REDUCED), (800, Mode.REDUCED)):
        desk.tick(market_of(BTCUSDT, permille), BTCUSDT)
        assert desk.account["mode"] == mode
    desk.tick(market_of(BTCUSDT, 800), BTCUSDT)  # 300,000 of 400,000, and a fifth of them is lost
    account = desk.account
    assert (account["mode"], account["killed"]) == (Mode.EMERGENCY, Denial.DRAWDOWN)
    assert account["equity_e8"] == e8(100_000 + 5 * 48_000)
    assert account["max_drawdown_e6"] == 150_000


def test_what_is_under_way_is_worth_more_when_its_currency_is(kind: str) -> None:
    desk = desk_of(kind)
    desk.approve(**sound(ETHBTC, lots=1000), market=market_of(ETHBTC))
    desk.tick(market_of(BTCUSDT, 2000), BTCUSDT)
    worth = math.ceil(Fraction("0.05002") * Fraction("120000.02") * E8)
    account = desk.account
    assert account["gross_e8"] == account["long_e8"] == worth
    assert desk.driver.state("venues")["gross_e8"].tolist() == [worth]


def test_a_debt_is_converted_at_the_ask(kind: str) -> None:
    desk = desk_of(kind, balances={})
    fields: dict[str, Any] = {
        "instrument": ETHBTC,
        "market": market_of(ETHBTC),
        "quantity": 1000,
        "fee": 0,
    }
    desk.execute(**fields, side=1, price=5001)
    desk.execute(**fields, side=-1, price=5000)
    assert currency(desk, BTC)["cash_e8"] == currency(desk, BTC)["realised_e8"] == -1000
    assert desk.account["equity_e8"] == e8(100_000) - math.ceil(1000 * Fraction("60000.02"))


def test_flows_in_another_currency_do_not_move_the_price_of_a_unit(kind: str) -> None:
    desk = desk_of(kind, OWN, BTCUSDT)
    nav, equity = int(desk.account["nav_e12"]), int(desk.account["equity_e8"])
    flow(desk, BTC, e8(0.25))
    assert currency(desk, BTC)["flows_e8"] == e8(0.25)
    assert desk.account["equity_e8"] == equity + e8(15_000)
    assert 0 <= desk.account["nav_e12"] - nav <= 1
    before = desk.driver.state("currencies").tolist(), desk.account.tolist()
    flow(desk, EUR, e8(100))  # nobody knows what it is worth
    flow(desk, BTC, e8(-10))  # more than all there is
    assert (desk.driver.state("currencies").tolist(), desk.account.tolist()) == before
    with pytest.raises(ValueError, match="index was 3, must be at most 2"):
        flow(desk, 3, 1)


def flow(desk: Desk, number: int, amount: int) -> None:
    """Deposit or withdraw."""
    record = record_of(CONTROL, kind=ControlKind.FLOW, amount=amount, index=number)
    assert desk.driver.step("control", record, now_ns=desk.now) == []


def test_a_kept_account_begins_with_what_its_currencies_were_worth(kind: str) -> None:
    figures = {
        **dict.fromkeys(("day", "week", "month", "losses", "mode", "mode_code"), 0),
        **dict.fromkeys(("killed", "drawdown"), 0),
        **dict.fromkeys(("day_open_e8", "week_open_e8", "month_open_e8"), e8(130_000)),
        "equity_e8": e8(130_000),
        "units": e8(100_000),
        "high_water_e12": 13 * 10**11,
        "balances": {"BTC": [e8(0.5), 60_000 * E8, 60_001 * E8]},
    }
    desk = Desk(kind, settings={**settings_of(), "run": {"account": figures}})
    desk.tick(market_of(OWN), OWN)
    account = desk.account
    assert account["cash_e8"] == account["opening_e8"] == e8(100_000)
    assert (account["equity_e8"], account["joined_e8"]) == (e8(130_000), e8(30_000))
    assert account["nav_e12"] == account["high_water_e12"]
    desk.tick(market_of(ETHBTC), ETHBTC)
    _, outcome = desk.ask(**sound(ETHBTC), market=market_of(ETHBTC))
    assert codes(outcome) == {Denial.MD_STALE}  # until it is seen in this run
    desk.tick(market_of(BTCUSDT, 900), BTCUSDT)
    assert desk.account["equity_e8"] == e8(127_000)
    assert desk.account["units"] == e8(100_000)


def test_a_decision_is_explained_in_the_currency_that_it_compared(kind: str) -> None:
    desk = desk_of(kind, order_notional="100")
    told = {}
    for lots in (10_000, 100, 10, 1):
        desk.ask(**sound(ETHBTC, lots=lots), market=market_of(ETHBTC))
        one = decisions(desk.driver.state("decisions"), desk.settings)[-1]
        told[lots] = one.because() if one.failed else one.text(Unit.QUOTED, one.reserved_e8)
    assert told == {
        10_000: "worth 30,012.01 USDT, at most 100.00 USDT",
        100: "worth 300.12 USDT, at most 100.00 USDT",
        10: "0.00050071 BTC",
        1: "worth 0.00005002 BTC, at least 0.00010000 BTC",
    }
    desk.now += 4 * 10**9
    desk.tick(market_of(ETHBTC, link_ns=desk.now), ETHBTC)
    desk.ask(**sound(ETHBTC, lots=2), market=market_of(ETHBTC, link_ns=desk.now))
    one = decisions(desk.driver.state("decisions"), desk.settings)[-1]
    assert (one.code, one.because()) == (
        Denial.MD_STALE,
        "the last word of it, or of what converts BTC, was 4,000 ms ago, at most 3,000 ms",
    )


# --- any history ----------------------------------------------------------------------------

LIMITS: dict[str, Any] = {
    "gross": "25000",
    "directional": "18000",
    "order_notional": "9000",
    "position_bp": 800,
    "drawdown_bp": 10_000,
    "open_orders": 8,
}

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.integers(0, 4), st.integers(500, 2000), st.integers(1, 40)),
        st.tuples(
            st.just("ask"), st.integers(0, 4), st.sampled_from([1, -1]), st.integers(1, 12_000)
        ),
        st.tuples(st.just("fill"), st.integers(0, 7), st.integers(1, 100), st.integers(-20, 900)),
        st.tuples(st.just("cancel"), st.integers(0, 7), st.just(0), st.just(0)),
        st.tuples(st.just("flow"), st.integers(0, 2), st.integers(-(10**12), 10**12), st.just(0)),
        st.tuples(st.just("stale"), st.integers(0, 4), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


class Ledger:
    """What there must be, from first principles: fractions, and every trade."""

    def __init__(self, balances: Mapping[str, str]) -> None:
        self.cash = [e8(100_000), *(e8(float(balances.get(name, "0"))) for name in ("BTC", "EUR"))]
        self.lots = [0] * 5
        self.market: dict[int, tuple[int, int]] = {}
        self.is_valid: dict[int, bool] = {}

    def money(self, index: int, ticks: int, lots: int) -> Fraction:
        """What a quantity is worth in its currency, in 1e-8."""
        tick, lot = (Fraction(str(INSTRUMENTS[index][what])) for what in ("tick", "lot"))
        return ticks * tick * lots * lot * E8

    def book(self, index: int, side: int, lots: int, price: int, fee: int) -> None:
        """A fill."""
        self.cash[QUOTED[index]] += math.floor(self.money(index, price, -side * lots)) - fee
        self.lots[index] += side * lots

    def rates(self, number: int) -> tuple[Fraction, Fraction] | None:
        """What one of a currency is sold and bought for."""
        if number == 0:
            return Fraction(1), Fraction(1)
        by = CONVERTERS[number]
        if by not in self.market:
            return None
        bid, ask = (self.money(by, ticks, 1) / self.unit(by) for ticks in self.market[by])
        return (bid, ask) if number == BTC else (1 / ask, 1 / bid)

    @staticmethod
    def unit(index: int) -> Fraction:
        """A lot, in 1e-8."""
        return Fraction(str(INSTRUMENTS[index]["lot"])) * E8

    def equity(self) -> int:
        """All of it in the account's money."""
        total = 0
        for number, cash in enumerate(self.cash):
            value = cash
            for index, lots in enumerate(self.lots):
                if QUOTED[index] == number and lots:
                    bid, ask = self.market[index]
                    value += math.floor(self.money(index, bid if lots > 0 else ask, lots))
            if (rates := self.rates(number)) is not None:
                total += math.floor(value * rates[0 if value > 0 else 1])
        return total

    def worst(self, desk: Desk, index: int) -> tuple[int, int]:
        """The larger that each side may come to be worth, in the account's money."""
        if (rates := self.rates(QUOTED[index])) is None or index not in self.market:
            return 0, 0
        bid, ask = self.market[index]
        held = desk.held(index)
        longs = max(0, self.lots[index] + int(held["reserved_buy"]))
        shorts = max(0, int(held["reserved_sell"]) - self.lots[index])
        return (
            math.ceil(math.ceil(self.money(index, ask, longs)) * rates[1]),
            math.ceil(math.ceil(self.money(index, bid, shorts)) * rates[1]),
        )


class Two:
    """Both kernels, told the same."""

    def __init__(self, **given: Any) -> None:
        self.desks = [Desk(engine, settings=settings_of(**given)) for engine in ENGINES]

    def both(self, do: Any, *args: Any, **fields: Any) -> Any:
        """Do something with each; they must agree."""
        first, second = (do(desk, *args, **fields) for desk in self.desks)
        native, reference = self.desks
        for group in ("account", "currencies", "instruments", "venues", "orders", "decisions"):
            mine, others = native.driver.state(group), reference.driver.state(group)
            assert mine.tobytes() == others.tobytes(), group
        return first, second


@settings(max_examples=60, deadline=None)
@given(acts=ACTS, rich=st.booleans())
def test_every_history_conserves_each_currency_and_exceeds_no_limit(
    acts: list[tuple[Any, ...]], rich: bool
) -> None:
    balances = BALANCES if rich else {}
    two, ledger = Two(balances=balances, **LIMITS), Ledger(balances)
    desk, sequence = two.desks[0], itertools.count(7)
    # Those who are rich know from the beginning how rich; the others may learn of rates later.
    seen = [(index, 1000, 2) for index in (range(5) if rich else (OWN, ETHBTC, ONEEUR))]
    for act, first, second, third in [*(("tick", *each) for each in seen), *acts]:
        worst: Any = None
        if act == "tick":
            bid = PRICES[first] * second // 1000
            ledger.market[first], ledger.is_valid[first] = (bid, bid + third), True
            two.both(Desk.tick, quote(*ledger.market[first]), first)
        elif act == "stale":
            ledger.is_valid[first] = False
            two.both(Desk.tick, market_of(first, stale=1), first)
        elif act == "ask" and first in ledger.market:
            bid, ask = ledger.market[first]
            number, under_way = (
                next(sequence),
                int(desk.held(first)["reserved_buy" if second > 0 else "reserved_sell"]),
            )
            lots = max(1, THOUSAND[first] * third // 1000)
            intent = {
                "intent_id": number,
                "instrument": first,
                "side": second,
                "quantity": lots,
                "limit": ask if second > 0 else bid,
                "stop": max(1, bid - bid // 100) if second > 0 else ask + ask // 100,
                "market": quote(bid, ask),
            }
            (order, _), _ = two.both(Desk.ask, **intent)
            reduces = ledger.lots[first] * second < 0 and under_way + lots <= abs(
                ledger.lots[first]
            )
            if order is not None and not reduces:
                worst = first, second
                by = CONVERTERS.get(QUOTED[first])
                assert by is None or ledger.is_valid.get(by)
        elif act in ("fill", "cancel") and len(desk.open_orders()):
            cells = desk.open_orders()
            cell = cells[first % len(cells)]
            index, side, leaves = (int(cell[field]) for field in ("instrument", "side", "leaves"))
            lots = max(1, leaves * second // 100) if act == "fill" else 0
            execution = {
                "kind": ExecutionKind.FILL if act == "fill" else ExecutionKind.EXPIRED,
                "order_id": int(cell["order_id"]),
                "instrument": index,
                "side": side,
                "quantity": lots,
                "price": int(cell["limit"]),
                "leaves": leaves - lots,
                "fee": third,
                "market": quote(*ledger.market[index]),
            }
            two.both(Desk.execute, **execution)
            if lots:
                ledger.book(index, side, lots, int(cell["limit"]), third)
        elif act == "flow":
            before = ledger.rates(first), desk.driver.state("currencies")["flows_e8"].tolist()
            own = int(desk.account["flows_e8"])
            two.both(flow, first, second // (1 if first != BTC else 1000))
            after = desk.driver.state("currencies")["flows_e8"].tolist()
            moved = [int(desk.account["flows_e8"]) - own] + [
                new - old for new, old in zip(after, before[1], strict=True)
            ]
            assert before[0] is not None or not any(moved)
            ledger.cash = [cash + more for cash, more in zip(ledger.cash, moved, strict=True)]
        others = desk.driver.state("currencies")["cash_e8"].tolist()
        assert [int(desk.account["cash_e8"]), *others] == ledger.cash
        assert desk.account["equity_e8"] == ledger.equity()
        sides = [ledger.worst(desk, index) for index in range(5)]
        assert [tuple(desk.held(i)[["long_e8", "short_e8"]].tolist()) for i in range(5)] == sides
        gross = sum(map(max, sides))
        assert desk.account["gross_e8"] == gross
        for number in range(3):
            books = desk.account if number == 0 else currency(desk, number)
            held = [i for i in range(5) if QUOTED[i] == number]
            cost = sum(int(desk.held(i)["cost_e8"]) for i in held)
            result = int(books["realised_e8"]) - int(books["fees_e8"])
            opened = int(books["opening_e8"]) + int(books["flows_e8"])
            assert int(books["cash_e8"]) + cost == opened + result
            mine = [order for order in desk.open_orders() if order["instrument"] in held]
            assert books["reserved_e8"] == sum(int(order["reserved_e8"]) for order in mine)
        if worst is not None:
            index, side = worst
            books = currency(desk, QUOTED[index]) if QUOTED[index] else desk.account
            assert gross <= e8(25_000)
            assert sum(each[0 if side > 0 else 1] for each in sides) <= e8(18_000)
            assert max(sides[index][0 if side > 0 else 1] * 10_000, 0) <= 800 * ledger.equity()
            assert side < 0 or books["reserved_e8"] <= books["cash_e8"]
