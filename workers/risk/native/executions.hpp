// Booking executions: what was filled is money and a position, what is left of its order stays
// reserved, and a round trip that ends counts for the protections. workers/risk/executions.py is the
// same in slow, obvious Python.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

#include "ledger.hpp"
#include "pricing.hpp"
#include "reservations.hpp"

namespace bot4::risk {

namespace detail {

inline std::string refusal(const Execution& execution, const char* what, std::int64_t value,
                           const std::string& rule) {
  return "execution " + std::to_string(execution.header.sequence) + ": " + what + " was " +
         std::to_string(value) + ", " + rule;
}

/// Money that arrives is booked whatever became of its order; what cannot be booked stops us.
inline void check(const Ledger& ledger, const Execution& execution) {
  const auto kind = static_cast<int>(execution.kind);
  if (execution.header.instrument >= ledger.instruments.size())
    throw std::out_of_range(
        refusal(execution, "instrument", execution.header.instrument,
                "must be below " + std::to_string(ledger.instruments.size())));
  if (kind < static_cast<int>(ExecutionKind::kFill) ||
      kind > static_cast<int>(ExecutionKind::kExpired))
    throw std::invalid_argument(refusal(execution, "kind", kind, "must be in 1 .. 4"));
  if (!is_fill(execution.kind)) return;
  if (execution.side != Side::kBuy && execution.side != Side::kSell)
    throw std::invalid_argument(
        refusal(execution, "side", static_cast<int>(execution.side), "must be 1 or -1"));
  if (execution.quantity <= 0)
    throw std::invalid_argument(
        refusal(execution, "quantity", execution.quantity, "must be > 0"));
  if (execution.price <= 0)
    throw std::invalid_argument(refusal(execution, "price", execution.price, "must be > 0"));
}

inline OutcomeKind outcome_of(ExecutionKind kind) {
  switch (kind) {
    case ExecutionKind::kFill: return OutcomeKind::kFill;
    case ExecutionKind::kStop: return OutcomeKind::kStop;
    case ExecutionKind::kRejected: return OutcomeKind::kRejected;
    default: return OutcomeKind::kExpired;
  }
}

/// A position came to an end: what it earned, with its fees, counts for the protections.
inline void end_trip(const Ledger& ledger, std::int64_t now_ns, std::uint32_t index, State& state) {
  const RiskSettings& settings = ledger.settings();
  RiskAccount& account = edit_account(state);
  auto& held = state.edit<RiskInstrument>(kInstruments, index);
  account.losses = held.trip_e8 < 0 ? account.losses + 1 : 0;
  if (settings.losses != 0 && account.losses >= settings.losses) {
    if (account.mode < static_cast<std::uint64_t>(Mode::kPaused)) account.resumed = 0;
    account.paused_until_ns = now_ns + settings.losses_ns;
    raise_mode(account, Mode::kPaused, Denial::kConsecLosses);
  }
  held.trips += 1;
  held.trips_e8 = checked("trips_e8", Wide{held.trips_e8} + held.trip_e8);
  held.trip_e8 = 0;
  if (settings.low_profit_trips != 0 && held.trips >= settings.low_profit_trips) {
    const RiskCurrency* of = ledger.currency(index, state);
    if ((of == nullptr ? Wide{held.trips_e8} : worth_e8(held.trips_e8, *of)) <
        settings.low_profit_e8)
      held.cooldown_until_ns = std::max(held.cooldown_until_ns, now_ns + settings.low_profit_ns);
    held.trips = held.trips_e8 = 0;
  }
  held.entries = held.position == 0 ? 0 : 1;
  for (std::uint64_t i = 0; i < held.under_way; ++i) {
    auto& other = state.edit<RiskOrder>(kOrders, held.orders[i] % state.count(kOrders));
    other.filled = 0;
    held.entries += other.enters;
  }
}

}  // namespace detail

inline void book(const Ledger& ledger, const Context& context, const Execution& execution,
                 State& state, Emit& emit) {
  detail::check(ledger, execution);
  const std::uint32_t index = execution.header.instrument;
  const RiskSettings& settings = ledger.settings();
  RiskAccount& account = edit_account(state);
  auto& held = state.edit<RiskInstrument>(kInstruments, index);
  begin_periods(account, execution.header.venue_ns);
  const bool fills = is_fill(execution.kind);
  const std::int64_t position = held.position;
  RiskCurrency* const currency = ledger.edit_currency(index, state);
  const std::int64_t& realised = currency == nullptr ? account.realised_e8 : currency->realised_e8;
  const std::int64_t realised_before = realised;
  if (fills) {
    const Wide lots = Wide{static_cast<int>(execution.side)} * execution.quantity;
    if (currency == nullptr)
      book_fill(account, held, ledger.instruments[index], lots, execution.price, execution.fee);
    else
      book_fill(*currency, held, ledger.instruments[index], lots, execution.price, execution.fee);
    held.trip_e8 =
        checked("trip_e8", Wide{held.trip_e8} + realised - realised_before - execution.fee);
    account.fills += 1;
    if (held.bid == 0) held.bid = held.ask = execution.price;
    if (is_valid(context, settings.stale_ns) &&
        !is_jump(held.bid, held.ask, context.quote, settings.jump_bp)) {
      held.bid = context.quote.bid;
      held.ask = context.quote.ask;
    }
    ledger.revalue_in(account, currency, held, index);
    judge(account, settings);
  } else {
    account.unfilled += 1;
  }
  release(ledger, execution, fills ? execution.leaves : 0, state);
  if (fills && position != 0 && (held.position == 0 || (held.position > 0) != (position > 0)))
    detail::end_trip(ledger, context.now_ns, index, state);
  // A target that is hit comes as a stop too.
  if (execution.kind == ExecutionKind::kStop && realised < realised_before &&
      settings.stop_cooldown_ns != 0)
    held.cooldown_until_ns =
        std::max(held.cooldown_until_ns, context.now_ns + settings.stop_cooldown_ns);
  if (fills) expose(ledger, index, held.bid, held.ask, state);
  ledger.check_conservation(state);

  Outcome outcome{};
  outcome.header.instrument = index;
  outcome.header.venue_ns = execution.header.venue_ns;
  outcome.header.received_ns = execution.header.received_ns;
  outcome.intent_id = execution.intent_id;
  outcome.order_id = execution.order_id;
  outcome.kind = detail::outcome_of(execution.kind);
  outcome.side = execution.side;
  outcome.code = execution.reason;
  outcome.strategy = execution.strategy;
  outcome.failed = bit_of(static_cast<Denial>(execution.reason));
  outcome.quantity = execution.quantity;
  outcome.price = execution.price;
  outcome.position = held.position;
  outcome.leaves = execution.leaves;
  emit(kOutcomesOut, outcome);
}

}  // namespace bot4::risk
