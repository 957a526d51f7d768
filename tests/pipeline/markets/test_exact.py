"""No digit of a venue is lost, and none is made up."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.markets.exact import ExactNumbers, exact, loads, plain

LONG = "0.12345678901234567890123456789"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.00001000", "0.00001"),
        ("1e-8", "0.00000001"),
        ("1E+3", "1000"),
        (100, "100"),
        (0.1, "0.1"),
        (1e-05, "0.00001"),
        (LONG, LONG),
        (Decimal("-0.0002"), "-0.0002"),
        ("0.000", "0"),
    ],
)
def test_a_number_keeps_its_digits(value: object, text: str) -> None:
    assert plain(exact(value)) == text


@pytest.mark.parametrize("value", ["", "1,5", "NaN", "inf", None, True, "1e999999999", "1e-41"])
def test_what_is_no_reasonable_decimal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="number was"):
        exact(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=0, max_value=10**20))
def test_text_and_back_is_the_same_number(number: Decimal) -> None:
    assert exact(plain(number)) == number


def test_numbers_of_an_answer_are_not_made_floats() -> None:
    assert loads(f'{{"a": [0, {LONG}, 1e-7], "b": 12345678901234567890}}') == {
        "a": [0, LONG, "1e-7"],
        "b": 12345678901234567890,
    }


def test_what_has_been_parsed_can_be_read_back() -> None:
    read = ExactNumbers()
    entries = {"a": Decimal("1e-8"), "b": "", "c": 0.5, "d": True, "e": 7}
    assert read.safe_string(entries, "a") == "0.00000001"
    assert read.safe_string(entries, "b", "none") == "none"
    assert read.safe_string(entries, "d") is None
    assert read.safe_string(None, "d", "none") == "none"
    assert read.safe_string(["x"], 1) is None
    assert read.safe_string_2(entries, "b", "c") == "0.5"
    assert read.safe_string_n(entries, ["b", "x", "e"]) == "7"
