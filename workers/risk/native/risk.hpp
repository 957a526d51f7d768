// Risk: intents in, orders and outcomes out; executions are booked; on ticks marks are taken, and
// positions closed if all of them are to be. workers/risk/reference.py is the same in slow, obvious
// Python.
#pragma once

#include <limits>

#include "../../../pipeline/native/kernel.hpp"
#include "book.hpp"
#include "checks.hpp"

namespace bot4 {

class Risk final : public Kernel {
 public:
  enum Group : std::size_t { kAccount, kInstruments, kOrders };
  enum Input : std::uint32_t { kExecutionsIn, kIntentsIn };
  enum Output : std::size_t { kOrdersOut, kOutcomesOut };

  Risk(const RiskSettings& settings, Admission admission, std::vector<Instrument> instruments)
      : settings_(settings),
        admission_(std::move(admission)),
        instruments_(std::move(instruments)) {}

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (state.read<RiskAccount>(kAccount, 0).begun == 0) begin(state);
    if (context.source == kExecutionsIn)
      book(context, *static_cast<const Execution*>(input), state, emit);
    else if (context.source == kIntentsIn)
      decide(context, *static_cast<const Intent*>(input), state, emit);
    else if (context.source == Context::kTick)
      look(context, state, emit);
  }

 private:
  static constexpr std::uint64_t kNoCell = std::numeric_limits<std::uint64_t>::max();

  void begin(State& state) const {
    auto& account = state.edit<RiskAccount>(kAccount, 0);
    account.begun = 1;
    account.opening_e8 = account.cash_e8 = account.equity_e8 = account.high_water_e8 =
        settings_.equity_e8;
    account.next_order_id = 1;
  }

  /// The cell of an order, or a free one for id 0.
  static std::uint64_t find(const State& state, std::uint64_t order_id) {
    for (std::uint64_t i = 0; i < state.count(kOrders); ++i)
      if (state.read<RiskOrder>(kOrders, i).order_id == order_id) return i;
    return kNoCell;
  }

  // --- intents --------------------------------------------------------------------------------

  void decide(const Context& context, const Intent& intent, State& state, Emit& emit) const {
    const std::uint32_t index = intent.header.instrument;
    const bool known = index < instruments_.size();
    const std::uint64_t cell = find(state, 0);
    auto& account = state.edit<RiskAccount>(kAccount, 0);
    const Verdict verdict = evaluate(
        intent, {context, settings_, admission_, account, known ? &instruments_[index] : nullptr,
                 known ? &state.read<RiskInstrument>(kInstruments, index) : nullptr,
                 cell != kNoCell});

    Outcome outcome{};
    outcome.header.instrument = index;
    outcome.header.venue_ns = intent.header.venue_ns;
    outcome.header.received_ns = intent.header.received_ns;
    outcome.intent_id = intent.intent_id;
    outcome.side = intent.side;
    outcome.strategy = intent.strategy;
    outcome.quantity = intent.quantity;
    outcome.position = known ? state.read<RiskInstrument>(kInstruments, index).position : 0;
    if (verdict.failed != 0) {
      account.denied += 1;
      outcome.kind = OutcomeKind::kDenied;
      outcome.code = static_cast<std::uint16_t>(verdict.code());
      outcome.failed = verdict.failed;
      outcome.price = intent.limit;
    } else {
      Order order = reserve(intent, verdict, cell, state, account);
      outcome.kind = OutcomeKind::kApproved;
      outcome.order_id = order.order_id;
      outcome.price = order.limit;
      outcome.leaves = order.quantity;
      emit(kOrdersOut, order);
    }
    emit(kOutcomesOut, outcome);
  }

