"""The settings of the ml stage, in the units that its kernels reckon in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.account import opening_e8
from pipeline.instruments import converters, instruments_from, to_e8
from workers.risk.settings import RiskLimits

WHOLE_BP = 10_000

STRATEGY = 0
"""The number of what asks for entries, in `[risk.strategies]`."""

_ROOM_BP = 9_900  # of a limit: the price moves until risk looks at it


class MlSettings(NamedTuple):
    """What `[ml]` says, bp being 1/10,000. `native/rules.hpp` has the same.

    Attributes:
        weight_bp: Of the strategy's score; the rest is the model's.
        enter_bp: A score of at least that enters.
        leave_bp: One of at most that leaves; less than `enter_bp`, so that nothing flutters.
        cost_margin_bp: The move that a score foretells is at least so many times its costs.
        stop_atr_bp: Distance of the stop, of one average true range.
        target_atr_bp: Distance of the target.
        volatility_target_bp: Of the equity: what one ATR may move it by; 0: no matter.
        kelly_bp: Of the Kelly fraction; 0: no matter.
        degraded_size_bp: Of an entry's size while the model has no answer.
        cluster_cap_bp: Most that positions that move together may risk, of what one is to risk;
            0: no matter.
        correlation_bp: Beyond which they do.
        correlation_samples: Of fewer a correlation says nothing.
        order_notional_e8: Most that an entry is worth.
        equity_e8: Opening equity.
        ttl_ns: Life of an intent.
        model_until_ns: UTC, the last time at which the model is not too old; 0: it never is.
    """

    weight_bp: int
    enter_bp: int
    leave_bp: int
    cost_margin_bp: int
    stop_atr_bp: int
    target_atr_bp: int
    volatility_target_bp: int
    kelly_bp: int
    degraded_size_bp: int
    cluster_cap_bp: int
    correlation_bp: int
    correlation_samples: int
    order_notional_e8: int
    equity_e8: int
    ttl_ns: int
    model_until_ns: int

    @classmethod
    def of(cls, config: Mapping[str, Any], model_until_ns: int = 0) -> MlSettings:
        """Return those of a resolved configuration."""
        table = config["ml"]
        return cls(
            **{name: table[name] for name in cls._fields if name.endswith("_bp")},
            correlation_samples=table["correlation_samples"],
            order_notional_e8=to_e8(table["order_notional"]),
            equity_e8=opening_e8(config),
            ttl_ns=table["ttl_ms"] * 1_000_000,
            model_until_ns=model_until_ns,
        )


class EntryCaps(NamedTuple):
    """What bounds an entry in one instrument: the tighter one of what `[ml]` and `[risk]` say.

    What risk would refuse is no entry, so that is made smaller here. Risk looks at the quote and
    the equity of that moment, so room is left for both: of the equity as much as it may lose before
    there is no new risk at all.

    Attributes:
        notional_e8: Most that it is worth, in the account's currency.
        least_lots: Of the venue.
        most_lots: Of the venue, or of risk; 0: there is none.
        step_lots: A quantity is a multiple of it.
        price_step: In ticks; stop and target are multiples of it.
        converter: The instrument that converts the currency of its prices to the account's; -1:
            they are in the account's.
        is_base: 1: that has the currency as its base; 0: as that of its prices.
    """

    notional_e8: int
    least_lots: int = 0
    most_lots: int = 0
    step_lots: int = 1
    price_step: int = 1
    converter: int = -1
    is_base: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> list[EntryCaps]:
        """Return those of a resolved configuration's instruments."""
        table, risk = config["ml"], RiskLimits.of(config)
        least_bp = WHOLE_BP - risk.settings.reduce_bp
        equity_e8 = opening_e8(config) * least_bp // WHOLE_BP
        instruments = instruments_from(config)
        account = config.get("currency", instruments[0].quote)
        by = converters(account, ((each.base, each.quote) for each in instruments))
        caps = []
        for instrument, limits in zip(instruments, risk.instruments, strict=True):
            converter = -1 if instrument.quote == account else by[instrument.quote]
            own = table["instruments"].get(instrument.symbol, {})
            wanted_e8 = to_e8(own.get("order_notional", table["order_notional"]))
            orders_e8 = (limits.order_notional_e8, risk.strategies[STRATEGY].order_notional_e8)
            position_e8 = equity_e8 * limits.position_bp // WHOLE_BP
            allowed_e8 = min([position_e8, *(each for each in orders_e8 if each != 0)])
            lots = (
                instrument.max_quantity_e8 // instrument.lot_e8,
                limits.order_lots,
                limits.adv_lots * risk.settings.adv_bp // WHOLE_BP,
            )
            caps.append(
                cls(
                    notional_e8=min(wanted_e8, allowed_e8 * _ROOM_BP // WHOLE_BP),
                    least_lots=instrument.min_quantity_e8 // instrument.lot_e8,
                    most_lots=min((each for each in lots if each != 0), default=0),
                    step_lots=limits.quantity_step,
                    price_step=limits.price_step,
                    converter=converter,
                    is_base=int(converter >= 0 and instruments[converter].base == instrument.quote),
                )
            )
        return caps


class MlAsking(NamedTuple):
    """How another process is asked for what the model says. `native/ml.hpp` has the same.

    Attributes:
        needed: Bit i: the model uses value i of a row.
        timeout_ns: So long a decision waits for the answer.
        most: Questions that may be under way.
    """

    needed: int
    timeout_ns: int
    most: int


def share(bp: int) -> float:
    """Return basis points as a share."""
    return float(bp) / WHOLE_BP
