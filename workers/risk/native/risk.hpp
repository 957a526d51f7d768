// Risk: intents in, orders and outcomes out; executions are booked; on ticks marks are taken, and
// positions closed if all of them are to be. workers/risk/reference.py is the same in slow, obvious
// Python. A check and its reservation are one step of the only writer.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "../../../pipeline/native/kernel.hpp"
#include "../../ta/native/kept_correlations.hpp"
#include "checks.hpp"
#include "portfolio.hpp"

namespace bot4 {

class Risk final : public Kernel {
 public:
  enum Group : std::size_t {
    kAccount, kInstruments, kOrders, kVenues, kClasses, kStrategies, kSignals, kRecent, kSpreads,
    kOpen, kCorrelations, kDecisions, kCodes, kLimits, kCurrencies
  };
  enum Input : std::uint32_t { kExecutionsIn, kControlIn, kIntentsIn, kCorrelationsIn };
  enum Output : std::size_t { kOrdersOut, kOutcomesOut };

  Risk(RiskOpening opening, Currencies currencies, RiskLimits limits, Admission admission,
       std::vector<Instrument> instruments)
      : opening_(opening),
        currencies_(std::move(currencies)),
        configured_(std::move(limits)),
        limits_(configured_),
        admission_(std::move(admission)),
        instruments_(std::move(instruments)) {
    if (limits_.instruments.size() != instruments_.size())
      throw std::invalid_argument("number of instruments with limits was " +
                                  std::to_string(limits_.instruments.size()) + ", must be " +
                                  std::to_string(instruments_.size()));
    for (const auto* of : {&currencies_.quoted, &currencies_.converts})
      if (of->size() != instruments_.size() ||
          std::any_of(of->begin(), of->end(),
                      [&](std::uint32_t number) { return number > currencies_.count(); }))
        throw std::invalid_argument("number of a currency must be given for each instrument, and be " +
                                    std::to_string(currencies_.count()) + " at most");
    if (currencies_.is_base.size() != currencies_.count())
      throw std::invalid_argument("number of currencies was " +
                                  std::to_string(currencies_.is_base.size()) + ", must be " +
                                  std::to_string(currencies_.count()));
  }

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (account(state).begun == 0) begin(context, state);
    if (account(state).limits != applied_) see_limits(state);
    switch (context.source) {
      case kExecutionsIn: return book(context, *static_cast<const Execution*>(input), state, emit);
      case kIntentsIn: return decide(context, *static_cast<const Intent*>(input), state, emit);
      case kCorrelationsIn:
        return correlations_.take(*static_cast<const Correlations*>(input), state);
      case kControlIn: return obey(context, *static_cast<const Control*>(input), state);
      default: look(context, state, emit);
    }
  }

 private:
  static const RiskAccount& account(const State& state) {
    return state.read<RiskAccount>(kAccount, 0);
  }
  static RiskAccount& edit_account(State& state) { return state.edit<RiskAccount>(kAccount, 0); }

  void begin(const Context& context, State& state) const {
    RiskAccount& account = edit_account(state);
    account.begun = 1;
    for (std::size_t i = 0; i < currencies_.count(); ++i) {
      const CurrencyOpening& opening = currencies_.openings[i];
      auto& currency = state.edit<RiskCurrency>(kCurrencies, i);
      currency.opening_e8 = currency.cash_e8 = opening.balance_e8;
      currency.bid_e8 = opening.bid_e8;
      currency.ask_e8 = opening.ask_e8;
      currency.invalid = 1;  // until it is seen in this run
      currency.is_base = currencies_.is_base[i];
      convert(account, currency);
    }
    account.joined_e8 = account.converted_e8;
    account.opening_e8 = account.cash_e8 =
        checked("opening_e8", Wide{opening_.equity_e8} - account.converted_e8);
    account.units = opening_.units;
    account.high_water_e12 = opening_.high_water_e12;
    account.day = opening_.day;
    account.week = opening_.week;
    account.month = opening_.month;
    account.day_open_e8 = opening_.day_open_e8;
    account.week_open_e8 = opening_.week_open_e8;
    account.month_open_e8 = opening_.month_open_e8;
    account.losses = opening_.losses;
    account.mode = place(opening_.mode);
    account.mode_code = place(opening_.mode_code);
    account.killed = place(opening_.killed);
    account.drawdown = place(opening_.drawdown);
    // Of its cooldown nobody knows how much has passed: it begins again.
    if (account.mode_code == static_cast<std::uint64_t>(Denial::kConsecLosses))
      account.paused_until_ns = context.now_ns + settings_.losses_ns;
    value_units(account);
    account.next_order_id = 1;
    account.tick_ns = context.now_ns;
  }