  /// Sets aside what the order may use, before anybody can see it.
  static Order reserve(const Intent& intent, const Verdict& verdict, std::uint64_t index,
                       State& state, RiskAccount& account) {
    auto& held = state.edit<RiskInstrument>(kInstruments, intent.header.instrument);
    auto& cell = state.edit<RiskOrder>(kOrders, index);
    cell.order_id = account.next_order_id;
    cell.intent_id = intent.intent_id;
    cell.leaves = intent.quantity;
    cell.reserved_e8 = checked("reserved_e8", verdict.cost);
    cell.instrument = intent.header.instrument;
    cell.side = static_cast<std::int8_t>(intent.side);
    std::int64_t& lots = intent.side == Side::kBuy ? held.reserved_buy : held.reserved_sell;
    lots = checked("reserved lots", Wide{lots} + intent.quantity);
    account.reserved_e8 = checked("reserved_e8", Wide{account.reserved_e8} + cell.reserved_e8);
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

  // --- executions -----------------------------------------------------------------------------

  void book(const Context& context, const Execution& execution, State& state, Emit& emit) const {
    check(execution);
    const std::uint32_t index = execution.header.instrument;
    auto& account = state.edit<RiskAccount>(kAccount, 0);
    auto& held = state.edit<RiskInstrument>(kInstruments, index);
    const bool fills = is_fill(execution.kind);
    if (fills) {
      const Wide lots = Wide{static_cast<int>(execution.side)} * execution.quantity;
      book_fill(account, held, instruments_[index], lots, execution.price, execution.fee);
      account.fills += 1;
      if (held.bid == 0) held.bid = held.ask = execution.price;
      see(context, held);
      revalue(account, held, instruments_[index], settings_);
    } else {
      account.unfilled += 1;
    }
    release(execution, fills ? execution.leaves : 0, state, account);
    check_conservation(state, account);

    Outcome outcome{};
    outcome.header.instrument = index;
    outcome.header.venue_ns = execution.header.venue_ns;
    outcome.header.received_ns = execution.header.received_ns;
    outcome.intent_id = execution.intent_id;
    outcome.order_id = execution.order_id;
    outcome.kind = outcome_of(execution.kind);
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

  /// Money that arrives is booked whatever became of its order; what cannot be booked stops us.
  void check(const Execution& execution) const {
    const auto kind = static_cast<int>(execution.kind);
    if (execution.header.instrument >= instruments_.size())
      throw std::out_of_range(
          refusal(execution, "instrument", execution.header.instrument,
                  "must be below " + std::to_string(instruments_.size())));
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

  static std::string refusal(const Execution& execution, const char* what, std::int64_t value,
                             const std::string& rule) {
    return "execution " + std::to_string(execution.header.sequence) + ": " + what + " was " +
           std::to_string(value) + ", " + rule;
  }

  static bool is_fill(ExecutionKind kind) {
    return kind == ExecutionKind::kFill || kind == ExecutionKind::kStop;
  }

  static OutcomeKind outcome_of(ExecutionKind kind) {
    switch (kind) {
      case ExecutionKind::kFill: return OutcomeKind::kFill;
      case ExecutionKind::kStop: return OutcomeKind::kStop;
      case ExecutionKind::kRejected: return OutcomeKind::kRejected;
      default: return OutcomeKind::kExpired;
    }
  }

  /// Reduces an order's reservation to what is left of it, in proportion and rounded up.
  static void release(const Execution& execution, std::int64_t leaves, State& state,
                      RiskAccount& account) {
    const std::uint64_t index = execution.order_id == 0 ? kNoCell : find(state, execution.order_id);
    if (index == kNoCell) return;
    auto& cell = state.edit<RiskOrder>(kOrders, index);
    auto& held = state.edit<RiskInstrument>(kInstruments, cell.instrument);
    const std::int64_t left = std::clamp<std::int64_t>(leaves, 0, cell.leaves);
    const auto reserved =
        static_cast<std::int64_t>(ceil_div(Wide{cell.reserved_e8} * left, cell.leaves));
    (cell.side > 0 ? held.reserved_buy : held.reserved_sell) -= cell.leaves - left;
    account.reserved_e8 -= cell.reserved_e8 - reserved;
    cell.leaves = left;
    cell.reserved_e8 = reserved;
    if (left == 0) {
      cell = {};
      account.open_orders -= 1;
    }
  }

  void check_conservation(const State& state, const RiskAccount& account) const {
    Wide cost = 0;
    for (std::uint64_t i = 0; i < instruments_.size(); ++i)
      cost += state.read<RiskInstrument>(kInstruments, i).cost_e8;
    const Wide is = account.cash_e8 + cost;
    const Wide should = Wide{account.opening_e8} + account.realised_e8 - account.fees_e8;
    if (is != should)
      throw std::logic_error("risk: cash + cost of positions was " + to_text(is) +
                             ", must be opening equity + realised - fees, " + to_text(should));
  }

  // --- ticks ----------------------------------------------------------------------------------

  void look(const Context& context, State& state, Emit& emit) const {
    if (!is_valid(context)) return;
    mark(context, state);
    if (closes_positions(context)) flatten(context, state, emit);
  }

  void mark(const Context& context, State& state) const {
    const std::uint32_t index = context.instrument;
    const auto& before = state.read<RiskInstrument>(kInstruments, index);
    if (before.bid != context.quote.bid || before.ask != context.quote.ask) {
      auto& held = state.edit<RiskInstrument>(kInstruments, index);
      see(context, held);
      revalue(state.edit<RiskAccount>(kAccount, 0), held, instruments_[index], settings_);
    }
    const auto& account = state.read<RiskAccount>(kAccount, 0);
    if (account.equity_e8 > account.high_water_e8) {
      const std::int64_t equity = account.equity_e8;
      state.edit<RiskAccount>(kAccount, 0).high_water_e8 = equity;
    }
  }

  /// Closes a position whole, by an order that is nobody's intent. If nothing comes of it, the next
  /// tick tries again. Money is reserved, but need not be there: it must not keep us in.
  void flatten(const Context& context, State& state, Emit& emit) const {
    const std::uint32_t index = context.instrument;
    const auto& held = state.read<RiskInstrument>(kInstruments, index);
    const bool buys = held.position < 0;
    if (held.position == 0 || (buys ? held.reserved_buy : held.reserved_sell) != 0) return;
    if (context.halted != 0 || !admission_.admits(context, index, true)) return;
    const std::uint64_t cell = find(state, 0);
    if (cell == kNoCell) return;

    Intent intent{};
    intent.header.instrument = index;
    intent.header.received_ns = context.now_ns;  // no record led to it: its way begins here
    intent.side = buys ? Side::kBuy : Side::kSell;
    intent.reduce_only = 1;
    intent.quantity = checked("quantity", buys ? -Wide{held.position} : Wide{held.position});
    Verdict verdict;
    verdict.limit = buys ? collar(context.quote.ask, 1) : collar(context.quote.bid, -1);
    if (buys) verdict.cost = cost_e8(verdict.limit, intent.quantity, instruments_[index]);
    Order order = reserve(intent, verdict, cell, state, state.edit<RiskAccount>(kAccount, 0));
    emit(kOrdersOut, order);
  }

  bool is_valid(const Context& context) const {
    return is_fresh(context.quote, context.now_ns, settings_.stale_ns) &&
           !is_crossed(context.quote);
  }

  void see(const Context& context, RiskInstrument& held) const {
    if (!is_valid(context)) return;
    held.bid = context.quote.bid;
    held.ask = context.quote.ask;
  }

  const RiskSettings settings_;
  const Admission admission_;
  const std::vector<Instrument> instruments_;
};

}  // namespace bot4
