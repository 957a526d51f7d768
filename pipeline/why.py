"""Why risk answered an intent as it did: its decisions, and what they compared in human units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from pipeline import topology
from pipeline.instruments import Instrument, instruments_from, money_to_text, to_e8
from pipeline.mode import mode_of
from pipeline.money import INT64_MAX, INT64_MIN
from pipeline.records import Array
from pipeline.rules import RULES, Rule, Unit
from pipeline.stage import load_object
from pipeline.vocabulary import CHECKS, Denial, Side
from shm import GlobalState

_E6 = 1_000_000
_LONG_NS = 10_000_000_000  # is told in seconds
_HALTED = 1  # in place of a Denial

# Places behind the point: as few as keep two numbers apart, of these at least and at most.
_PLACES: Mapping[Unit, tuple[int, int]] = {
    Unit.MONEY: (2, 8),
    Unit.QUOTED: (2, 8),
    Unit.TIME: (3, 6),
    Unit.SHARE: (2, 4),
}


class DecisionError(Exception):
    """There is no such decision; the message says which there are."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, as the configuration of the run has it."""

    key: str
    value: Any

    def __str__(self) -> str:
        if self.value is None:
            return self.key
        if isinstance(self.value, bool):
            return f"{self.key} = {str(self.value).lower()}"
        share = f" ({number(Decimal(self.value) / 100)} %)" if self.key.endswith("_bp") else ""
        return f"{self.key} = {self.value}{share}"


