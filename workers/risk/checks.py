"""Whether an intent may become an order, in slow, obvious Python.

Every check is evaluated each time, so that the answer names all that is wrong; the code is that of
the first in the order of `pipeline.vocabulary.CHECKS`. `pipeline.rules.RULES` says in words
what each refuses, README.md shows it as a table with what the words mean.

`pipeline.admission` says which breakers an order is held to. Under the halt word not even a flagged
reducing order passes: it says that nothing may be sent any more, and the executor holds to it too.
"""

from __future__ import annotations

import numpy as np

from pipeline.admission import admits, blocking
from pipeline.mode import mode_of, refusals
from pipeline.money import BASIS_POINTS, INT64_MAX, SATURATED, ceil_div, fee_e8, notional_e8
from pipeline.vocabulary import Denial, Mode, Side
from workers.risk.currency import is_rate_fresh, measured_e8
from workers.risk.portfolio import MILLIONTHS, drawdown_e6
from workers.risk.pricing import collar, cost_e8, is_crossed, is_fresh, sides_of, worst_case
from workers.risk.settings import InstrumentLimits
from workers.risk.verdict import Facts, Verdict

_E6_PER_BP = MILLIONTHS // BASIS_POINTS


def conforms(tat_ns: int, now_ns: int, interval_ns: int, burst: int) -> bool:
    """Whether the generic cell rate algorithm lets one more through (ITU-T I.371, annex A)."""
    return interval_ns == 0 or now_ns >= tat_ns - interval_ns * (burst - 1)


def is_well_formed(intent: np.void) -> bool:
    """Whether its fields say something."""
    return bool(
        intent["intent_id"] != 0
        and intent["quantity"] > 0
        and int(intent["side"]) in (Side.BUY, Side.SELL)
        and intent["limit"] >= 0
        and intent["stop"] >= 0
        and intent["target"] >= 0
        and intent["reduce_only"] in (0, 1)
    )


