"""The kinds of values that a configuration has, each with its check and what to write instead."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from pipeline.instruments import InstrumentError, to_e8

Cpus = Literal["auto"] | list[int]

WHOLE_BP = 10_000
"""Basis points in one whole."""


def _cpus(value: Any) -> Cpus:
    if value == "auto":
        return "auto"
    numbers = isinstance(value, list) and all(type(cpu) is int and cpu >= 0 for cpu in value)
    if numbers and value and len(set(value)) == len(value):
        return list(value)
    raise ValueError('must be "auto" or a list of different CPUs, e.g. [0, 1]')


def decimal_from(value: Any) -> Decimal:
    """Take what is exact: text, or a decimal made from it. A float has lost digits already.

    Raises:
        ValueError: anything else, or what 1e-8 cannot represent.
    """
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", value):
        try:
            to_e8(value)
        except InstrumentError as error:
            raise ValueError(str(error).partition(", ")[2]) from None
        return Decimal(value)
    raise ValueError('must be a decimal in quotes, e.g. "0.01"')


def _rate(value: Decimal) -> Decimal:
    if abs(value) > Decimal("0.05"):
        raise ValueError('must be a rate in -0.05 .. 0.05; "0.001" is 0.1 %')
    return value


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError(f"must be a power of two, e.g. {1 << value.bit_length()}")
    return value


def pattern(pattern: str, remedy: str) -> AfterValidator:
    """Return a check that text matches as a whole; if not, it "must be `remedy`"."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {remedy}")
        return value

    return AfterValidator(check)


Amount = Annotated[Decimal, BeforeValidator(decimal_from), Field(gt=0)]
Rate = Annotated[Decimal, BeforeValidator(decimal_from), AfterValidator(_rate)]
Currency = Annotated[str, pattern(r"[A-Z0-9]{1,16}", "1 to 16 of A-Z 0-9")]
BasisPoints = Annotated[int, Field(ge=0, le=WHOLE_BP)]
PositiveBasisPoints = Annotated[int, Field(gt=0, le=WHOLE_BP)]
Period = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Capacity = Annotated[int, Field(ge=64, le=1 << 24), AfterValidator(_power_of_two)]
ProcessCpus = Annotated[Cpus, PlainValidator(_cpus)]
