"""Money in integers, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instruments import E8, Instrument
from pipeline.money import SATURATED, amount_e8, checked, fee_e8, notional_e8


def instrument(tick_e8: int, lot_e8: int) -> Instrument:
    return Instrument("X", "sim", "X", "USDT", tick_e8, lot_e8, 0, 0, 0, 0)


@given(
    ticks=st.integers(0, 2**40),
    lots=st.integers(-(2**40), 2**40),
    tick_e8=st.integers(1, 10**10),
    lot_e8=st.integers(1, 10**10),
)
def test_a_notional_is_rounded_up_and_an_amount_down(
    ticks: int, lots: int, tick_e8: int, lot_e8: int
) -> None:
    each = instrument(tick_e8, lot_e8)
    exact = Fraction(ticks * tick_e8, E8) * Fraction(lots * lot_e8, E8) * E8
    if abs(exact * E8) < SATURATED:
        assert notional_e8(ticks, lots, each) == math.ceil(exact)
        assert amount_e8(ticks, lots, each) == math.floor(exact)


@given(notional=st.integers(0, 2**62), rate_e8=st.integers(-E8, E8))
def test_a_fee_is_rounded_up(notional: int, rate_e8: int) -> None:
    fee = math.ceil(Fraction(notional * rate_e8, E8))
    if abs(notional * rate_e8) < SATURATED:
        assert fee_e8(notional, rate_e8) == fee


def test_what_is_too_large_to_reckon_with_is_still_larger_than_any_account() -> None:
    most = 2**63 - 1
    each = instrument(most, most)
    assert notional_e8(most, most, each) == -(-SATURATED // E8) > most
    assert amount_e8(most, -most, each) == -SATURATED // E8
    assert fee_e8(notional_e8(most, most, each), most) > most


def test_what_does_not_fit_is_named() -> None:
    assert checked("cash", 2**63 - 1) == 2**63 - 1
    with pytest.raises(OverflowError, match="cash was 9223372036854775808, must fit int64"):
        checked("cash", 2**63)
