// The executor on paper: an order fills whole and at once at the quote, or not at all; it holds the
// stops and targets that a venue would hold. workers/executor/reference.py is the same in Python.
#pragma once

#include "../../../pipeline/native/admission.hpp"
#include "../../../pipeline/native/kernel.hpp"
#include "../../../pipeline/native/mode.hpp"
#include "../../../pipeline/native/money.hpp"
#include "../../../pipeline/native/vocabulary.hpp"
#include "state.hpp"

namespace bot4 {

class PaperExecutor final : public Kernel {
 public:
  enum Group : std::size_t { kInstruments, kStage };
  enum Input : std::uint32_t { kTicksIn, kOrdersIn };
  enum Output : std::size_t { kExecutionsOut };

  PaperExecutor(const ExecutorSettings& settings, Admission admission,
                std::vector<Instrument> instruments)
      : settings_(settings),
        admission_(std::move(admission)),
        instruments_(std::move(instruments)) {}

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (context.source == kTicksIn)
      see(*static_cast<const Market*>(input), state, emit);
    else if (context.source == kOrdersIn)
      execute(context, *static_cast<const Order*>(input), state, emit);
  }

 private:
  // --- the market -------------------------------------------------------------------------------

  void see(const Market& tick, State& state, Emit& emit) const {
    auto& held = of_instrument("tick", tick.header, state);
    held.venue_ns = tick.header.venue_ns;
    if (tick.kind != MarketKind::kQuote) return;
    held.bid = tick.bid;
    held.ask = tick.ask;
    held.received_ns = tick.header.received_ns;
    const std::int64_t price = closing_price(held);
    if (price == 0) return;

    Execution execution = answer(tick.header, held, held.strategy);
    execution.kind = ExecutionKind::kStop;
    execution.side = held.position > 0 ? Side::kSell : Side::kBuy;
    fill(execution, held.position > 0 ? held.position : -held.position, price, {}, held, state);
    emit(kExecutionsOut, execution);
  }

  /// What the quote closes a position at: itself at the stop, which comes first; the target, which
  /// rests at the venue, at the target. 0: neither.
  static std::int64_t closing_price(const ExecutorInstrument& held) {
    if (is_stopped_out(held)) return held.position > 0 ? held.bid : held.ask;
    if (held.target <= 0 || held.position == 0) return 0;
    const bool is_reached = held.position > 0 ? held.bid >= held.target
                                              : held.ask > 0 && held.ask <= held.target;
    return is_reached ? held.target : 0;
  }

  static bool is_stopped_out(const ExecutorInstrument& held) {
    if (held.stop == 0) return false;
    if (held.position > 0) return held.bid > 0 && held.bid <= held.stop;
    return held.position < 0 && held.ask > 0 && held.ask >= held.stop;
  }

  // --- orders -----------------------------------------------------------------------------------

  void execute(const Context& context, const Order& order, State& state, Emit& emit) const {
    auto& held = of_instrument("order", order.header, state);
    const bool buys = order.side == Side::kBuy;
    Execution execution = answer(order.header, held, order.strategy);
    execution.order_id = order.order_id;
    execution.intent_id = order.intent_id;
    execution.side = order.side;

    // What is held on the other side: all that a reducing order may take away.
    const std::int64_t reducible =
        buys ? std::max<std::int64_t>(0, -held.position) : std::max<std::int64_t>(0, held.position);
    const std::int64_t quoted = buys ? held.ask : held.bid;
    const bool reduces = order.reduce_only != 0;
    const std::int64_t quantity = reduces ? std::min(order.quantity, reducible) : order.quantity;
    const bool reducing = quantity <= reducible;
    // Again, and last before the fill: the mode may have changed since risk looked.
    if (is_killed(context, reducing, reduces)) {
      reject(execution, Denial::kKilled);
    } else if (is_paused(context, reducing)) {
      reject(execution, Denial::kModePaused);
    } else if (is_reduce_only(context, reducing)) {
      reject(execution, Denial::kModeReduceOnly);
    } else if (!admission_.admits(context, order.header.instrument, reducing)) {
      reject(execution, Denial::kBreakerOpen);
    } else if (quoted <= 0) {
      reject(execution, Denial::kMarketCrossed);
    } else if (reduces && reducible == 0) {
      reject(execution, Denial::kReduceOnlyIncreases);
    } else {
      const std::int64_t price = worsened(quoted, buys);
      if (buys ? price > order.limit : price < order.limit) {
        execution.kind = ExecutionKind::kExpired;  // immediate or cancel
      } else {
        execution.kind = ExecutionKind::kFill;
        fill(execution, quantity, price, {order.stop, order.target}, held, state);
      }
    }
    execution.position = held.position;
    emit(kExecutionsOut, execution);
  }

  static void reject(Execution& execution, Denial reason) {
    execution.kind = ExecutionKind::kRejected;
    execution.reason = static_cast<std::uint16_t>(reason);
  }

  /// The quote with the slippage, rounded against the order.
  std::int64_t worsened(std::int64_t quoted, bool buys) const {
    const Wide slippage = ceil_div(Wide{quoted} * settings_.slippage_bp, kBasisPoints);
    if (buys) return checked("price", quoted + slippage);
    return checked("price", std::max<Wide>(1, quoted - slippage));
  }

  // --- both -------------------------------------------------------------------------------------

  struct Levels {
    std::int64_t stop = 0, target = 0;
  };

  /// An execution's header and owner; all else is yet to be said.
  static Execution answer(const Header& header, const ExecutorInstrument& held,
                          std::uint32_t strategy) {
    Execution execution{};
    execution.header.instrument = header.instrument;
    execution.header.venue_ns = held.venue_ns;
    execution.header.received_ns = header.received_ns;
    execution.strategy = strategy;
    return execution;
  }

  void fill(Execution& execution, std::int64_t quantity, std::int64_t price, Levels levels,
            ExecutorInstrument& held, State& state) const {
    const Instrument& instrument = instruments_[execution.header.instrument];
    execution.trade_id = ++state.edit<ExecutorStage>(kStage, 0).last_trade_id;
    execution.quantity = quantity;
    execution.price = price;
    execution.fee = checked(
        "fee", fee_e8(notional_e8(price, quantity, instrument), instrument.taker_fee_e8));

    const std::int64_t before = held.position;
    const bool buys = execution.side == Side::kBuy;
    held.position = checked("position", Wide{before} + (buys ? quantity : -Wide{quantity}));
    execution.position = held.position;
    const bool opens = held.position != 0 && (before == 0 || (before > 0) != (held.position > 0));
    const bool adds = !opens && before != 0 && (before > 0) == buys;
    // A position that opens, through zero too, must not inherit the levels of one that is gone.
    if (held.position == 0) levels = {};
    const bool renews = held.position == 0 || opens;
    if (renews || (adds && levels.stop != 0)) {
      held.stop = levels.stop;
      held.strategy = held.position == 0 ? 0 : execution.strategy;
    }
    if (renews || (adds && levels.target != 0)) held.target = levels.target;
  }

  ExecutorInstrument& of_instrument(const char* what, const Header& header, State& state) const {
    if (header.instrument >= instruments_.size())
      throw std::out_of_range(std::string(what) + " " + std::to_string(header.sequence) +
                              ": instrument was " + std::to_string(header.instrument) +
                              ", must be below " + std::to_string(instruments_.size()));
    return state.edit<ExecutorInstrument>(kInstruments, header.instrument);
  }

  const ExecutorSettings settings_;
  const Admission admission_;
  const std::vector<Instrument> instruments_;
};

}  // namespace bot4
