// The limits, as integers: rates in basis points, money in 1e-8, times in ns. 0 switches a limit off
// where that makes sense. workers/risk/settings.py makes them from the configuration, says what each
// means, and whether the limit itself still passes.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <vector>

namespace bot4 {

#define BOT4_RISK_SETTINGS(X)                                                                    \
  X(open_orders) X(symbol_orders) X(stale_ns) X(state_stale_ns) X(spread_factor)                 \
  X(collar_bp) X(passive_collar_bp) X(slippage_bp) X(adv_bp) X(dup_count) X(dup_ns)              \
  X(symbol_ns) X(symbol_burst) X(venue_ns) X(venue_burst) X(global_ns) X(global_burst)           \
  X(repeated) X(gross_e8) X(directional_e8) X(venue_e8) X(asset_class_e8) X(leverage_bp)         \
  X(positions) X(per_symbol) X(concentration_bp) X(margin_bp) X(correlated) X(correlation_bp)    \
  X(correlation_samples) X(stop_required) X(daily_e8) X(weekly_e8) X(monthly_e8) X(drawdown_bp)  \
  X(reduce_bp) X(reduced_bp) X(losses) X(losses_ns) X(losses_resume) X(stop_cooldown_ns)         \
  X(low_profit_trips) X(low_profit_e8) X(low_profit_ns) X(jump_bp)

#define BOT4_INSTRUMENT_LIMITS(X)                                                             \
  X(venue) X(asset_class) X(halted) X(price_step) X(quantity_step) X(min_lots) X(max_lots)     \
  X(position_bp) X(stop_distance_bp) X(order_notional_e8) X(order_lots) X(adv_lots)

#define BOT4_STRATEGY_LIMITS(X) X(halted) X(order_notional_e8) X(risk_bp) X(rate_ns) X(rate_burst)

/// What an account begins a run with.
#define BOT4_RISK_OPENING(X)                                                                  \
  X(equity_e8) X(units) X(high_water_e12) X(day) X(week) X(month) X(day_open_e8)               \
  X(week_open_e8) X(month_open_e8) X(losses) X(mode) X(mode_code) X(killed) X(drawdown)

#define BOT4_FIELD(name) std::int64_t name;

struct RiskSettings {
  BOT4_RISK_SETTINGS(BOT4_FIELD)
};
struct InstrumentLimits {
  BOT4_INSTRUMENT_LIMITS(BOT4_FIELD)
};
struct StrategyLimits {
  BOT4_STRATEGY_LIMITS(BOT4_FIELD)
  std::vector<std::uint8_t> trades;  // per instrument, whether it may
};

struct RiskOpening {
  BOT4_RISK_OPENING(BOT4_FIELD)
};

#undef BOT4_FIELD

struct RiskLimits {
  RiskSettings settings;
  std::vector<InstrumentLimits> instruments;
  std::vector<StrategyLimits> strategies;

  /// How many of them have a number: the account's, each instrument's, then each strategy's.
  std::size_t count() const {
    return std::size(kSettings) + instruments.size() * std::size(kInstrument) +
           strategies.size() * std::size(kStrategy);
  }
  /// The one of that number, which is below count().
  std::int64_t& at(std::size_t index) {
    if (index < std::size(kSettings)) return settings.*kSettings[index];
    index -= std::size(kSettings);
    const std::size_t of_instruments = instruments.size() * std::size(kInstrument);
    if (index < of_instruments)
      return instruments[index / std::size(kInstrument)].*kInstrument[index % std::size(kInstrument)];
    index -= of_instruments;
    return strategies[index / std::size(kStrategy)].*kStrategy[index % std::size(kStrategy)];
  }

#define BOT4_MEMBER(name) &Of::name,
  static constexpr auto kSettings = [] {
    using Of = RiskSettings;
    return std::to_array<std::int64_t Of::*>({BOT4_RISK_SETTINGS(BOT4_MEMBER)});
  }();
  static constexpr auto kInstrument = [] {
    using Of = InstrumentLimits;
    return std::to_array<std::int64_t Of::*>({BOT4_INSTRUMENT_LIMITS(BOT4_MEMBER)});
  }();
  static constexpr auto kStrategy = [] {
    using Of = StrategyLimits;
    return std::to_array<std::int64_t Of::*>({BOT4_STRATEGY_LIMITS(BOT4_MEMBER)});
  }();
#undef BOT4_MEMBER
};

}  // namespace bot4
