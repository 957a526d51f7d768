"""Trades as ccxt tells them: exact, numbered, each once."""

from __future__ import annotations

import contextlib
import random

import pytest

from pipeline.instruments import Instrument
from workers.feed.tape import Tape, Trade, steps, trade_of

INSTRUMENT = Instrument("BTC/USDT", "any", "BTC", "USDT", 1_000_000, 1_000, 0, 0, 0, 0)
NOW = 1_000_000


def trade(name: str | int, ms: int, price: int = 1) -> Trade:
    return Trade(str(name), ms, price, 1, 1, has_id=True)


def nameless(ms: int, price: int = 1) -> Trade:
    return Trade(f"{ms} {price} 1 buy", ms, price, 1, 1, has_id=False)


def names(trades: list[Trade] | None) -> list[str]:
    assert trades is not None
    return [each.name for each in trades]


@pytest.mark.parametrize("step_e8", [1, 1_000, 1_000_000, 50_000, 25_000_000, 10**8, 5 * 10**8])
def test_a_float_is_the_multiple_that_the_venue_wrote(step_e8: int) -> None:
    source = random.Random(step_e8)
    for _ in range(2_000):
        whole = source.randrange(10 ** source.randrange(1, 15))
        if whole * step_e8 >= 10**30:
            continue
        # As ccxt reads it.
        text = f"{whole * step_e8 // 10**8}.{whole * step_e8 % 10**8:08d}"
        if len(text.replace(".", "").strip("0")) <= 15 or whole < 10**9:
            assert steps(float(text), step_e8) == whole
        else:  # more digits than a float has: the right one, or none
            with contextlib.suppress(ValueError):
                assert steps(float(text), step_e8) == whole
        assert steps(text, step_e8) == whole


@pytest.mark.parametrize(
    "value", [0.005, 60_000.015, -0.01, float("nan"), float("inf"), 1e16, "x", None, True]
)
def test_what_is_no_multiple_of_the_step_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="number was"):
        steps(value, 1_000_000)


def test_what_arithmetic_has_made_of_a_multiple_is_put_right() -> None:
    assert steps(0.1 + 0.2, 10_000_000) == 3
    assert steps(1.1 * 1.1, 1_000_000) == 121


def test_a_trade_is_read_exactly_or_refused() -> None:
    told = {"id": "7", "timestamp": 5, "price": 60_000.01, "amount": 0.00123, "side": "sell"}
    assert trade_of(told, INSTRUMENT) == Trade("7", 5, 6_000_001, 123, -1, has_id=True)
    assert not trade_of({**told, "id": None}, INSTRUMENT).has_id
    for wrong in ({"side": None}, {"price": None}, {"amount": 0}, {"timestamp": None}):
        with pytest.raises((ValueError, TypeError)):
            trade_of({**told, **wrong}, INSTRUMENT)


def test_ids_that_are_numbers_are_the_numbers_of_trades() -> None:
    tape = Tape(0, NOW)
    told = tape.tell([trade(5, 1), trade(9, 1), trade(9, 1), trade(12, 2)])
    assert [number for number, _ in told] == [5, 9, 12]
    assert tape.tell([trade(5, 1), trade(12, 2)]) == []


@pytest.mark.parametrize("make", [lambda ms, n: trade(f"x{ms}-{n}", ms), nameless])
def test_other_trades_are_numbered_by_their_time(make: object) -> None:
    tape = Tape(0, NOW)
    trades = [make(5, 1), make(5, 2), make(7, 1), make(6, 3)]  # type: ignore[operator]
    numbers = [number for number, _ in tape.tell(trades)]
    assert numbers == [5 << 20, (5 << 20) + 1, 7 << 20, (7 << 20) + 1]


def test_two_trades_without_ids_that_look_alike_are_two() -> None:
    tape = Tape(0, NOW)
    assert len(tape.tell([nameless(5), nameless(5)])) == 2
    # Told again, they are known; a third one is not.
    again = [nameless(5), nameless(5), nameless(5), nameless(8)]
    assert names(tape.missed(again, [nameless(8)])) == ["5 1 1 buy"]


def test_ids_that_do_not_grow_are_names_only() -> None:
    tape = Tape(0, NOW)
    numbers = [n for n, _ in tape.tell([trade(900, 5), trade(17, 6), trade(300, 7)])]
    assert numbers == [900, 6 << 20, 7 << 20]
    assert tape.tell([trade(17, 6)]) == []


@pytest.mark.parametrize("prefix", ["", "x"])
def test_what_was_missed_lies_between_the_last_one_and_the_first_new_one(prefix: str) -> None:
    tape = Tape(0, NOW)
    tape.tell([trade(f"{prefix}{n}", n) for n in (1, 2, 3)])
    replayed = [trade(f"{prefix}{n}", n) for n in range(1, 9)]
    held = replayed[5:7]
    missed = tape.missed(list(reversed(replayed)), held)
    assert names(missed) == [f"{prefix}{n}" for n in (4, 5)]
    assert tape.reaches(replayed)
    assert not tape.reaches(replayed[4:])


def test_a_venue_that_tells_other_ids_on_request_is_not_believed() -> None:
    tape = Tape(0, NOW)
    tape.tell([trade(1, 1)])
    assert tape.missed([trade(71, 2), trade(72, 3)], [trade(3, 3)]) is None
    # The same id of another trade.
    assert tape.missed([trade(2, 2, price=8), trade(3, 2, price=9)], [trade(3, 3)]) is None


def test_a_successor_goes_on_after_the_number_of_the_last_trade() -> None:
    tape = Tape(42, NOW)
    replayed = [trade(n, n) for n in range(40, 47)]
    assert names(tape.missed(replayed, [trade(46, 46)])) == ["43", "44", "45"]


def test_a_successor_goes_on_within_the_millisecond_of_the_last_trade() -> None:
    tape = Tape((7 << 20) + 1, NOW)
    replayed = [nameless(6), *(nameless(7, price) for price in (1, 2, 3)), nameless(8), nameless(9)]
    assert names(tape.missed(replayed, [nameless(9)])) == ["7 3 1 buy", "8 1 1 buy"]
    assert tape.tell([nameless(9)])[0][0] == 9 << 20
