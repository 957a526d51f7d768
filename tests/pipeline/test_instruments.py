"""Instruments: integers inside, decimals at the edges, nothing rounded."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.instruments import (
    Instrument,
    InstrumentError,
    instruments_from,
    money_to_text,
    to_e8,
)

BTC = Instrument(
    "BTCUSDT", "sim", "BTC", "USDT", 1_000_000, 1_000, 500_000_000, 100_000, 100_000, index=0
)
INT64 = st.integers(-(2**63) + 1, 2**63 - 1)


@given(INT64)
def test_money_survives_being_written_and_read(e8: int) -> None:
    assert to_e8(money_to_text(e8)) == e8
    assert Decimal(money_to_text(e8)) * 10**8 == e8


@pytest.mark.parametrize(
    ("text", "e8"),
    [
        ("0", 0),
        ("-0.0", 0),
        ("1", 10**8),
        ("-0.05", -5_000_000),
        ("0.00000001", 1),
        ("1.500000000000", 150_000_000),
        ("5E+2", 500 * 10**8),
        ("0e-999999999", 0),
    ],
)
def test_decimals_are_read_exactly(text: str, e8: int) -> None:
    assert to_e8(text) == to_e8(Decimal(text)) == e8


@pytest.mark.parametrize(
    ("e8", "text"), [(0, "0"), (10**9, "10"), (-5_000_000, "-0.05"), (1, "0.00000001")]
)
def test_money_is_written_without_trailing_zeros(e8: int, text: str) -> None:
    assert money_to_text(e8) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.000000001", "was 0.000000001, must have at most 8 decimal places"),
        ("1e-999999999", "must have at most 8 decimal places"),
        ("1e999999999", "must be within 92233720368.54775807"),
        ("92233720368.54775808", "must be within 92233720368.54775807"),
        ("NaN", "was NaN, must be finite"),
        ("Infinity", "must be finite"),
        ("one", "was 'one', must be a decimal"),
    ],
)
def test_what_1e_8_cannot_represent_is_refused(text: str, message: str) -> None:
    with pytest.raises(InstrumentError, match=message.replace(".", r"\.")):
        to_e8(text)


@given(st.integers(0, 2**40))
def test_prices_and_quantities_survive_the_edge(steps: int) -> None:
    assert BTC.price_to_ticks(BTC.ticks_to_price(steps)) == steps
    assert BTC.quantity_to_lots(BTC.lots_to_quantity(-steps)) == -steps


def test_prices_become_ticks_and_quantities_lots() -> None:
    assert BTC.price_to_ticks("60000.01") == 6_000_001
    assert BTC.quantity_to_lots(Decimal("0.5")) == 50_000
    assert BTC.ticks_to_price(6_000_001) == Decimal("60000.01")
    assert BTC.lots_to_quantity(-3) == Decimal("-0.00003")


def test_what_is_between_two_steps_is_refused_by_name() -> None:
    with pytest.raises(
        InstrumentError,
        match=r"price of BTCUSDT was 0\.015, must be a multiple of its tick, 0\.01$",
    ):
        BTC.price_to_ticks("0.015")
    with pytest.raises(InstrumentError, match=r"quantity of BTCUSDT .* its lot, 0\.00001$"):
        BTC.quantity_to_lots(Decimal("0.000001"))
    with pytest.raises(InstrumentError, match="price of BTCUSDT: number was 'x', must be"):
        BTC.price_to_ticks("x")


@pytest.mark.parametrize("field", ["tick_e8", "lot_e8", "min_notional_e8", "index"])
def test_an_instrument_without_steps_or_place_is_refused(field: str) -> None:
    values = {name: getattr(BTC, name) for name in Instrument.__slots__}
    with pytest.raises(InstrumentError, match=f"{field} of BTCUSDT was -1, must be in"):
        Instrument(**{**values, field: -1})


@pytest.mark.parametrize(
    ("least", "most", "message"),
    [
        (1, 0, "min_quantity_e8 of BTCUSDT was 1, must be a multiple of lot_e8, 1000"),
        (0, 999, "max_quantity_e8 of BTCUSDT was 999, must be a multiple of lot_e8, 1000"),
        (2000, 1000, "max_quantity_e8 of BTCUSDT was 1000, must be 0 or at least min_quantity_e8"),
        (-1000, 0, "min_quantity_e8 of BTCUSDT was -1000, must be in 0 .."),
    ],
)
def test_limits_of_quantities_are_in_lots_and_in_order(least: int, most: int, message: str) -> None:
    with pytest.raises(InstrumentError, match=re.escape(message)):
        dataclasses.replace(BTC, min_quantity_e8=least, max_quantity_e8=most)
    assert dataclasses.replace(BTC, min_quantity_e8=2000).max_quantity_e8 == 0


def test_instruments_come_from_the_resolved_configuration_in_its_order() -> None:
    instruments = instruments_from(Config().resolved())
    assert instruments[0] == BTC
    assert [(entry.symbol, entry.index) for entry in instruments] == [
        ("BTCUSDT", 0),
        ("ETHUSDT", 1),
        ("SOLUSDT", 2),
    ]