  // --- intents --------------------------------------------------------------------------------

  void decide(const Context& context, const Intent& intent, State& state, Emit& emit) const {
    begin_periods(edit_account(state), intent.header.venue_ns);
    const std::uint32_t index = intent.header.instrument;
    const bool known = index < instruments_.size();
    const std::uint64_t decided = intent.intent_id % state.count(kDecisions);
    const auto& before = state.read<RiskDecision>(kDecisions, decided);
    const bool was_here = intent.intent_id != 0 && before.intent_id == intent.intent_id;

    Outcome outcome{};
    outcome.header.instrument = index;
    outcome.header.venue_ns = intent.header.venue_ns;
    outcome.header.received_ns = intent.header.received_ns;
    outcome.intent_id = intent.intent_id;
    outcome.side = intent.side;
    outcome.strategy = intent.strategy;
    outcome.quantity = intent.quantity;
    outcome.position = known ? state.read<RiskInstrument>(kInstruments, index).position : 0;
    if (was_here && is_same(intent, before)) {
      edit_account(state).repeated += 1;
      repeat(before, outcome);
      emit(kOutcomesOut, outcome);
      return;
    }
    const Verdict verdict = evaluate(intent, facts(context, intent, state));
    if (verdict.failed != 0) {
      edit_account(state).denied += 1;
      state.edit<RiskCodes>(kCodes, 0).count[std::countr_zero(verdict.failed)] += 1;
      outcome.kind = OutcomeKind::kDenied;
      outcome.code = static_cast<std::uint16_t>(verdict.code());
      outcome.failed = verdict.failed;
      outcome.price = intent.limit;
    } else {
      Order order = reserve(intent, verdict, state);
      spend(context, intent, verdict, state);
      expose_order(intent, context, state);
      outcome.kind = OutcomeKind::kApproved;
      outcome.order_id = order.order_id;
      outcome.price = order.limit;
      outcome.leaves = order.quantity;
      emit(kOrdersOut, order);
    }
    if (intent.intent_id > before.intent_id) remember(context, intent, verdict, outcome, state);
    emit(kOutcomesOut, outcome);
  }

  Facts facts(const Context& context, const Intent& intent, const State& state) const {
    const std::uint32_t index = intent.header.instrument;
    Facts facts{context, settings_, admission_, account(state)};
    if (intent.strategy < limits_.strategies.size()) {
      facts.strategy = &limits_.strategies[intent.strategy];
      facts.pace = &state.read<RiskStrategy>(kStrategies, intent.strategy);
    }
    if (intent.intent_id != 0)
      facts.is_id_used = state.read<RiskDecision>(
          kDecisions, intent.intent_id % state.count(kDecisions)).intent_id >= intent.intent_id;
    if (index >= instruments_.size()) return facts;
    const auto& held = state.read<RiskInstrument>(kInstruments, index);
    facts.instrument = &instruments_[index];
    facts.limits = &limits_.instruments[index];
    facts.held = &held;
    facts.venue = &state.read<RiskPart>(kVenues, place(facts.limits->venue));
    facts.asset_class = &state.read<RiskPart>(kClasses, place(facts.limits->asset_class));
    facts.recent = &state.read<RiskRecent>(kRecent, index);
    facts.currency = currency(index, state);
    if (facts.strategy != nullptr)
      facts.signal = &state.read<RiskSignal>(kSignals, signal_of(intent));
    facts.has_free_cell = account(state).open_orders < state.count(kOrders) &&
                          held.under_way < RiskInstrument::kOrders;
    const bool buys = intent.side == Side::kBuy;
    for (std::uint64_t i = 0; i < held.under_way; ++i) {
      const auto& other = order_of(held.orders[i], state);
      if ((other.side > 0) == buys) continue;
      facts.opposite = facts.opposite == 0 ? other.limit
                       : buys              ? std::min(facts.opposite, other.limit)
                                           : std::max(facts.opposite, other.limit);
    }
    if (settings_.correlated != 0) facts.correlated = correlated(index, buys ? 1 : -1, state);
    return facts;
  }