@dataclass(frozen=True)
class Decision:
    """What risk answered an intent, and by what.

    Attributes:
        cell: A `RiskDecision`.
        config: Of the run.
        instrument: None if it is not configured.
    """

    cell: np.void
    config: Mapping[str, Any]
    instrument: Instrument | None

    @cached_property
    def failed(self) -> tuple[Denial, ...]:
        """The checks that failed, in the order in which they are made."""
        mask = int(self.cell["failed"])
        return tuple(code for place, code in enumerate(CHECKS) if mask >> place & 1)

    @property
    def code(self) -> Denial:
        """The first of them; NONE if it was approved."""
        return self.failed[0] if self.failed else Denial.NONE

    @property
    def rule(self) -> Rule:
        """That of the first failing check."""
        return RULES[self.code]

    @property
    def compared(self) -> tuple[int, int]:
        """What that compared, raw; of an order that was approved its exposure and the equity."""
        return int(self.cell["value"]), int(self.cell["bound"])

    @property
    def reserved_e8(self) -> int:
        """Money that was reserved for it: of a buy that was approved what it costs at most."""
        if self.failed or self.instrument is None or self.side != "buy":
            return 0
        cost_e8 = load_object("workers.risk.checks:cost_e8")
        return int(cost_e8(int(self.cell["price"]), int(self.cell["quantity"]), self.instrument))

    @property
    def quoted(self) -> str:
        """The currency of its prices, in which it is paid and reserved for."""
        own: str = self.config["currency"]
        return own if self.instrument is None else self.instrument.quote

    @property
    def symbol(self) -> str:
        """Of its instrument."""
        return f"#{self.cell['instrument']}" if self.instrument is None else self.instrument.symbol

    @property
    def side(self) -> str:
        """Buy or sell, if it was one of them."""
        side = int(self.cell["side"])
        return Side(side).name.lower() if side in (Side.BUY, Side.SELL) else f"side {side}"

    @property
    def answer(self) -> str:
        """The answer in a few words."""
        if self.failed:
            return f"denied: {named(self.code)}"
        return f"approved as order {self.cell['order_id']}"

    def because(self) -> str:
        """Return what the first failing check compared, in words and human units."""
        value, bound = self.compared
        said, unit = self.rule.said, self.rule.unit
        is_converted = self.quoted != self.config["currency"]
        if self.code is Denial.MD_STALE and is_converted:
            said = (
                "the last word of it, or of what converts {quoted}, was {value} ago, "
                "at most {bound}"
            )
        if self.code is Denial.MD_STALE and value <= bound:
            said = "the feed has taken back what it said of it"
            said += ", or of what converts {quoted}" if is_converted else ""
        if self.code is Denial.MD_STALE and not self.cell["reference"]:
            said = f"there is no {'ask' if self.side == 'buy' else 'bid'} to go by"
        if self.code is Denial.KILLED and bound == _HALTED:
            said = "the run is halted"
        if self.code is Denial.OPEN_ORDERS and value < bound:
            said = "no cell is free for another order"
        first, second = self.texts(unit, value, bound)
        if unit is Unit.MODE and second:
            second = f": {second}"
        return said.format(value=first, bound=second, **self._words())

    def texts(self, unit: Unit, value: int, bound: int) -> tuple[str, str]:
        """Return two raw numbers of a unit as people read them."""
        if unit is Unit.MODE:
            by = "" if not bound else "halted" if bound == _HALTED else named(bound)
            return mode_of(max(0, value)).label, by
        if unit is Unit.BREAKERS:
            names = topology.components(self.config)
            shut = [name for bit, name in enumerate(names) if bound >> bit & 1]
            known = value in tuple(GlobalState)
            state = GlobalState(value).name.lower() if known else f"unknown ({value})"
            return state, ", ".join(shut) or "none of its own"
        exact = [self.exact(unit, each) for each in (value, bound)]
        least, most = self._places(unit)
        places = least
        sign = self.sign(unit)
        if unit is Unit.TIME and max(abs(value), abs(bound)) >= _LONG_NS:
            exact, sign = [each / 1000 for each in exact], "s"
        while places < most and _hides(exact, places):
            places += 1
        marks = f" {sign}" if sign else ""
        trims = unit in (Unit.TIME, Unit.SHARE)
        said = [number(each, places, trims=trims) + marks for each in exact]
        first, second = (
            f"{text} or {'more' if raw > 0 else 'less'}" if raw in (INT64_MIN, INT64_MAX) else text
            for raw, text in zip((value, bound), said, strict=True)
        )
        return first, second

    def exact(self, unit: Unit, raw: int) -> Decimal:
        """Return a raw number in the unit of `sign`."""
        if unit in (Unit.MONEY, Unit.QUOTED):
            return Decimal(money_to_text(raw))
        if unit is Unit.TIME:
            return Decimal(raw) / _E6
        if unit is Unit.SHARE:
            return Decimal(raw) / (_E6 // 100)
        if unit is Unit.PRICE and self.instrument is not None:
            return self.instrument.ticks_to_price(raw)
        if unit is Unit.QUANTITY and self.instrument is not None:
            return self.instrument.lots_to_quantity(raw)
        return Decimal(raw)

    def sign(self, unit: Unit) -> str:
        """Return what stands behind a number of a unit."""
        base = "lots" if self.instrument is None else self.instrument.base
        money: str = self.config["currency"]
        return {
            Unit.MONEY: money,
            Unit.QUOTED: self.quoted,
            Unit.TIME: "ms",
            Unit.SHARE: "%",
            Unit.QUANTITY: base,
        }.get(unit, "")

    def text(self, unit: Unit, raw: int) -> str:
        """Return one raw number of a unit as people read it."""
        return self.texts(unit, raw, raw)[0]

    def limit_of(self, code: Denial) -> Limit | None:
        """Return the limit of a check as it is configured for this intent, if it has one."""
        return limit_of(code, self.config, self.instrument, int(self.cell["strategy"]))

    def _places(self, unit: Unit) -> tuple[int, int]:
        if unit is Unit.PRICE and self.instrument is not None:
            places = -int(self.instrument.ticks_to_price(1).as_tuple().exponent)
            return places, places
        if unit is Unit.QUANTITY and self.instrument is not None:
            places = -int(self.instrument.lots_to_quantity(1).as_tuple().exponent)
            return places, places
        if unit is Unit.QUOTED and self.quoted != self.config["currency"]:
            return 8, 8  # who knows what one of it is worth
        return _PLACES.get(unit, (0, 0))

    def _words(self) -> dict[str, object]:
        """Return the words that sentences have besides the two numbers."""
        cell, strategy = self.cell, int(self.cell["strategy"])
        own = self.config["risk"]["strategies"].get(str(strategy), {})
        restricted = "is off" if own.get("halted") else f"may not trade {self.symbol}"
        if strategy >= load_object("workers.risk.settings:STRATEGIES"):
            restricted = "is unknown"
        return {
            "symbol": self.symbol,
            "quoted": self.quoted,
            "venue": "?" if self.instrument is None else self.instrument.venue,
            "instrument": cell["instrument"],
            "instruments": len(self.config["instruments"]),
            "strategy": strategy,
            "restricted": restricted,
            "level": "stop" if self.compared[0] == cell["stop"] else "target",
            "dup_ms": self.config["risk"]["dup_ms"],
            "wrong": ", ".join(
                f"{field} was {cell[field]}" for field, is_bad in _BAD.items() if is_bad(cell)
            ),
        }


_BAD: Mapping[str, Callable[[np.void], bool]] = {
    "intent_id": lambda cell: cell["intent_id"] == 0,
    "side": lambda cell: int(cell["side"]) not in (Side.BUY, Side.SELL),
    "quantity": lambda cell: cell["quantity"] <= 0,
    "limit": lambda cell: cell["limit"] < 0,
    "stop": lambda cell: cell["stop"] < 0,
    "target": lambda cell: cell["target"] < 0,
    "reduce_only": lambda cell: cell["reduce_only"] > 1,
}


def named(code: int) -> str:
    """Return a code with its name, e.g. "701 POSITION_SIZE"."""
    return f"{Denial(code).value} {Denial(code).name}" if code in tuple(Denial) else f"code {code}"


def number(value: Decimal, places: int = 8, *, trims: bool = True) -> str:
    """Return a number with commas, rounded to so many places; without zeros at its end."""
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if trims and "." in text else text


def _hides(exact: Sequence[Decimal], places: int) -> bool:
    """Whether with so few places two numbers look the same that are not, or one looks like 0."""
    seen = [Decimal(f"{each:.{places}f}") for each in exact]
    is_lost = any(each and not shown for each, shown in zip(exact, seen, strict=True))
    return is_lost or (seen[0] == seen[1] and exact[0] != exact[1])


def limit_of(
    code: Denial, config: Mapping[str, Any], instrument: Instrument | None, strategy: int
) -> Limit | None:
    """Return the limit of a check as it is configured, that of an instrument or strategy first.

    A preset that scales it is not in it.
    """
    key, risk = RULES[code].key, config["risk"]
    symbol = "*" if instrument is None else instrument.symbol
    of_instrument = risk["instruments"].get(symbol, {})
    of_strategy = risk["strategies"].get(str(strategy), {})
    if not key:
        return None
    if key == "strategies.*":
        return Limit(f"risk.strategies.{strategy}", None)
    if key.startswith("instruments.*."):
        field = key.rpartition(".")[2]
        return Limit(f"risk.instruments.{symbol}.{field}", of_instrument.get(field))
    if key.startswith("instruments."):
        field = key.rpartition(".")[2]
        value = None if instrument is None else config["instruments"][instrument.index].get(field)
        return Limit(f"{field} of {symbol}", value)
    chosen = [
        Limit(f"risk.{table}{key}", value)
        for table, value in (
            ("", risk[key]),
            (f"instruments.{symbol}.", of_instrument.get(key)),
            (f"strategies.{strategy}.", of_strategy.get(key)),
        )
        if value is not None
    ]
    if code is Denial.NOTIONAL_MAX and len(chosen) == 3:  # the tighter one counts, 0 is none
        return min(chosen[1:], key=lambda limit: to_e8(limit.value) or INT64_MAX)
    return chosen[-1]


def decisions(cells: Array, config: Mapping[str, Any]) -> list[Decision]:
    """Return the decisions that cells of risk keep, the oldest first."""
    instruments = instruments_from(config)
    kept = cells[cells["intent_id"] != 0]
    return [
        Decision(
            cell,
            config,
            instruments[cell["instrument"]] if cell["instrument"] < len(instruments) else None,
        )
        for cell in kept[np.argsort(kept["intent_id"])]
    ]


def find(cells: Array, config: Mapping[str, Any], intent_id: int) -> Decision:
    """Return the decision of an intent.

    Raises:
        DecisionError: it is not among those that are kept.
    """
    at = intent_id % len(cells)
    if int(cells[at]["intent_id"]) == intent_id:
        return decisions(cells[at : at + 1], config)[0]
    kept = np.sort(cells["intent_id"][cells["intent_id"] != 0])
    if not len(kept):
        raise DecisionError(f"intent was {intent_id}, but none has been decided yet")
    raise DecisionError(
        f"intent was {intent_id}, must be one of the last {len(cells):,} that were decided, "
        f"{kept[0]} to {kept[-1]}: see bot4 why --last 20"
    )
