// What an open order may use, from its approval until nothing is left of it, and the worst cases that
// follow from it. workers/risk/reservations.py is the same in slow, obvious Python.
#pragma once

#include <algorithm>

#include "ledger.hpp"
#include "pricing.hpp"
#include "verdict.hpp"

namespace bot4::risk {

inline bool is_fill(ExecutionKind kind) {
  return kind == ExecutionKind::kFill || kind == ExecutionKind::kStop;
}

/// Values an instrument's worst cases anew, and the sums that they are part of.
inline void expose(const Ledger& ledger, std::uint32_t index, std::int64_t bid, std::int64_t ask,
                   State& state) {
  RiskAccount& account = edit_account(state);
  auto& held = state.edit<RiskInstrument>(kInstruments, index);
  const InstrumentLimits& limits = ledger.limits().instruments[index];
  const WorstCase worst = worst_case(held.position, held.reserved_buy, held.reserved_sell, bid,
                                     ask, ledger.instruments[index], ledger.currency(index, state));
  const Wide added = worst.gross() - std::max(held.long_e8, held.short_e8);
  const auto add = [](const char* what, std::int64_t& to, Wide more) {
    to = checked(what, to + more);
  };
  add("gross_e8", account.gross_e8, added);
  add("gross_e8", state.edit<RiskPart>(kVenues, place(limits.venue)).gross_e8, added);
  add("gross_e8", state.edit<RiskPart>(kClasses, place(limits.asset_class)).gross_e8, added);
  add("long_e8", account.long_e8, worst.long_e8 - held.long_e8);
  add("short_e8", account.short_e8, worst.short_e8 - held.short_e8);
  held.long_e8 = checked("long_e8", worst.long_e8);
  held.short_e8 = checked("short_e8", worst.short_e8);
  held.worst_bid = bid;
  held.worst_ask = ask;
  const bool is_long = Wide{held.position} + held.reserved_buy > 0;
  const bool is_short = Wide{held.reserved_sell} - held.position > 0;
  const std::size_t word = index / 64, place = index % 64;
  const std::uint64_t* open = &state.read<std::uint64_t>(kOpen, 0);
  const bool was_long = open[word] >> place & 1;
  const bool was_short = open[ledger.words() + word] >> place & 1;
  if (is_long == was_long && is_short == was_short) return;
  std::uint64_t* change = &state.edit<std::uint64_t>(kOpen, 0);
  change[word] ^= std::uint64_t{is_long != was_long} << place;
  change[ledger.words() + word] ^= std::uint64_t{is_short != was_short} << place;
  account.positions += (is_long || is_short) - (was_long || was_short);
}

inline void expose_order(const Ledger& ledger, const Intent& intent, const Context& context,
                         State& state) {
  const std::uint32_t index = intent.header.instrument;
  const bool buys = intent.side == Side::kBuy;
  const Sides at = sides_of(state.read<RiskInstrument>(kInstruments, index), buys,
                            buys ? context.quote.ask : context.quote.bid);
  expose(ledger, index, at.bid, at.ask, state);
}

/// Sets aside what the order may use, before anybody can see it.
inline Order reserve(const Ledger& ledger, const Intent& intent, const Verdict& verdict,
                     State& state) {
  RiskAccount& account = edit_account(state);
  auto& held = state.edit<RiskInstrument>(kInstruments, intent.header.instrument);
  // Its id says where it is: one that names a cell in use is left out.
  while (order_of(account.next_order_id, state).order_id != 0) account.next_order_id += 1;
  auto& cell = state.edit<RiskOrder>(kOrders, account.next_order_id % state.count(kOrders));
  cell.order_id = account.next_order_id;
  cell.intent_id = intent.intent_id;
  cell.leaves = intent.quantity;
  cell.reserved_e8 = checked("reserved_e8", verdict.cost);
  cell.at_risk_e8 = checked("at_risk_e8", verdict.at_risk);
  cell.limit = verdict.limit;
  cell.instrument = intent.header.instrument;
  cell.strategy = intent.strategy;
  cell.side = static_cast<std::int8_t>(intent.side);
  cell.enters = verdict.reducing ? 0 : 1;
  std::int64_t& lots = intent.side == Side::kBuy ? held.reserved_buy : held.reserved_sell;
  lots = checked("reserved lots", Wide{lots} + intent.quantity);
  held.orders[held.under_way++] = cell.order_id;
  held.entries += cell.enters;
  std::int64_t& reserved = ledger.reserved_of(intent.header.instrument, state);
  reserved = checked("reserved_e8", Wide{reserved} + cell.reserved_e8);
  account.at_risk_e8 = checked("at_risk_e8", Wide{account.at_risk_e8} + cell.at_risk_e8);
  account.next_order_id += 1;
  account.open_orders += 1;
  account.approved += 1;

  Order order{};
  order.header.instrument = intent.header.instrument;
  order.header.venue_ns = intent.header.venue_ns;
  order.header.received_ns = intent.header.received_ns;
  order.order_id = cell.order_id;
  order.intent_id = intent.intent_id;
  order.strategy = intent.strategy;
  order.side = intent.side;
  order.reduce_only = intent.reduce_only;
  order.quantity = intent.quantity;
  order.limit = verdict.limit;
  order.stop = intent.stop;
  order.target = intent.target;
  order.reserved = cell.reserved_e8;
  return order;
}

/// Reduces an order's reservation to what is left of it, in proportion and rounded up.
inline void release(const Ledger& ledger, const Execution& execution, std::int64_t leaves,
                    State& state) {
  const std::uint64_t place_of = execution.order_id % state.count(kOrders);
  if (execution.order_id == 0 ||
      state.read<RiskOrder>(kOrders, place_of).order_id != execution.order_id)
    return;
  RiskAccount& account = edit_account(state);
  auto& cell = state.edit<RiskOrder>(kOrders, place_of);
  const std::uint32_t index = cell.instrument;
  auto& held = state.edit<RiskInstrument>(kInstruments, index);
  const std::int64_t left = std::clamp<std::int64_t>(leaves, 0, cell.leaves);
  const auto rest = [&](std::int64_t of) {
    return static_cast<std::int64_t>(ceil_div(Wide{of} * left, cell.leaves));
  };
  const std::int64_t reserved = rest(cell.reserved_e8), at_risk = rest(cell.at_risk_e8);
  (cell.side > 0 ? held.reserved_buy : held.reserved_sell) -= cell.leaves - left;
  ledger.reserved_of(index, state) -= cell.reserved_e8 - reserved;
  account.at_risk_e8 -= cell.at_risk_e8 - at_risk;
  if (is_fill(execution.kind)) cell.filled = 1;
  cell.leaves = left;
  cell.reserved_e8 = reserved;
  cell.at_risk_e8 = at_risk;
  if (left == 0) {
    if (cell.enters != 0 && cell.filled == 0) held.entries -= 1;
    std::uint64_t* const end = held.orders + held.under_way;
    *std::find(held.orders, end, cell.order_id) = end[-1];
    end[-1] = 0;
    held.under_way -= 1;
    cell = {};
    account.open_orders -= 1;
  }
  expose(ledger, index, held.worst_bid, held.worst_ask, state);
}

}  // namespace bot4::risk