  /// How many other instruments are held, or may come to be, so that they move with this order.
  std::int64_t correlated(std::uint32_t index, int side, const State& state) const {
    const std::int16_t* value = correlations_.values(index, state);
    const std::uint16_t* samples = correlations_.samples(index, state);
    const std::uint64_t* open = &state.read<std::uint64_t>(kOpen, 0);
    const std::int64_t limit = settings_.correlation_bp, fewest = settings_.correlation_samples;
    std::uint64_t count = 0;
    for (std::size_t word = 0; word < words(); ++word) {
      const std::uint64_t self = index / 64 == word ? std::uint64_t{1} << index % 64 : 0;
      // Those that move with the order if rho is above 0, and those that do if it is below.
      const std::uint64_t with = open[side > 0 ? word : words() + word] & ~self;
      const std::uint64_t against = open[side > 0 ? words() + word : word] & ~self;
      // Without branches: there may be as many as there are instruments, each either way.
      for (std::uint64_t bits = with | against; bits != 0; bits &= bits - 1) {
        const auto bit = static_cast<unsigned>(std::countr_zero(bits));
        const std::size_t other = word * 64 + bit;
        const int rho = value[other];
        const std::uint64_t is_far = std::abs(rho) > limit, is_known = samples[other] >= fewest;
        count += (rho > 0 ? with : against) >> bit & is_far & is_known;
      }
    }
    return static_cast<std::int64_t>(count);
  }