def evaluate(intent: np.void, facts: Facts) -> Verdict:
    """Evaluate all checks.

    With a bad field or an unknown instrument only what needs neither is checked; without a
    reference price, only what needs none.
    """
    context, settings, account = facts.context, facts.settings, facts.account
    strategy, instrument, held, limits = (
        facts.strategy,
        facts.instrument,
        facts.held,
        facts.limits,
    )
    index = int(intent["instrument"])
    now = int(context["now_ns"])
    is_sound = is_well_formed(intent)
    verdict = Verdict()
    verdict.check(Denial.BAD_FIELD, not is_sound)
    verdict.check(Denial.UNKNOWN_INSTRUMENT, instrument is None)
    is_restricted = strategy is None or strategy.halted != 0
    if strategy is not None and instrument is not None:
        is_restricted |= strategy.trades[index] == 0
    verdict.check(Denial.RESTRICTED, is_restricted, int(intent["strategy"]))
    verdict.at_most(Denial.INTENT_EXPIRED, now - int(intent["created_ns"]), int(intent["ttl_ns"]))
    verdict.at_most(Denial.STATE_STALE, now - int(account["tick_ns"]), settings.state_stale_ns)
    verdict.check(Denial.DUP_ID, facts.is_id_used)
    # Risk may be in a higher one by itself.
    mode = max(int(account["mode"]), mode_of(int(context["mode"])))
    is_killed = bool(account["killed"] != 0)
    killed_by = mode, 1 if context["halted"] != 0 else int(account["killed"])
    if not is_sound or instrument is None or held is None or limits is None:
        refused = refusals(context, reducing=False, flagged=False)
        verdict.check(Denial.KILLED, refused[Denial.KILLED] or is_killed, *killed_by)
        return verdict

    side, quantity = int(intent["side"]), int(intent["quantity"])
    limit, stop, reduce_only = int(intent["limit"]), int(intent["stop"]), intent["reduce_only"] == 1
    buys = side == Side.BUY
    position = int(held["position"])
    under_way = int(held["reserved_buy" if buys else "reserved_sell"])
    reducing = position * side < 0 and under_way + quantity <= abs(position)
    worst = position + side * (under_way + quantity)
    bid, ask = int(context["bid"]), int(context["ask"])
    reference = ask if buys else bid
    if limit != 0:
        verdict.limit = limit
    elif reference > 0:
        verdict.limit = collar(reference, side, settings.collar_bp)
    verdict.reducing, verdict.reference = reducing, reference

    verdict.check(Denial.HALTED, limits.halted != 0)
    refused = refusals(context, reducing=reducing, flagged=reduce_only)
    closes_only = is_killed and not (reducing and reduce_only)
    verdict.check(Denial.KILLED, refused[Denial.KILLED] or closes_only, *killed_by)
    verdict.check(
        Denial.REDUCE_ONLY_INCREASES, reduce_only and not reducing, position, under_way + quantity
    )
    verdict.check(
        Denial.BREAKER_OPEN,
        not admits(context, facts.masks, index, reducing=reducing),
        int(context["global"]),
        blocking(context, facts.masks, index),
    )
    step = limits.price_step
    off = [price for price in (limit, stop, int(intent["target"])) if price % step != 0]
    verdict.check(Denial.BAD_TICK, bool(off), next(iter(off), 0), step)
    step = limits.quantity_step
    verdict.check(Denial.BAD_LOT, quantity % step != 0, quantity, step)
    verdict.check(Denial.QTY_MIN, quantity < limits.min_lots, quantity, limits.min_lots)
    most_lots = {Denial.QTY_MAX: limits.max_lots, Denial.ORDER_QTY_MAX: limits.order_lots}
    for code, most in most_lots.items():
        verdict.check(code, most != 0 and quantity > most, quantity, most)
    if limits.adv_lots != 0:
        verdict.at_most_of(Denial.ADV, quantity, limits.adv_lots, settings.adv_bp)
    age = now - int(context["link_ns"])
    is_old = not is_fresh(context, settings.stale_ns)
    verdict.check(Denial.MD_STALE, is_old, age, settings.stale_ns)
    verdict.check(Denial.MD_CROSSED, is_crossed(context), bid, ask)
    if facts.opposite != 0 and not reducing:
        crosses = (verdict.limit - facts.opposite) * side >= 0
        verdict.check(
            Denial.SELF_TRADE, verdict.limit == 0 or crosses, verdict.limit, facts.opposite
        )
    open_orders = int(account["open_orders"]), settings.open_orders
    of_instrument = int(held["under_way"]), settings.symbol_orders
    full = [count for count in (open_orders, of_instrument) if count[0] >= count[1]]
    verdict.check(
        Denial.OPEN_ORDERS,
        not facts.has_free_cell or (not reducing and bool(full)),
        *next(iter(full), open_orders),
    )
    if reference > 0:
        _check_price(verdict, intent, facts, limits, reference)
    if buys:
        verdict.cost = cost_e8(verdict.limit, quantity, instrument)
        books = account if facts.currency is None else facts.currency
        free = int(books["cash_e8"]) - int(books["reserved_e8"])
        verdict.at_most(Denial.BUYING_POWER, verdict.cost, free)
    if reducing:
        return verdict

    # In another currency the rate has to be as fresh; if both are old, the quote is what is told.
    if facts.currency is not None and not is_old:
        is_unknown = not is_rate_fresh(facts.currency, now, settings.stale_ns)
        age = now - int(facts.currency["seen_ns"])
        verdict.check(Denial.MD_STALE, is_unknown, age, settings.stale_ns)
    verdict.check(Denial.NOT_RECONCILED, bool(account["unreconciled"] != 0))
    because = int(account["mode_code"]) if account["mode"] == mode else 0
    verdict.check(Denial.MODE_PAUSED, mode == Mode.PAUSED, mode, because)
    verdict.check(Denial.MODE_REDUCE_ONLY, mode >= Mode.REDUCED, mode, because)
    verdict.check(Denial.STOP_REQUIRED, settings.stop_required != 0 and stop == 0)
    _check_counts(verdict, intent, facts, held)
    if settings.spread_factor != 0 and held["spread_e6"] != 0:
        widest = int(held["spread_e6"]) * settings.spread_factor
        twice, both = (ask - bid) * 2 * MILLIONTHS, ask + bid
        spread = ceil_div(twice, both) if both > 0 else 0
        verdict.check(Denial.SPREAD_WIDE, twice > both * widest, spread, widest)
    if reference > 0:
        worth = notional_e8(reference, quantity, instrument)
        least = instrument.min_notional_e8
        verdict.check(Denial.NOTIONAL_MIN, worth < least, worth, least)
        _check_exposure(verdict, intent, facts, limits, held, reference, worst)
        _check_loss(verdict, intent, facts, limits, reference)
    return verdict


