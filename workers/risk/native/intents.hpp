// Deciding on intents: what is known of one is gathered, the checks judge it, and what passes is
// reserved, counted and sent. workers/risk/intents.py is the same in slow, obvious Python.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <limits>

#include "checks.hpp"
#include "ledger.hpp"
#include "reservations.hpp"

namespace bot4::risk {

namespace detail {

inline std::uint64_t signal_of(const Ledger& ledger, const Intent& intent) {
  return intent.strategy * ledger.instruments.size() + intent.header.instrument;
}

/// How many other instruments are held, or may come to be, so that they move with this order.
inline std::int64_t correlated(const Ledger& ledger, std::uint32_t index, int side,
                               const State& state) {
  const std::int16_t* value = ledger.correlations.values(index, state);
  const std::uint16_t* samples = ledger.correlations.samples(index, state);
  const std::uint64_t* open = &state.read<std::uint64_t>(kOpen, 0);
  const RiskSettings& settings = ledger.settings();
  const std::int64_t limit = settings.correlation_bp, fewest = settings.correlation_samples;
  std::uint64_t count = 0;
  for (std::size_t word = 0; word < ledger.words(); ++word) {
    const std::uint64_t self = index / 64 == word ? std::uint64_t{1} << index % 64 : 0;
    // Those that move with the order if rho is above 0, and those that do if it is below.
    const std::uint64_t with = open[side > 0 ? word : ledger.words() + word] & ~self;
    const std::uint64_t against = open[side > 0 ? ledger.words() + word : word] & ~self;
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

inline Facts facts(const Ledger& ledger, const Context& context, const Intent& intent,
                   const State& state) {
  const std::uint32_t index = intent.header.instrument;
  Facts facts{context, ledger.settings(), ledger.admission, account(state)};
  if (intent.strategy < ledger.limits().strategies.size()) {
    facts.strategy = &ledger.limits().strategies[intent.strategy];
    facts.pace = &state.read<RiskStrategy>(kStrategies, intent.strategy);
  }
  if (intent.intent_id != 0)
    facts.is_id_used = state.read<RiskDecision>(
        kDecisions, intent.intent_id % state.count(kDecisions)).intent_id >= intent.intent_id;
  if (index >= ledger.instruments.size()) return facts;
  const auto& held = state.read<RiskInstrument>(kInstruments, index);
  facts.instrument = &ledger.instruments[index];
  facts.limits = &ledger.limits().instruments[index];
  facts.held = &held;
  facts.venue = &state.read<RiskPart>(kVenues, place(facts.limits->venue));
  facts.asset_class = &state.read<RiskPart>(kClasses, place(facts.limits->asset_class));
  facts.recent = &state.read<RiskRecent>(kRecent, index);
  facts.currency = ledger.currency(index, state);
  if (facts.strategy != nullptr)
    facts.signal = &state.read<RiskSignal>(kSignals, signal_of(ledger, intent));
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
  if (ledger.settings().correlated != 0)
    facts.correlated = correlated(ledger, index, buys ? 1 : -1, state);
  return facts;
}

/// Counts an approval towards the rates, and as one of its kind.
inline void spend(const Ledger& ledger, const Context& context, const Intent& intent,
                  const Verdict& verdict, State& state) {
  const RiskSettings& settings = ledger.settings();
  const std::uint32_t index = intent.header.instrument;
  const std::int64_t now = context.now_ns;
  const auto take = [now](std::int64_t& tat, std::int64_t interval) {
    if (interval != 0) tat = std::max(tat, now) + interval;
  };
  const StrategyLimits& strategy = ledger.limits().strategies[intent.strategy];
  take(state.edit<RiskStrategy>(kStrategies, intent.strategy).tat_ns, strategy.rate_ns);
  take(state.edit<RiskInstrument>(kInstruments, index).tat_ns, settings.symbol_ns);
  take(state.edit<RiskPart>(kVenues, place(ledger.limits().instruments[index].venue)).tat_ns,
       settings.venue_ns);
  take(edit_account(state).tat_ns, settings.global_ns);
  auto& signal = state.edit<RiskSignal>(kSignals, signal_of(ledger, intent));
  const auto side = static_cast<std::int64_t>(intent.side);
  signal.count = signal.side == side ? signal.count + 1 : 1;
  signal.side = side;
  if (verdict.reducing || settings.dup_count == 0) return;
  auto& recent = state.edit<RiskRecent>(kRecent, index);
  const std::uint64_t at = recent.next++ % RiskRecent::kMost;
  recent.at_ns[at] = now;
  recent.quantity[at] = intent.quantity;
  recent.limit[at] = intent.limit;
  recent.strategy[at] = intent.strategy;
  recent.side[at] = static_cast<std::int8_t>(intent.side);
}

inline bool is_same(const Intent& intent, const RiskDecision& decision) {
  return decision.instrument == intent.header.instrument &&
         decision.strategy == intent.strategy &&
         decision.side == static_cast<std::int8_t>(intent.side) &&
         decision.reduce_only == intent.reduce_only && decision.quantity == intent.quantity &&
         decision.limit == intent.limit && decision.stop == intent.stop &&
         decision.target == intent.target &&
         decision.created_ns == intent.created_ns && decision.ttl_ns == intent.ttl_ns;
}

inline void repeat(const RiskDecision& decision, Outcome& outcome) {
  const bool denied = decision.failed != 0;
  outcome.kind = denied ? OutcomeKind::kDenied : OutcomeKind::kApproved;
  outcome.order_id = decision.order_id;
  outcome.code = decision.code;
  outcome.failed = decision.failed;
  outcome.price = decision.price;
  outcome.leaves = denied ? 0 : decision.quantity;
}

inline std::int64_t clipped(Wide value) {
  using Limits = std::numeric_limits<std::int64_t>;
  return static_cast<std::int64_t>(std::clamp<Wide>(value, Limits::min(), Limits::max()));
}

inline void remember(const Context& context, const Intent& intent, const Verdict& verdict,
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

}  // namespace detail

inline void decide(const Ledger& ledger, const Context& context, const Intent& intent, State& state,
                   Emit& emit) {
  begin_periods(edit_account(state), intent.header.venue_ns);
  const std::uint32_t index = intent.header.instrument;
  const bool known = index < ledger.instruments.size();
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
  if (was_here && detail::is_same(intent, before)) {
    edit_account(state).repeated += 1;
    detail::repeat(before, outcome);
    emit(kOutcomesOut, outcome);
    return;
  }
  const Verdict verdict = evaluate(intent, detail::facts(ledger, context, intent, state));
  if (verdict.failed != 0) {
    edit_account(state).denied += 1;
    state.edit<RiskCodes>(kCodes, 0).count[std::countr_zero(verdict.failed)] += 1;
    outcome.kind = OutcomeKind::kDenied;
    outcome.code = static_cast<std::uint16_t>(verdict.code());
    outcome.failed = verdict.failed;
    outcome.price = intent.limit;
  } else {
    Order order = reserve(ledger, intent, verdict, state);
    detail::spend(ledger, context, intent, verdict, state);
    expose_order(ledger, intent, context, state);
    outcome.kind = OutcomeKind::kApproved;
    outcome.order_id = order.order_id;
    outcome.price = order.limit;
    outcome.leaves = order.quantity;
    emit(kOrdersOut, order);
  }
  if (intent.intent_id > before.intent_id)
    detail::remember(context, intent, verdict, outcome, state);
  emit(kOutcomesOut, outcome);
}

}  // namespace bot4::risk
