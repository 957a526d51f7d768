"""From intents to orders and from executions to money, in slow, obvious Python.

The documentation of `native/risk.hpp`, and held to the same tests. The checks are in `checks.py`,
the book-keeping in `book.py`; here is what a step does with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.admission import BreakerMasks, admits
from pipeline.instruments import Instrument
from pipeline.mode import closes_positions
from pipeline.money import INT64_MAX, INT64_MIN, ceil_div, checked
from pipeline.records import INTENT, ORDER, OUTCOME
from pipeline.vocabulary import CHECKS, ControlKind, Denial, ExecutionKind, Mode, OutcomeKind, Side
from workers.risk.book import book_fill, is_jump, revalue
from workers.risk.checks import evaluate
from workers.risk.currency import Currencies, worth_e8
from workers.risk.portfolio import (
    begin_periods,
    book_flow,
    convert,
    join,
    judge,
    raise_mode,
    reset,
    resume,
    value_units,
)
from workers.risk.pricing import collar, cost_e8, is_valid, sides_of, worst_case
from workers.risk.settings import RiskLimits, RiskOpening, RiskSettings
from workers.risk.verdict import Facts, Verdict, mask_of
from workers.ta.kept import keep

Emit = Callable[[str, Any], None]

EXECUTIONS, CONTROL, INTENTS, CORRELATIONS = range(4)
"""Indices of the inputs."""

_CONTENT = (
    *("instrument", "strategy", "side", "reduce_only", "quantity", "limit", "stop", "target"),
    *("created_ns", "ttl_ns"),
)
"""What makes two intents the same, besides their id."""

_OUTCOMES = {
    ExecutionKind.FILL: OutcomeKind.FILL,
    ExecutionKind.STOP: OutcomeKind.STOP,
    ExecutionKind.REJECTED: OutcomeKind.REJECTED,
    ExecutionKind.EXPIRED: OutcomeKind.EXPIRED,
}
_FILLS = (ExecutionKind.FILL, ExecutionKind.STOP)
_HANDED_ON = ("instrument", "venue_ns", "received_ns")


class Risk:
    """The kernel: one step an execution, an intent, or a tick of one instrument.

    An intent that passes is an order and a reservation in the same step: of lots, so that orders
    under way count towards the position that the next one would make; and of money, for a buy what
    it costs at its limit with the fee. The reservation shrinks with what is left of the order.

    When all positions are to be closed (`pipeline.mode`), a tick closes its instrument's: whole, at
    the collar, reduce only, with intent id 0, as it is nobody's intent. It waits while something is
    under way on that side, the quote is not valid, the halt word is set or the venue forced open;
    what came to nothing is tried again at the next tick. Money is reserved for a buy, but need not
    be there: it must not keep us in. No record led to it, so its `received_ns` is the tick's time.

    The proceeds of a short are cash, and buying power; what it may owe is bounded by the size of a
    position only.
    """

    def __init__(
        self,
        opening: RiskOpening,
        currencies: Currencies,
        limits: RiskLimits,
        masks: BreakerMasks,
        instruments: Sequence[Instrument],
        cells: Mapping[str, int],
    ) -> None:
        """Take how the account begins, the limits, and how many cells each group has."""
        self.opening = opening
        self.currencies = currencies
        self.configured = limits
        self.limits = limits
        self.applied = 0
        self.masks = masks
        self.instruments = instruments
        self.cells = cells

    def step(self, context: np.void, event: np.void | None, state: Any, emit: Emit) -> None:
        """Book an execution, decide about an intent, obey, or take the mark of an instrument.

        Raises:
            IndexError: an execution is of an instrument that is not configured.
            ValueError: an execution cannot be booked: its kind, side, quantity or price; or
                likewise a control.
            OverflowError: a balance does not fit int64.
            RuntimeError: money was not conserved.
        """
        account = state.edit("account", 0)
        if account["begun"] == 0:
            self._begin(context, account, state)
        if account["limits"] != self.applied:
            self._see_limits(account, state)
        if event is None:
            self._look(context, account, state, emit)
        elif context["source"] == EXECUTIONS:
            self._book(context, event, account, state, emit)
        elif context["source"] == INTENTS:
            self._decide(context, event, account, state, emit)
        elif context["source"] == CONTROL:
            self._obey(context, event, account, state)
        else:
            self._take(event, state)

    @property
    def settings(self) -> RiskSettings:
        """The account's limits in force."""
        return self.limits.settings

    def _see_limits(self, account: np.void, state: Any) -> None:
        """Take the limits in force from the cells that hold what was changed."""
        cells = [state.read("limits", index) for index in range(self.cells["limits"])]
        changes = {i: int(cell["value"]) for i, cell in enumerate(cells) if cell["changed"]}
        self.limits = self.configured.changed(changes)
        self.applied = int(account["limits"])

    def _begin(self, context: np.void, account: np.void, state: Any) -> None:
        account["begun"] = 1
        for field, value in self.opening._asdict().items():
            account[field] = value
        for i, opening in enumerate(self.currencies.openings):
            currency = state.edit("currencies", i)
            currency["opening_e8"] = currency["cash_e8"] = opening.balance_e8
            currency["bid_e8"], currency["ask_e8"] = opening.bid_e8, opening.ask_e8
            currency["invalid"] = 1  # until it is seen in this run
            currency["is_base"] = self.currencies.is_base[i]
            convert(account, currency)
        converted = int(account["converted_e8"])
        account["joined_e8"] = converted
        for field in ("opening_e8", "cash_e8"):
            account[field] = checked("opening_e8", self.opening.equity_e8 - converted)
        # Of its cooldown nobody knows how much has passed: it begins again.
        if account["mode_code"] == Denial.CONSEC_LOSSES:
            account["paused_until_ns"] = int(context["now_ns"]) + self.settings.losses_ns
        value_units(account)
        account["next_order_id"] = 1
        account["tick_ns"] = context["now_ns"]

    # --- intents ------------------------------------------------------------------------------

    def _decide(
        self, context: np.void, intent: np.void, account: np.void, state: Any, emit: Emit
    ) -> None:
        begin_periods(account, int(intent["venue_ns"]))
        index, intent_id = int(intent["instrument"]), int(intent["intent_id"])
        known = index < len(self.instruments)
        held = state.edit("instruments", index) if known else None
        before = state.read("decisions", intent_id % self.cells["decisions"])
        newest = int(before["intent_id"])
        outcome = _answer(OUTCOME, intent)
        for field in ("intent_id", "side", "strategy", "quantity"):
            outcome[field] = intent[field]
        outcome["position"] = 0 if held is None else held["position"]
        if 0 != newest == intent_id and all(before[field] == intent[field] for field in _CONTENT):
            account["repeated"] = int(account["repeated"]) + 1
            denied = before["failed"] != 0
            outcome["kind"] = OutcomeKind.DENIED if denied else OutcomeKind.APPROVED
            for field in ("order_id", "code", "failed", "price"):
                outcome[field] = before[field]
            outcome["leaves"] = 0 if denied else before["quantity"]
            emit("outcomes", outcome)
            return
        verdict = evaluate(intent, self._facts(context, intent, account, state))
        if verdict.failed:
            account["denied"] = int(account["denied"]) + 1
            counts = state.edit("codes", 0)["count"]
            place = CHECKS.index(verdict.code)
            counts[place] = int(counts[place]) + 1
            outcome["kind"] = OutcomeKind.DENIED
            outcome["code"] = verdict.code
            outcome["failed"] = verdict.mask
            outcome["price"] = intent["limit"]
        else:
            assert held is not None  # or a check would have failed
            order = self._reserve(intent, verdict, account, held, state)
            self._spend(context, intent, verdict, account, held, state)
            self._expose_order(intent, context, account, held, state)
            outcome["kind"] = OutcomeKind.APPROVED
            outcome["order_id"] = order["order_id"]
            outcome["price"] = order["limit"]
            outcome["leaves"] = order["quantity"]
            emit("orders", order)
        if intent_id > newest:
            self._remember(context, intent, verdict, outcome, state)
        emit("outcomes", outcome)

    def _facts(self, context: np.void, intent: np.void, account: np.void, state: Any) -> Facts:
        index, number = int(intent["instrument"]), int(intent["strategy"])
        intent_id = int(intent["intent_id"])
        newest = int(state.read("decisions", intent_id % self.cells["decisions"])["intent_id"])
        facts: dict[str, Any] = {"is_id_used": 0 != intent_id <= newest}
        if number < len(self.limits.strategies):
            facts["strategy"] = self.limits.strategies[number]
            facts["pace"] = state.read("strategies", number)
        if index < len(self.instruments):
            limits = self.limits.instruments[index]
            held = state.read("instruments", index)
            under_way = int(held["under_way"])
            side = int(intent["side"])
            buys = side == Side.BUY
            opposite = [
                int(order["limit"])
                for order in (
                    state.read("orders", int(order_id) % self.cells["orders"])
                    for order_id in held["orders"][:under_way]
                )
                if (order["side"] > 0) != buys
            ]
            has_cell = int(account["open_orders"]) < self.cells["orders"]
            facts |= {
                "instrument": self.instruments[index],
                "limits": limits,
                "held": held,
                "venue": state.read("venues", limits.venue),
                "asset_class": state.read("classes", limits.asset_class),
                "recent": state.read("recent", index),
                "currency": self._currency(index, state),
                "has_free_cell": has_cell and under_way < len(held["orders"]),
                "opposite": (min if buys else max)(opposite, default=0),
            }
            if self.settings.correlated != 0:
                facts["correlated"] = self._correlated(index, 1 if buys else -1, state)
            if number < len(self.limits.strategies):
                facts["signal"] = state.read("signals", number * len(self.instruments) + index)
        return Facts(context, self.settings, self.masks, account, **facts)

    def _correlated(self, index: int, side: int, state: Any) -> int:
        """Count the other instruments that are held, or may be, so that they move with this."""
        row = state.read("correlations", index)
        count = 0
        for other in range(len(self.instruments)):
            rho = int(row["value"][other])
            if (
                other == index
                or row["samples"][other] < self.settings.correlation_samples
                or abs(rho) <= self.settings.correlation_bp
            ):
                continue
            held = state.read("instruments", other)
            position = int(held["position"])
            if rho * side > 0:
                count += position + int(held["reserved_buy"]) > 0
            else:
                count += int(held["reserved_sell"]) - position > 0
        return count

    def _reserve(
        self, intent: np.void, verdict: Verdict, account: np.void, held: np.void, state: Any
    ) -> np.void:
        """Set aside what the order may use, before anybody can see it.

        Its id says where its cell is; one that names a cell in use is left out.
        """
        order_id, cells = int(account["next_order_id"]), self.cells["orders"]
        while state.read("orders", order_id % cells)["order_id"] != 0:
            order_id += 1
        cell = state.edit("orders", order_id % cells)
        cell["order_id"] = order_id
        cell["leaves"] = intent["quantity"]
        cell["reserved_e8"] = cost = checked("reserved_e8", verdict.cost)
        cell["at_risk_e8"] = at_risk = checked("at_risk_e8", verdict.at_risk)
        cell["limit"] = verdict.limit
        cell["enters"] = not verdict.reducing
        for field in ("intent_id", "instrument", "strategy", "side"):
            cell[field] = intent[field]
        lots = "reserved_buy" if intent["side"] == Side.BUY else "reserved_sell"
        held[lots] = checked("reserved lots", int(held[lots]) + int(intent["quantity"]))
        held["orders"][int(held["under_way"])] = order_id
        held["under_way"] = int(held["under_way"]) + 1
        held["entries"] = int(held["entries"]) + int(cell["enters"])
        books = self._books(int(intent["instrument"]), account, state)
        books["reserved_e8"] = checked("reserved_e8", int(books["reserved_e8"]) + cost)
        account["at_risk_e8"] = checked("at_risk_e8", int(account["at_risk_e8"]) + at_risk)
        account["next_order_id"] = order_id + 1
        for field in ("open_orders", "approved"):
            account[field] = int(account[field]) + 1

        order = _answer(ORDER, intent)
        for field in ("intent_id", "strategy", "side", "reduce_only", "quantity", "stop", "target"):
            order[field] = intent[field]
        order["order_id"] = order_id
        order["limit"] = verdict.limit
        order["reserved"] = cost
        return order

    def _spend(
        self,
        context: np.void,
        intent: np.void,
        verdict: Verdict,
        account: np.void,
        held: np.void,
        state: Any,
    ) -> None:
        """Count an approval towards the rates, and as one of its kind."""
        index, number = int(intent["instrument"]), int(intent["strategy"])
        now, settings = int(context["now_ns"]), self.settings
        for counted, interval in (
            (state.edit("strategies", number), self.limits.strategies[number].rate_ns),
            (held, settings.symbol_ns),
            (state.edit("venues", self.limits.instruments[index].venue), settings.venue_ns),
            (account, settings.global_ns),
        ):
            if interval != 0:
                counted["tat_ns"] = max(int(counted["tat_ns"]), now) + interval
        signal = state.edit("signals", number * len(self.instruments) + index)
        is_same_side = signal["side"] == int(intent["side"])
        signal["count"] = int(signal["count"]) + 1 if is_same_side else 1
        signal["side"] = intent["side"]
        if verdict.reducing or settings.dup_count == 0:
            return
        recent = state.edit("recent", index)
        at = int(recent["next"]) % len(recent["at_ns"])
        recent["next"] = int(recent["next"]) + 1
        recent["at_ns"][at] = now
        for field in ("quantity", "limit", "strategy", "side"):
            recent[field][at] = intent[field]

    def _remember(
        self, context: np.void, intent: np.void, verdict: Verdict, outcome: np.void, state: Any
    ) -> None:
        decision = state.edit("decisions", int(intent["intent_id"]) % self.cells["decisions"])
        for field in ("intent_id", *_CONTENT):
            decision[field] = intent[field]
        for field in ("order_id", "failed", "price", "code"):
            decision[field] = outcome[field]
        decision["decided_ns"] = context["now_ns"]
        decision["reference"] = verdict.reference
        for field, number in zip(("value", "bound"), verdict.compared, strict=True):
            decision[field] = max(INT64_MIN, min(INT64_MAX, number))

    # --- executions ---------------------------------------------------------------------------

    def _book(
        self, context: np.void, execution: np.void, account: np.void, state: Any, emit: Emit
    ) -> None:
        self._check(execution)
        index, kind = int(execution["instrument"]), ExecutionKind(int(execution["kind"]))
        now = int(context["now_ns"])
        held = state.edit("instruments", index)
        begin_periods(account, int(execution["venue_ns"]))
        books = self._books(index, account, state)
        position, realised = int(held["position"]), int(books["realised_e8"])
        fills = kind in _FILLS
        if fills:
            instrument, price = self.instruments[index], int(execution["price"])
            lots, fee = int(execution["side"]) * int(execution["quantity"]), int(execution["fee"])
            book_fill(books, held, instrument, lots, price, fee)
            trip = int(held["trip_e8"]) + int(books["realised_e8"]) - realised - fee
            held["trip_e8"] = checked("trip_e8", trip)
            account["fills"] = int(account["fills"]) + 1
            if held["bid"] == 0:
                held["bid"] = held["ask"] = price
            if is_valid(context, self.settings.stale_ns) and not self._is_jump(held, "", context):
                held["bid"], held["ask"] = context["bid"], context["ask"]
            self._revalue(index, account, held, state)
            judge(account, self.settings)
        else:
            account["unfilled"] = int(account["unfilled"]) + 1
        self._release(execution, int(execution["leaves"]) if fills else 0, account, state)
        after = int(held["position"])
        if fills and position != 0 and (after == 0 or (after > 0) != (position > 0)):
            self._end_trip(now, index, account, held, state)
        # A target that is hit comes as a stop too.
        is_loss = books["realised_e8"] < realised
        if kind == ExecutionKind.STOP and is_loss and self.settings.stop_cooldown_ns != 0:
            self._cool_down(held, now + self.settings.stop_cooldown_ns)
        if fills:
            self._expose(index, int(held["bid"]), int(held["ask"]), account, state)
        self._check_conservation(account, state)

        outcome = _answer(OUTCOME, execution)
        for field in ("intent_id", "order_id", "side", "strategy", "quantity", "price", "leaves"):
            outcome[field] = execution[field]
        outcome["kind"] = _OUTCOMES[kind]
        outcome["code"] = execution["reason"]
        outcome["failed"] = mask_of([int(execution["reason"])])
        outcome["position"] = held["position"]
        emit("outcomes", outcome)

    def _check(self, execution: np.void) -> None:
        """Refuse what cannot be booked. Whose order it was does not matter: money is booked."""
        which = f"execution {execution['sequence']}"
        if execution["instrument"] >= len(self.instruments):
            raise IndexError(
                f"{which}: instrument was {execution['instrument']}, "
                f"must be below {len(self.instruments)}"
            )
        rules = [("kind", int(execution["kind"]) in list(ExecutionKind), "in 1 .. 4")]
        if execution["kind"] in _FILLS:
            rules += [
                ("side", int(execution["side"]) in (Side.BUY, Side.SELL), "1 or -1"),
                ("quantity", int(execution["quantity"]) > 0, "> 0"),
                ("price", int(execution["price"]) > 0, "> 0"),
            ]
        for field, holds, rule in rules:
            if not holds:
                raise ValueError(f"{which}: {field} was {execution[field]}, must be {rule}")

    def _release(self, execution: np.void, leaves: int, account: np.void, state: Any) -> None:
        """Reduce an order's reservation to what is left of it, in proportion and rounded up."""
        order_id = int(execution["order_id"])
        place = order_id % self.cells["orders"]
        if order_id == 0 or state.read("orders", place)["order_id"] != order_id:
            return
        cell = state.edit("orders", place)
        index = int(cell["instrument"])
        held = state.edit("instruments", index)
        before = int(cell["leaves"])
        left = min(max(leaves, 0), before)
        lots = "reserved_buy" if cell["side"] == Side.BUY else "reserved_sell"
        held[lots] = int(held[lots]) - (before - left)
        books = self._books(index, account, state)
        for field, whole in (("reserved_e8", books), ("at_risk_e8", account)):
            was = int(cell[field])
            cell[field] = ceil_div(was * left, before)
            whole[field] = int(whole[field]) - (was - int(cell[field]))
        if execution["kind"] in _FILLS:
            cell["filled"] = 1
        cell["leaves"] = left
        if left == 0:
            if cell["enters"] and not cell["filled"]:
                held["entries"] = int(held["entries"]) - 1
            last = int(held["under_way"]) - 1
            orders = held["orders"]
            orders[list(orders).index(order_id)] = orders[last]
            orders[last] = 0
            held["under_way"] = last
            for field in cell.dtype.names or ():
                cell[field] = 0
            account["open_orders"] = int(account["open_orders"]) - 1
        self._expose(index, int(held["worst_bid"]), int(held["worst_ask"]), account, state)

    def _end_trip(self, now: int, index: int, account: np.void, held: np.void, state: Any) -> None:
        """Count what a position earned, with its fees, for the protections; it has come to an end.

        Orders that are still under way are entries into the next one.
        """
        settings, trip = self.settings, int(held["trip_e8"])
        account["losses"] = int(account["losses"]) + 1 if trip < 0 else 0
        if settings.losses != 0 and account["losses"] >= settings.losses:
            if account["mode"] < Mode.PAUSED:
                account["resumed"] = 0
            account["paused_until_ns"] = now + settings.losses_ns
            raise_mode(account, Mode.PAUSED, Denial.CONSEC_LOSSES)
        held["trips"] = int(held["trips"]) + 1
        held["trips_e8"] = checked("trips_e8", int(held["trips_e8"]) + trip)
        held["trip_e8"] = 0
        if settings.low_profit_trips != 0 and held["trips"] >= settings.low_profit_trips:
            currency, earned = self._currency(index, state), int(held["trips_e8"])
            if currency is not None:
                earned = worth_e8(earned, currency)
            if earned < settings.low_profit_e8:
                self._cool_down(held, now + settings.low_profit_ns)
            held["trips"] = held["trips_e8"] = 0
        entries = int(held["position"] != 0)
        for order_id in held["orders"][: int(held["under_way"])]:
            order = state.edit("orders", int(order_id) % self.cells["orders"])
            order["filled"] = 0
            entries += int(order["enters"])
        held["entries"] = entries

    @staticmethod
    def _cool_down(held: np.void, until: int) -> None:
        held["cooldown_until_ns"] = max(int(held["cooldown_until_ns"]), until)

    def _expose(self, index: int, bid: int, ask: int, account: np.void, state: Any) -> None:
        """Value an instrument's worst cases anew, and the sums that they are part of."""
        held = state.edit("instruments", index)
        limits = self.limits.instruments[index]
        position, buys = int(held["position"]), int(held["reserved_buy"])
        sells = int(held["reserved_sell"])
        instrument, currency = self.instruments[index], self._currency(index, state)
        long, short = worst_case(position, buys, sells, bid, ask, instrument, currency)
        long_before, short_before = int(held["long_e8"]), int(held["short_e8"])
        added = max(long, short) - max(long_before, short_before)
        for whole in (
            account,
            state.edit("venues", limits.venue),
            state.edit("classes", limits.asset_class),
        ):
            whole["gross_e8"] = checked("gross_e8", int(whole["gross_e8"]) + added)
        account["long_e8"] = checked("long_e8", int(account["long_e8"]) + long - long_before)
        account["short_e8"] = checked("short_e8", int(account["short_e8"]) + short - short_before)
        held["long_e8"], held["short_e8"] = checked("long_e8", long), checked("short_e8", short)
        held["worst_bid"], held["worst_ask"] = bid, ask
        bits = state.edit("open", 0)
        word, bit = index // 64, 1 << index % 64
        was_open = bool((int(bits["long"][word]) | int(bits["short"][word])) & bit)
        is_open = {"long": position + buys > 0, "short": sells - position > 0}
        for side, is_set in is_open.items():
            others = int(bits[side][word]) & ~bit
            bits[side][word] = others | bit if is_set else others
        account["positions"] = int(account["positions"]) + any(is_open.values()) - was_open

    def _expose_order(
        self, intent: np.void, context: np.void, account: np.void, held: np.void, state: Any
    ) -> None:
        buys = bool(intent["side"] == Side.BUY)
        bid, ask = sides_of(held, buys, int(context["ask" if buys else "bid"]))
        self._expose(int(intent["instrument"]), bid, ask, account, state)

    def _check_conservation(self, account: np.void, state: Any) -> None:
        costs = [0] * (1 + len(self.currencies.names))
        for index, number in enumerate(self.currencies.quoted):
            costs[number] += int(state.read("instruments", index)["cost_e8"])
        for number, cost in enumerate(costs):
            books = account if number == 0 else state.read("currencies", number - 1)
            money = int(books["cash_e8"]) + cost
            expected = int(books["opening_e8"]) + int(books["flows_e8"])
            expected += int(books["realised_e8"]) - int(books["fees_e8"])
            if money != expected:
                where = f" in currency {number}" if number else ""
                raise RuntimeError(
                    f"risk: cash + cost of positions was {money}{where}, "
                    f"must be opening equity + flows + realised - fees, {expected}"
                )

    # --- currencies ---------------------------------------------------------------------------

    def _currency(self, index: int, state: Any) -> np.void | None:
        """Return that of an instrument's prices; None if it is the account's own."""
        number = self.currencies.quoted[index]
        cell: np.void | None = state.read("currencies", number - 1) if number else None
        return cell

    def _books(self, index: int, account: np.void, state: Any) -> np.void:
        """Return where an instrument's money is booked."""
        number = self.currencies.quoted[index]
        books: np.void = state.edit("currencies", number - 1) if number else account
        return books

    def _revalue(self, index: int, account: np.void, held: np.void, state: Any) -> None:
        """Value a position, and what there is of its currency with it."""
        books = self._books(index, account, state)
        revalue(books, held, self.instruments[index])
        if self.currencies.quoted[index]:
            convert(account, books)

    def _see_rate(self, number: int, context: np.void, account: np.void, state: Any) -> None:
        """Take what a mark says of the currency that its instrument converts.

        What there is of it is worth another amount, and so are the worst cases in it.
        """
        currency = state.edit("currencies", number - 1)
        step = self.instruments[int(context["instrument"])].tick_e8
        rate = {f"{side}_e8": int(context[side]) * step for side in ("bid", "ask")}
        for field, price in rate.items():
            checked(field, price)
        currency["seen_ns"] = context["link_ns"]
        currency["invalid"] = 0
        before = {field: int(currency[field]) for field in rate}
        if rate == before:
            return
        for field, price in rate.items():
            currency[field] = price
        if before["bid_e8"] == 0:
            join(account, currency)
        else:
            convert(account, currency)
        judge(account, self.settings)
        for index, of in enumerate(self.currencies.quoted):
            held = state.read("instruments", index)
            if of == number and held["worst_bid"] != 0:
                bid, ask = int(held["worst_bid"]), int(held["worst_ask"])
                self._expose(index, bid, ask, account, state)

    # --- control ------------------------------------------------------------------------------

    def _obey(self, context: np.void, control: np.void, account: np.void, state: Any) -> None:
        """Do what an operator asks for, once, whoever hands it on how often."""
        request = int(control["request"])
        if 0 != request <= account["request"]:
            return
        if control["kind"] == ControlKind.SET:
            self._set(control, state)
            return
        is_done = self._act(context, control, account, state)
        if request != 0:
            account["request"] = request
            account["refused"] = not is_done

    def _act(self, context: np.void, control: np.void, account: np.void, state: Any) -> bool:
        """Do what a control says; False if that is refused."""
        kind, amount = int(control["kind"]), int(control["amount"])
        if kind == ControlKind.FLOW:
            number, most = int(control["index"]), len(self.currencies.names)
            if number > most:
                raise ValueError(
                    f"control {control['sequence']}: index was {number}, must be at most {most}"
                )
            currency = state.edit("currencies", number - 1) if number else None
            is_booked = book_flow(account, currency, amount)
            self._check_conservation(account, state)
            return is_booked
        if kind == ControlKind.RESET:
            return reset(account, self.settings, rebase=amount == 1)
        if kind == ControlKind.RESUME:
            account["resumed"] = 1
            resume(account, self.settings, int(context["now_ns"]))
        elif kind == ControlKind.RECONCILED:
            account["unreconciled"] = amount != 1
        elif kind == ControlKind.APPLY:
            self._apply(int(control["request"]), account, state)
        else:
            raise ValueError(f"control {control['sequence']}: kind was {kind}, must be in 1 .. 6")
        return True

    def _set(self, control: np.void, state: Any) -> None:
        """Keep what a limit is to be; nothing is compared with it yet."""
        index = int(control["index"])
        if index >= self.cells["limits"]:
            raise ValueError(
                f"control {control['sequence']}: index was {index}, "
                f"must be below {self.cells['limits']}"
            )
        limit = state.edit("limits", index)
        limit["request"], limit["next"] = control["request"], control["amount"]

    def _apply(self, request: int, account: np.void, state: Any) -> None:
        """Put the limits in force that this request has set."""
        for index in range(self.cells["limits"]):
            if request != 0 and state.read("limits", index)["request"] == request:
                limit = state.edit("limits", index)
                limit["changed"], limit["value"] = 1, limit["next"]
                limit["request"] = limit["next"] = 0
        account["limits"] = int(account["limits"]) + 1

    def _take(self, row: np.void, state: Any) -> None:
        """Keep a row of correlations, as far as it is of instruments that there are."""
        index, count = int(row["instrument"]), len(self.instruments)
        if index < count:
            keep(row, state.edit("correlations", index), count)

    # --- ticks --------------------------------------------------------------------------------

    def _look(self, context: np.void, account: np.void, state: Any, emit: Emit) -> None:
        account["tick_ns"] = context["now_ns"]
        resume(account, self.settings, int(context["now_ns"]))
        if not is_valid(context, self.settings.stale_ns):
            if number := self.currencies.converts[int(context["instrument"])]:
                state.edit("currencies", number - 1)["invalid"] = 1
            return
        self._mark(context, account, state)
        if closes_positions(context):
            self._flatten(context, account, state, emit)

    def _mark(self, context: np.void, account: np.void, state: Any) -> None:
        """Take a valid mark: if it is far from the last one, only after another that is near it.

        Nothing else moves the high-water mark, and only up.
        """
        index = int(context["instrument"])
        held = state.edit("instruments", index)
        is_far = held["bid"] != 0 and self._is_jump(held, "", context)
        if is_far and (held["jump_bid"] == 0 or self._is_jump(held, "jump_", context)):
            held["jump_bid"], held["jump_ask"] = context["bid"], context["ask"]
            return
        held["jump_bid"] = held["jump_ask"] = 0
        if self.settings.spread_factor != 0:
            self._measure_spread(context, held, state)
        if held["bid"] != context["bid"] or held["ask"] != context["ask"]:
            held["bid"], held["ask"] = context["bid"], context["ask"]
            self._revalue(index, account, held, state)
            judge(account, self.settings)
            self._expose(index, int(held["bid"]), int(held["ask"]), account, state)
        if number := self.currencies.converts[index]:
            self._see_rate(number, context, account, state)
        account["high_water_e12"] = max(int(account["high_water_e12"]), int(account["nav_e12"]))

    def _is_jump(self, held: np.void, which: str, context: np.void) -> bool:
        bid, ask = int(held[f"{which}bid"]), int(held[f"{which}ask"])
        return is_jump(bid, ask, context, self.settings.jump_bp)

    @staticmethod
    def _measure_spread(context: np.void, held: np.void, state: Any) -> None:
        spreads = state.edit("spreads", int(context["instrument"]))
        bid, ask = int(context["bid"]), int(context["ask"])
        most = len(spreads["value"])
        spreads["value"][int(spreads["count"]) % most] = (ask - bid) * 2_000_000 // (ask + bid)
        spreads["count"] = int(spreads["count"]) + 1
        if spreads["count"] >= most:
            held["spread_e6"] = max(1, sorted(map(int, spreads["value"]))[most // 2])

    def _flatten(self, context: np.void, account: np.void, state: Any, emit: Emit) -> None:
        """Order the closing of a position, unless that is under way or may not be."""
        index = int(context["instrument"])
        held = state.edit("instruments", index)
        position = int(held["position"])
        side = Side.BUY if position < 0 else Side.SELL
        under_way = held["reserved_buy" if side == Side.BUY else "reserved_sell"]
        if position == 0 or under_way != 0 or context["halted"] != 0:
            return
        if (
            int(account["open_orders"]) >= self.cells["orders"]
            or int(held["under_way"]) >= len(held["orders"])
            or not admits(context, self.masks, index, reducing=True)
        ):
            return
        intent: np.void = np.zeros(1, INTENT)[0]
        intent["instrument"] = index
        intent["received_ns"] = context["now_ns"]
        intent["side"] = side
        intent["reduce_only"] = 1
        intent["quantity"] = quantity = checked("quantity", abs(position))
        bid, ask = int(context["bid"]), int(context["ask"])
        verdict = Verdict()
        verdict.reducing = True
        verdict.limit = collar(ask if side == Side.BUY else bid, side, self.settings.collar_bp)
        if side == Side.BUY:
            verdict.cost = cost_e8(verdict.limit, quantity, self.instruments[index])
        order = self._reserve(intent, verdict, account, held, state)
        self._expose_order(intent, context, account, held, state)
        emit("orders", order)


def _answer(dtype: np.dtype[np.void], event: np.void) -> np.void:
    """Return a record that hands on where its cause came from."""
    record: np.void = np.zeros(1, dtype)[0]
    for field in _HANDED_ON:
        record[field] = event[field]
    return record