def _check_price(
    verdict: Verdict, intent: np.void, facts: Facts, limits: InstrumentLimits, reference: int
) -> None:
    """What depends on the order's price, and on the reference."""
    assert facts.instrument is not None
    context, settings = facts.context, facts.settings
    side, quantity, limit = int(intent["side"]), int(intent["quantity"]), int(intent["limit"])
    wider = 2 if verdict.reducing else 1
    if limit != 0:
        beyond = limit - reference
        for code, away, sign, share_bp in (
            (Denial.PRICE_COLLAR, side * beyond, side, settings.collar_bp * wider),
            (
                Denial.PASSIVE_COLLAR,
                abs(beyond),
                1 if beyond > 0 else -1,
                settings.passive_collar_bp,
            ),
        ):
            farthest = reference * share_bp // BASIS_POINTS
            verdict.check(code, away > farthest, limit, reference + sign * farthest)
    # The quote carries the size of the top only: as much is taken to lie at each tick behind it, to
    # the order's limit.
    size = int(context["ask_quantity" if side > 0 else "bid_quantity"])
    if settings.slippage_bp != 0 and 0 < size < quantity:
        away = max(0, side * (verdict.limit - reference))
        behind = (quantity - 1) // size  # whole ticks that are used up
        walked = min(SATURATED, min(SATURATED, behind * (behind - 1)) // 2 * size)
        walked += min(SATURATED, behind * (quantity - behind * size))
        slipped = min(walked, SATURATED, away * (quantity - size))
        worth, most_bp = min(SATURATED, reference * quantity), settings.slippage_bp * wider
        verdict.check(
            Denial.SLIPPAGE,
            min(SATURATED, slipped * BASIS_POINTS) > min(SATURATED, worth * most_bp),
            ceil_div(min(SATURATED, slipped * MILLIONTHS), worth),
            most_bp * _E6_PER_BP,
        )
    own = 0 if facts.strategy is None else facts.strategy.order_notional_e8
    caps = [cap for cap in (limits.order_notional_e8, own) if cap != 0]
    if caps:
        worth = notional_e8(reference, quantity, facts.instrument)
        verdict.at_most(Denial.NOTIONAL_MAX, measured_e8(worth, facts.currency), min(caps))


def _check_counts(verdict: Verdict, intent: np.void, facts: Facts, held: np.void) -> None:
    """How often, and how many."""
    assert facts.recent is not None and facts.venue is not None
    settings, account = facts.settings, facts.account
    now = int(facts.context["now_ns"])
    if settings.dup_count != 0:
        recent = facts.recent
        equal = sum(
            bool(
                recent["at_ns"][i] != 0
                and now - int(recent["at_ns"][i]) < settings.dup_ns
                and recent["strategy"][i] == intent["strategy"]
                and recent["side"][i] == intent["side"]
                and recent["quantity"][i] == intent["quantity"]
                and recent["limit"][i] == intent["limit"]
            )
            for i in range(len(recent["at_ns"]))
        )
        verdict.check(Denial.DUP_ECONOMIC, equal >= settings.dup_count, equal, settings.dup_count)
    rates = [
        (Denial.RATE_SYMBOL, held, settings.symbol_ns, settings.symbol_burst),
        (Denial.RATE_VENUE, facts.venue, settings.venue_ns, settings.venue_burst),
        (Denial.RATE_GLOBAL, account, settings.global_ns, settings.global_burst),
    ]
    if facts.strategy is not None and facts.pace is not None and facts.signal is not None:
        own = facts.strategy
        rates.append((Denial.RATE_STRATEGY, facts.pace, own.rate_ns, own.rate_burst))
        is_same_side = facts.signal["side"] == int(intent["side"])
        before = int(facts.signal["count"]) if is_same_side else 0
        _below(verdict, Denial.REPEATED_EXEC, before, settings.repeated)
    for code, counted, interval, burst in rates:
        tat = int(counted["tat_ns"])
        wait = tat - interval * (burst - 1) - now
        verdict.check(code, not conforms(tat, now, interval, burst), wait, interval)
    if not any(held[field] != 0 for field in ("position", "reserved_buy", "reserved_sell")):
        _below(verdict, Denial.MAX_POSITIONS, int(account["positions"]), settings.positions)
    _below(verdict, Denial.PER_SYMBOL, int(held["entries"]), settings.per_symbol)
    _below(verdict, Denial.CORRELATION, facts.correlated, settings.correlated)
    most = settings.drawdown_bp * _E6_PER_BP
    verdict.check(Denial.DRAWDOWN, bool(account["drawdown"] != 0), drawdown_e6(account), most)
    _below(verdict, Denial.CONSEC_LOSSES, int(account["losses"]), settings.losses)
    wait = int(held["cooldown_until_ns"]) - now
    verdict.check(Denial.COOLDOWN, wait > 0, wait)


def _below(verdict: Verdict, code: Denial, count: int, limit: int) -> None:
    """Note that a count must be below a limit, of which 0 is none."""
    verdict.check(code, limit != 0 and count >= limit, count, limit)


def _check_exposure(
    verdict: Verdict,
    intent: np.void,
    facts: Facts,
    limits: InstrumentLimits,
    held: np.void,
    reference: int,
    worst: int,
) -> None:
    """Exposure: with the order and all that is under way filled."""
    instrument = facts.instrument
    assert instrument is not None and facts.venue is not None and facts.asset_class is not None
    settings, account = facts.settings, facts.account
    equity = int(account["equity_e8"])
    buys, quantity = intent["side"] == Side.BUY, int(intent["quantity"])
    exposure = measured_e8(notional_e8(reference, abs(worst), instrument), facts.currency)
    verdict.exposure = exposure, equity
    verdict.at_most_of(Denial.POSITION_SIZE, exposure, equity, limits.position_bp)

    long, short = worst_case(
        int(held["position"]),
        int(held["reserved_buy"]) + (quantity if buys else 0),
        int(held["reserved_sell"]) + (0 if buys else quantity),
        *sides_of(held, buys, reference),
        instrument,
        facts.currency,
    )
    long_before, short_before = int(held["long_e8"]), int(held["short_e8"])
    added = max(long, short) - max(long_before, short_before)
    gross = int(account["gross_e8"]) + added
    longs = int(account["long_e8"]) + long - long_before
    shorts = int(account["short_e8"]) + short - short_before
    for code, value, most in (
        (Denial.GROSS, gross, settings.gross_e8),
        (Denial.DIRECTIONAL, longs if buys else shorts, settings.directional_e8),
        (Denial.VENUE, int(facts.venue["gross_e8"]) + added, settings.venue_e8),
        (Denial.ASSET_CLASS, int(facts.asset_class["gross_e8"]) + added, settings.asset_class_e8),
    ):
        if most != 0:
            verdict.at_most(code, value, most)
    if settings.gross_e8 != 0 and settings.concentration_bp != 0:
        share_bp = settings.concentration_bp
        verdict.at_most_of(Denial.CONCENTRATION, exposure, settings.gross_e8, share_bp)
    if settings.leverage_bp != 0:
        verdict.at_most_of(Denial.LEVERAGE, gross, equity, settings.leverage_bp)
    if settings.margin_bp != 0 and short > short_before:
        needed = ceil_div(shorts * settings.margin_bp, BASIS_POINTS)
        verdict.at_most(Denial.MARGIN, needed, equity)


def _check_loss(
    verdict: Verdict, intent: np.void, facts: Facts, limits: InstrumentLimits, reference: int
) -> None:
    """Stop and target, and what is lost at the stop; without one, where the farthest would be."""
    instrument = facts.instrument
    assert instrument is not None
    settings, account = facts.settings, facts.account
    side, quantity = int(intent["side"]), int(intent["quantity"])
    stop, target = int(intent["stop"]), int(intent["target"])
    equity = int(account["equity_e8"])
    distance = side * (reference - stop)
    farthest = reference * limits.stop_distance_bp
    # Either would close the position as soon as it is there.
    wrong = [stop] if stop != 0 and distance <= 0 else []
    wrong += [target] if target != 0 and side * (target - reference) <= 0 else []
    verdict.check(Denial.WRONG_SIDE, bool(wrong), next(iter(wrong), 0), reference)
    if stop != 0:
        whole = farthest // BASIS_POINTS
        verdict.check(Denial.STOP_TOO_FAR, distance > whole, stop, reference - side * whole)
    ticks = min(abs(distance) if stop != 0 else ceil_div(farthest, BASIS_POINTS), INT64_MAX)
    verdict.at_risk = measured_e8(notional_e8(ticks, quantity, instrument), facts.currency)
    if facts.strategy is not None and facts.strategy.risk_bp != 0:
        rate = instrument.taker_fee_e8
        fees = sum(
            max(0, fee_e8(notional_e8(price, quantity, instrument), rate))
            for price in (reference, stop if stop != 0 else reference)
        )
        lost, share_bp = verdict.at_risk + measured_e8(fees, facts.currency), facts.strategy.risk_bp
        verdict.at_most_of(Denial.RISK_PER_TRADE, lost, equity, share_bp)
    worst = equity - int(account["at_risk_e8"]) - verdict.at_risk
    for code, open_e8, limit in (
        (Denial.DAILY, "day_open_e8", settings.daily_e8),
        (Denial.WEEKLY, "week_open_e8", settings.weekly_e8),
        (Denial.MONTHLY, "month_open_e8", settings.monthly_e8),
    ):
        result = worst - int(account[open_e8])
        verdict.check(code, limit != 0 and result <= -limit, result, -limit)