  /// Sets aside what the order may use, before anybody can see it.
  Order reserve(const Intent& intent, const Verdict& verdict, State& state) const {
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
    std::int64_t& reserved = reserved_of(intent.header.instrument, state);
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

  /// Counts an approval towards the rates, and as one of its kind.
  void spend(const Context& context, const Intent& intent, const Verdict& verdict,
             State& state) const {
    const std::uint32_t index = intent.header.instrument;
    const std::int64_t now = context.now_ns;
    const auto take = [now](std::int64_t& tat, std::int64_t interval) {
      if (interval != 0) tat = std::max(tat, now) + interval;
    };
    const StrategyLimits& strategy = limits_.strategies[intent.strategy];
    take(state.edit<RiskStrategy>(kStrategies, intent.strategy).tat_ns, strategy.rate_ns);
    take(state.edit<RiskInstrument>(kInstruments, index).tat_ns, settings_.symbol_ns);
    take(state.edit<RiskPart>(kVenues, place(limits_.instruments[index].venue)).tat_ns,
         settings_.venue_ns);
    take(edit_account(state).tat_ns, settings_.global_ns);
    auto& signal = state.edit<RiskSignal>(kSignals, signal_of(intent));
    const auto side = static_cast<std::int64_t>(intent.side);
    signal.count = signal.side == side ? signal.count + 1 : 1;
    signal.side = side;
    if (verdict.reducing || settings_.dup_count == 0) return;
    auto& recent = state.edit<RiskRecent>(kRecent, index);
    const std::uint64_t at = recent.next++ % RiskRecent::kMost;
    recent.at_ns[at] = now;
    recent.quantity[at] = intent.quantity;
    recent.limit[at] = intent.limit;
    recent.strategy[at] = intent.strategy;
    recent.side[at] = static_cast<std::int8_t>(intent.side);
  }

  static bool is_same(const Intent& intent, const RiskDecision& decision) {
    return decision.instrument == intent.header.instrument &&
           decision.strategy == intent.strategy &&
           decision.side == static_cast<std::int8_t>(intent.side) &&
           decision.reduce_only == intent.reduce_only && decision.quantity == intent.quantity &&
           decision.limit == intent.limit && decision.stop == intent.stop &&
           decision.target == intent.target &&
           decision.created_ns == intent.created_ns && decision.ttl_ns == intent.ttl_ns;
  }

  static void repeat(const RiskDecision& decision, Outcome& outcome) {
    const bool denied = decision.failed != 0;
    outcome.kind = denied ? OutcomeKind::kDenied : OutcomeKind::kApproved;
    outcome.order_id = decision.order_id;
    outcome.code = decision.code;
    outcome.failed = decision.failed;
    outcome.price = decision.price;
    outcome.leaves = denied ? 0 : decision.quantity;
  }

  static void remember(const Context& context, const Intent& intent, const Verdict& verdict,
                       const Outcome& outcome, State& state) {
    auto& decision =
        state.edit<RiskDecision>(kDecisions, intent.intent_id % state.count(kDecisions));
    decision.intent_id = intent.intent_id;
    decision.order_id = outcome.order_id;
    decision.failed = outcome.failed;
    decision.quantity = intent.quantity;
    decision.limit = intent.limit;
    decision.stop = intent.stop;
    decision.target = intent.target;
    decision.created_ns = intent.created_ns;
    decision.ttl_ns = intent.ttl_ns;
    decision.decided_ns = context.now_ns;
    decision.price = outcome.price;
    decision.reference = verdict.reference;
    decision.value = clipped(verdict.value);
    decision.bound = clipped(verdict.bound);
    decision.instrument = intent.header.instrument;
    decision.strategy = intent.strategy;
    decision.side = static_cast<std::int8_t>(intent.side);
    decision.reduce_only = intent.reduce_only;
    decision.code = outcome.code;
  }

  // --- executions -----------------------------------------------------------------------------

  void book(const Context& context, const Execution& execution, State& state, Emit& emit) const {
    check(execution);
    const std::uint32_t index = execution.header.instrument;
    RiskAccount& account = edit_account(state);
    auto& held = state.edit<RiskInstrument>(kInstruments, index);
    begin_periods(account, execution.header.venue_ns);
    const bool fills = is_fill(execution.kind);
    const std::int64_t position = held.position;
    RiskCurrency* const currency = edit_currency(index, state);
    const std::int64_t& realised = currency == nullptr ? account.realised_e8 : currency->realised_e8;
    const std::int64_t realised_before = realised;
    if (fills) {
      const Wide lots = Wide{static_cast<int>(execution.side)} * execution.quantity;
      if (currency == nullptr)
        book_fill(account, held, instruments_[index], lots, execution.price, execution.fee);
      else
        book_fill(*currency, held, instruments_[index], lots, execution.price, execution.fee);
      held.trip_e8 =
          checked("trip_e8", Wide{held.trip_e8} + realised - realised_before - execution.fee);
      account.fills += 1;
      if (held.bid == 0) held.bid = held.ask = execution.price;
      if (is_valid(context) && !is_jump(held.bid, held.ask, context.quote, settings_.jump_bp))
        see(context.quote, held);
      revalue_in(account, currency, held, index);
      judge(account, settings_);
    } else {
      account.unfilled += 1;
    }
    release(execution, fills ? execution.leaves : 0, state);
    if (fills && position != 0 && (held.position == 0 || (held.position > 0) != (position > 0)))
      end_trip(context.now_ns, index, state);
    // A target that is hit comes as a stop too.
    if (execution.kind == ExecutionKind::kStop && realised < realised_before &&
        settings_.stop_cooldown_ns != 0)
      held.cooldown_until_ns =
          std::max(held.cooldown_until_ns, context.now_ns + settings_.stop_cooldown_ns);
    if (fills) expose(index, held.bid, held.ask, state);
    check_conservation(state);

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
  void release(const Execution& execution, std::int64_t leaves, State& state) const {
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
    reserved_of(index, state) -= cell.reserved_e8 - reserved;
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
    expose(index, held.worst_bid, held.worst_ask, state);
  }

  /// A position came to an end: what it earned, with its fees, counts for the protections.
  void end_trip(std::int64_t now_ns, std::uint32_t index, State& state) const {
    RiskAccount& account = edit_account(state);
    auto& held = state.edit<RiskInstrument>(kInstruments, index);
    account.losses = held.trip_e8 < 0 ? account.losses + 1 : 0;
    if (settings_.losses != 0 && account.losses >= settings_.losses) {
      if (account.mode < static_cast<std::uint64_t>(Mode::kPaused)) account.resumed = 0;
      account.paused_until_ns = now_ns + settings_.losses_ns;
      raise_mode(account, Mode::kPaused, Denial::kConsecLosses);
    }
    held.trips += 1;
    held.trips_e8 = checked("trips_e8", Wide{held.trips_e8} + held.trip_e8);
    held.trip_e8 = 0;
    if (settings_.low_profit_trips != 0 && held.trips >= settings_.low_profit_trips) {
      const RiskCurrency* of = currency(index, state);
      if ((of == nullptr ? Wide{held.trips_e8} : worth_e8(held.trips_e8, *of)) <
          settings_.low_profit_e8)
        held.cooldown_until_ns =
            std::max(held.cooldown_until_ns, now_ns + settings_.low_profit_ns);
      held.trips = held.trips_e8 = 0;
    }
    held.entries = held.position == 0 ? 0 : 1;
    for (std::uint64_t i = 0; i < held.under_way; ++i) {
      auto& other = state.edit<RiskOrder>(kOrders, held.orders[i] % state.count(kOrders));
      other.filled = 0;
      held.entries += other.enters;
    }
  }

  /// Values an instrument's worst cases anew, and the sums that they are part of.
  void expose(std::uint32_t index, std::int64_t bid, std::int64_t ask, State& state) const {
    RiskAccount& account = edit_account(state);
    auto& held = state.edit<RiskInstrument>(kInstruments, index);
    const InstrumentLimits& limits = limits_.instruments[index];
    const WorstCase worst = worst_case(held.position, held.reserved_buy, held.reserved_sell, bid,
                                       ask, instruments_[index], currency(index, state));
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
    const bool was_long = open[word] >> place & 1, was_short = open[words() + word] >> place & 1;
    if (is_long == was_long && is_short == was_short) return;
    std::uint64_t* change = &state.edit<std::uint64_t>(kOpen, 0);
    change[word] ^= std::uint64_t{is_long != was_long} << place;
    change[words() + word] ^= std::uint64_t{is_short != was_short} << place;
    account.positions += (is_long || is_short) - (was_long || was_short);
  }

  void expose_order(const Intent& intent, const Context& context, State& state) const {
    const std::uint32_t index = intent.header.instrument;
    const bool buys = intent.side == Side::kBuy;
    const Sides at = sides_of(state.read<RiskInstrument>(kInstruments, index), buys,
                              buys ? context.quote.ask : context.quote.bid);
    expose(index, at.bid, at.ask, state);
  }

  void check_conservation(const State& state) const {
    if (currencies_.count() == 0)
      return check_books(0, account(state), cost(state, [](std::size_t) { return true; }));
    for (std::uint32_t number = 0; number <= currencies_.count(); ++number) {
      const Wide of = cost(state, [&](std::size_t i) { return currencies_.quoted[i] == number; });
      if (number == 0) check_books(0, account(state), of);
      else check_books(number, state.read<RiskCurrency>(kCurrencies, number - 1), of);
    }
  }

  /// Of some instruments: of those in which something is held, as no others have cost anything.
  template <class Is>
  Wide cost(const State& state, const Is& is_one) const {
    Wide cost = 0;
    const std::uint64_t* open = &state.read<std::uint64_t>(kOpen, 0);
    for (std::size_t word = 0; word < words(); ++word)
      for (std::uint64_t bits = open[word] | open[words() + word]; bits != 0; bits &= bits - 1) {
        const std::size_t index = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        if (is_one(index)) cost += state.read<RiskInstrument>(kInstruments, index).cost_e8;
      }
    return cost;
  }

  template <class Books>
  static void check_books(std::uint32_t number, const Books& now, Wide cost) {
    const Wide is = now.cash_e8 + cost;
    const Wide should = Wide{now.opening_e8} + now.flows_e8 + now.realised_e8 - now.fees_e8;
    if (is != should)
      throw std::logic_error("risk: cash + cost of positions was " + to_text(is) + in(number) +
                             ", must be opening equity + flows + realised - fees, " +
                             to_text(should));
  }

  // --- control --------------------------------------------------------------------------------

  /// A request that was dealt with is not again: whoever hands it on may have been killed meanwhile.
  void obey(const Context& context, const Control& control, State& state) const {
    RiskAccount& account = edit_account(state);
    if (control.request != 0 && control.request <= account.request) return;
    if (control.kind == ControlKind::kSet) return set(control, state);
    const bool is_done = act(context, control, account, state);
    if (control.request == 0) return;
    account.request = control.request;
    account.refused = is_done ? 0 : 1;
  }

  /// Does what a control says; false if that is refused.
  bool act(const Context& context, const Control& control, RiskAccount& account,
           State& state) const {
    switch (control.kind) {
      case ControlKind::kFlow: {
        if (control.index > currencies_.count())
          throw std::invalid_argument("control " + std::to_string(control.header.sequence) +
                                      ": index was " + std::to_string(control.index) +
                                      ", must be at most " + std::to_string(currencies_.count()));
        const bool is_booked =
            control.index == 0
                ? book_flow(account, control.amount)
                : book_flow(account, state.edit<RiskCurrency>(kCurrencies, control.index - 1),
                            control.amount);
        check_conservation(state);
        return is_booked;
      }
      case ControlKind::kResume:
        account.resumed = 1;
        resume(account, settings_, context.now_ns);
        return true;
      case ControlKind::kReset: return reset(account, settings_, control.amount == 1);
      case ControlKind::kReconciled:
        account.unreconciled = control.amount == 1 ? 0 : 1;
        return true;
      case ControlKind::kApply: return apply(control, account, state);
      case ControlKind::kSet: break;
    }
    throw std::invalid_argument("control " + std::to_string(control.header.sequence) +
                                ": kind was " + std::to_string(static_cast<int>(control.kind)) +
                                ", must be in 1 .. 6");
  }

  /// Keeps what a limit is to be; nothing is compared with it yet.
  void set(const Control& control, State& state) const {
    if (control.index >= configured_.count())
      throw std::invalid_argument("control " + std::to_string(control.header.sequence) +
                                  ": index was " + std::to_string(control.index) +
                                  ", must be below " + std::to_string(configured_.count()));
    auto& limit = state.edit<RiskLimit>(kLimits, control.index);
    limit.request = control.request;
    limit.next = control.amount;
  }

  /// Puts the limits in force that this request has set. `see_limits` follows with the next step.
  static bool apply(const Control& control, RiskAccount& account, State& state) {
    for (std::size_t i = 0; i < state.count(kLimits); ++i) {
      if (const auto& limit = state.read<RiskLimit>(kLimits, i);
          limit.request == 0 || limit.request != control.request)
        continue;
      auto& limit = state.edit<RiskLimit>(kLimits, i);
      limit = {1, limit.next, 0, 0};
    }
    account.limits += 1;
    return true;
  }

  /// The limits in force are state; what lies here is as those cells say, for as long as nobody
  /// changes them.
  void see_limits(const State& state) {
    limits_ = configured_;
    for (std::size_t i = 0; i < configured_.count(); ++i)
      if (const auto& limit = state.read<RiskLimit>(kLimits, i); limit.changed != 0)
        limits_.at(i) = limit.value;
    applied_ = account(state).limits;
  }

  // --- ticks ----------------------------------------------------------------------------------

  void look(const Context& context, State& state, Emit& emit) const {
    RiskAccount& account = edit_account(state);
    account.tick_ns = context.now_ns;
    resume(account, settings_, context.now_ns);
    if (!is_valid(context)) {
      if (const std::uint32_t number = currencies_.converts[context.instrument]; number != 0)
        state.edit<RiskCurrency>(kCurrencies, number - 1).invalid = 1;
      return;
    }
    mark(context, state);
    if (closes_positions(context)) flatten(context, state, emit);
  }

  /// Takes a valid mark: if it is far from the last one, only after another that is near it. Nothing
  /// else moves the high-water mark, and only up.
  void mark(const Context& context, State& state) const {
    const std::uint32_t index = context.instrument;
    const Quote& quote = context.quote;
    auto& held = state.edit<RiskInstrument>(kInstruments, index);
    if (held.bid != 0 && is_jump(held.bid, held.ask, quote, settings_.jump_bp) &&
        (held.jump_bid == 0 || is_jump(held.jump_bid, held.jump_ask, quote, settings_.jump_bp))) {
      held.jump_bid = quote.bid;
      held.jump_ask = quote.ask;
      return;
    }
    held.jump_bid = held.jump_ask = 0;
    if (settings_.spread_factor != 0) measure_spread(quote, index, state);
    RiskAccount& account = edit_account(state);
    if (held.bid != quote.bid || held.ask != quote.ask) {
      see(quote, held);
      revalue_in(account, edit_currency(index, state), held, index);
      judge(account, settings_);
      expose(index, quote.bid, quote.ask, state);
    }
    if (const std::uint32_t number = currencies_.converts[index]; number != 0)
      see_rate(number, quote, index, state);
    account.high_water_e12 = std::max(account.high_water_e12, account.nav_e12);
  }

  /// Takes what a mark says of the currency that its instrument converts: what there is of it is worth
  /// another amount, and so are the worst cases in it.
  void see_rate(std::uint32_t number, const Quote& quote, std::uint32_t index, State& state) const {
    auto& currency = state.edit<RiskCurrency>(kCurrencies, number - 1);
    const Instrument& by = instruments_[index];
    const std::int64_t bid = checked("bid_e8", product(quote.bid, by.tick_e8));
    const std::int64_t ask = checked("ask_e8", product(quote.ask, by.tick_e8));
    currency.seen_ns = quote.link_ns;
    currency.invalid = 0;
    if (bid == currency.bid_e8 && ask == currency.ask_e8) return;
    const bool is_first = !has_rate(currency);
    currency.bid_e8 = bid;
    currency.ask_e8 = ask;
    RiskAccount& account = edit_account(state);
    if (is_first)
      join(account, currency);
    else
      convert(account, currency);
    judge(account, settings_);
    for (std::uint32_t i = 0; i < instruments_.size(); ++i)
      if (currencies_.quoted[i] == number)
        if (const auto& held = state.read<RiskInstrument>(kInstruments, i); held.worst_bid != 0)
          expose(i, held.worst_bid, held.worst_ask, state);
  }

  static void measure_spread(const Quote& quote, std::uint32_t index, State& state) {
    auto& spreads = state.edit<RiskSpreads>(kSpreads, index);
    spreads.value[spreads.count++ % RiskSpreads::kMost] = static_cast<std::int64_t>(
        (Wide{quote.ask} - quote.bid) * 2'000'000 / (Wide{quote.ask} + quote.bid));
    if (spreads.count < RiskSpreads::kMost) return;
    std::int64_t sorted[RiskSpreads::kMost];
    std::copy_n(spreads.value, RiskSpreads::kMost, sorted);
    std::nth_element(sorted, sorted + RiskSpreads::kMost / 2, sorted + RiskSpreads::kMost);
    state.edit<RiskInstrument>(kInstruments, index).spread_e6 =
        std::max<std::int64_t>(1, sorted[RiskSpreads::kMost / 2]);
  }

  /// Closes a position whole, by an order that is nobody's intent. If nothing comes of it, the next
  /// tick tries again. Money is reserved, but need not be there: it must not keep us in.
  void flatten(const Context& context, State& state, Emit& emit) const {
    const std::uint32_t index = context.instrument;
    const auto& held = state.read<RiskInstrument>(kInstruments, index);
    const bool buys = held.position < 0;
    if (held.position == 0 || (buys ? held.reserved_buy : held.reserved_sell) != 0) return;
    if (context.halted != 0 || !admission_.admits(context, index, true)) return;
    if (account(state).open_orders >= state.count(kOrders) ||
        held.under_way >= RiskInstrument::kOrders)
      return;

    Intent intent{};
    intent.header.instrument = index;
    intent.header.received_ns = context.now_ns;  // no record led to it: its way begins here
    intent.side = buys ? Side::kBuy : Side::kSell;
    intent.reduce_only = 1;
    intent.quantity = checked("quantity", buys ? -Wide{held.position} : Wide{held.position});
    Verdict verdict;
    verdict.reducing = true;
    verdict.limit = buys ? collar(context.quote.ask, 1, settings_.collar_bp)
                         : collar(context.quote.bid, -1, settings_.collar_bp);
    if (buys) verdict.cost = cost_e8(verdict.limit, intent.quantity, instruments_[index]);
    Order order = reserve(intent, verdict, state);
    expose_order(intent, context, state);
    emit(kOrdersOut, order);
  }

  bool is_valid(const Context& context) const {
    return is_fresh(context.quote, context.now_ns, settings_.stale_ns) &&
           !is_crossed(context.quote);
  }

  static void see(const Quote& quote, RiskInstrument& held) {
    held.bid = quote.bid;
    held.ask = quote.ask;
  }

  // --- places ---------------------------------------------------------------------------------

  static std::uint64_t place(std::int64_t of) { return static_cast<std::uint64_t>(of); }
  std::uint64_t signal_of(const Intent& intent) const {
    return intent.strategy * instruments_.size() + intent.header.instrument;
  }
  static const RiskOrder& order_of(std::uint64_t order_id, const State& state) {
    return state.read<RiskOrder>(kOrders, order_id % state.count(kOrders));
  }
  /// That of an instrument's prices; null if it is the account's own.
  const RiskCurrency* currency(std::uint32_t index, const State& state) const {
    const std::uint32_t number = currencies_.quoted[index];
    return number == 0 ? nullptr : &state.read<RiskCurrency>(kCurrencies, number - 1);
  }
  RiskCurrency* edit_currency(std::uint32_t index, State& state) const {
    const std::uint32_t number = currencies_.quoted[index];
    return number == 0 ? nullptr : &state.edit<RiskCurrency>(kCurrencies, number - 1);
  }
  std::int64_t& reserved_of(std::uint32_t index, State& state) const {
    RiskCurrency* const of = edit_currency(index, state);
    return of == nullptr ? edit_account(state).reserved_e8 : of->reserved_e8;
  }
  /// Values a position, and what there is of its currency with it.
  void revalue_in(RiskAccount& account, RiskCurrency* of, RiskInstrument& held,
                  std::uint32_t index) const {
    if (of == nullptr) return revalue(account, held, instruments_[index]);
    revalue(*of, held, instruments_[index]);
    convert(account, *of);
  }
  static std::string in(std::uint32_t number) {
    return number == 0 ? std::string() : " in currency " + std::to_string(number);
  }
  std::size_t words() const { return (instruments_.size() + 63) / 64; }

  static std::int64_t clipped(Wide value) {
    using Limits = std::numeric_limits<std::int64_t>;
    return static_cast<std::int64_t>(std::clamp<Wide>(value, Limits::min(), Limits::max()));
  }

  const RiskOpening opening_;
  const Currencies currencies_;
  const RiskLimits configured_;
  RiskLimits limits_;      // in force
  const RiskSettings& settings_ = limits_.settings;
  std::uint64_t applied_ = 0;  // changes that limits_ has seen
  const Admission admission_;
  const std::vector<Instrument> instruments_;
  const KeptCorrelations correlations_{kCorrelations, instruments_.size()};
};

}  // namespace bot4
