// When to enter and when to leave, where stop and target are, and how much: the same for every way
// to score. workers/ml/rules.py is the same in slow, obvious Python, with the formulas' reasons.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "../../../pipeline/native/money.hpp"
#include "../../ta/native/features.hpp"
#include "state.hpp"

namespace bot4 {

/// Shares in 1/10,000; workers/ml/settings.py says what each is.
struct MlSettings {
  std::int64_t weight_bp, enter_bp, leave_bp, cost_margin_bp;
  std::int64_t stop_atr_bp, target_atr_bp;
  std::int64_t volatility_target_bp, kelly_bp, degraded_size_bp;
  std::int64_t cluster_cap_bp, correlation_bp, correlation_samples;
  std::int64_t order_notional_e8, equity_e8;
  std::int64_t ttl_ns;
  std::int64_t model_until_ns;  // 0: it does not become too old
};

/// What bounds an entry in one instrument.
struct EntryCaps {
  std::int64_t notional_e8;
  std::int64_t least_lots, most_lots;  // the venue's; 0: there is none
  std::int64_t step_lots;              // a quantity is a multiple of it
  std::int64_t price_step;             // stop and target are, in ticks
  // What converts the currency of its prices to the account's.
  std::int64_t converter;  // an instrument; -1: they are in the account's
  std::int64_t is_base;    // 1: that has the currency as its base; 0: as that of its prices
};

constexpr double share(std::int64_t bp) { return static_cast<double>(bp) / 10000.0; }

/// What an entry at a row's close would be.
struct Bracket {
  std::int64_t close;
  std::int64_t stop, target;  // ticks
  double loss, gain;          // their distances, in ticks
  double cost;                // of a round trip, in ticks
  double atr;
};

/// The cost of a round trip at the row, as a share of the price: two taker's fees and the spread.
inline double cost_share(const Features& row, const Instrument& instrument) {
  const double fee = static_cast<double>(instrument.taker_fee_e8) / 1e8;
  const double spread = has(row, Feature::kSpread) ? value_of(row, Feature::kSpread) : 0.0;
  return 2.0 * fee + spread;
}

/// None without a price or a range, or room for a stop.
inline std::optional<Bracket> bracket(const Features& row, const MlSettings& settings,
                                      const EntryCaps& caps, const Instrument& instrument) {
  if (row.close < 1 || !has(row, Feature::kAtr)) return std::nullopt;
  constexpr double kMost = 4611686018427387904.0;  // 2^62 ticks
  const double close = static_cast<double>(row.close);
  const double atr = value_of(row, Feature::kAtr);
  // Never below 1, nor beyond int64, before it becomes an integer: a distance may be any size.
  const double below = std::max(1.0, std::floor(close - share(settings.stop_atr_bp) * atr));
  const double above = std::min(kMost, std::ceil(close + share(settings.target_atr_bp) * atr));
  Bracket made{};
  made.close = row.close;
  made.stop = std::max<std::int64_t>(1, std::min(static_cast<std::int64_t>(below), row.close - 1));
  made.target = std::max(static_cast<std::int64_t>(above), row.close + 1);
  // Farther away, to multiples of the step.
  made.stop -= made.stop % caps.price_step;
  if (const std::int64_t beyond = made.target % caps.price_step; beyond != 0)
    made.target += caps.price_step - beyond;
  if (made.stop < 1) return std::nullopt;
  made.loss = static_cast<double>(row.close - made.stop);
  made.gain = static_cast<double>(made.target - row.close);
  made.cost = close * cost_share(row, instrument);
  made.atr = atr;
  return made;
}

/// Whether the move that a score foretells is worth its cost.
inline bool is_worth(double score, const Bracket& entry, const MlSettings& settings) {
  return score * (0.5 * (entry.loss + entry.gain)) >= share(settings.cost_margin_bp) * entry.cost;
}

/// The move by which the risk of a position is measured, in ticks.
inline double measure(const Bracket& entry, const MlSettings& settings) {
  return settings.volatility_target_bp > 0 ? std::max(entry.atr, 1.0)
                                           : static_cast<double>(entry.close);
}

/// What so many lots gain or lose by such a move, in 1e-8.
inline double risk_of(double lots, double move, const Instrument& instrument) {
  return std::abs(lots) * move * static_cast<double>(instrument.tick_e8) *
         static_cast<double>(instrument.lot_e8) / 1e8;
}

/// The most that a cluster may risk, in 1e-8: so many times what one position is to.
inline double cluster_cap(const MlSettings& settings) {
  const double one = settings.volatility_target_bp > 0
                         ? static_cast<double>(settings.equity_e8) *
                               share(settings.volatility_target_bp)
                         : static_cast<double>(settings.order_notional_e8);
  return share(settings.cluster_cap_bp) * one;
}

/// What one of the currency of an instrument's prices is in the account's, at the last close of what
/// converts it; 0: that is not known.
inline double rate_of(const EntryCaps& caps, std::int64_t close, const Instrument& converter) {
  const double price = static_cast<double>(close) * static_cast<double>(converter.tick_e8) / 1e8;
  return caps.is_base != 0 || close == 0 ? price : 1.0 / price;
}

/// Lots to enter with; 0: none. `left` is what the cluster may risk yet, in 1e-8; `rate` what one of
/// the currency of its prices is in the account's.
inline std::int64_t entry_quantity(double score, const Bracket& entry, bool is_degraded,
                                   double left, double rate, const MlSettings& settings, const EntryCaps& caps,
                                   const Instrument& instrument) {
  const double most = static_cast<double>(caps.notional_e8);
  const double equity = static_cast<double>(settings.equity_e8);
  const double close = static_cast<double>(entry.close);
  double notional = most;
  if (settings.volatility_target_bp > 0)
    notional = std::min(notional, equity * share(settings.volatility_target_bp) /
                                      (std::max(entry.atr, 1.0) / close));
  if (settings.kelly_bp > 0) {
    const double chance = std::min(1.0, entry.loss / (entry.loss + entry.gain) + 0.5 * score);
    const double lost = (entry.loss + entry.cost) / close;
    const double won = (entry.gain - entry.cost) / close;
    if (lost <= 0.0 || won <= 0.0) return 0;
    const double fraction = chance / lost - (1.0 - chance) / won;
    if (fraction <= 0.0) return 0;
    notional = std::min(notional, equity * share(settings.kelly_bp) * fraction);
  }
  if (is_degraded) notional = notional * share(settings.degraded_size_bp);
  if (settings.cluster_cap_bp > 0)
    notional = std::min(notional, std::max(left, 0.0) / (measure(entry, settings) / close));
  // What is not below the cap is the cap: as a double that may be beyond int64.
  std::int64_t money = notional < most ? static_cast<std::int64_t>(notional) : caps.notional_e8;
  if (caps.converter >= 0) {
    if (rate <= 0.0) return 0;
    constexpr double kMostMoney = 4611686018427387904.0;  // 2^62
    money = static_cast<std::int64_t>(std::min(static_cast<double>(money) / rate, kMostMoney));
  }
  const Wide lot_value = product(product(entry.close, instrument.tick_e8), instrument.lot_e8);
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  Wide lots = std::min(Wide{money} * kE8 / lot_value, kMost);
  if (caps.most_lots > 0) lots = std::min<Wide>(lots, caps.most_lots);
  lots -= lots % caps.step_lots;
  if (lots < std::max<Wide>(1, caps.least_lots) ||
      notional_e8(entry.close, lots, instrument) < instrument.min_notional_e8)
    return 0;
  return static_cast<std::int64_t>(lots);
}

/// Takes a row into the book of one way to score. Without a score it keeps what it has.
inline void take_into(MlBook& book, std::int64_t close, double cost, std::optional<double> score,
                      const std::optional<Bracket>& entry, const MlSettings& settings) {
  const double cost_bp = cost * 10000.0;
  if (book.position != 0) {
    const double net =
        (static_cast<double>(close) / static_cast<double>(book.entered) - 1.0) * 10000.0 - cost_bp;
    const bool is_closed = close <= book.stop || close >= book.target;
    if (is_closed || (score && *score <= share(settings.leave_bp))) {
      book.result_bp += net;
      book.trades += 1;
      book.position = book.entered = book.stop = book.target = 0;
      book.open_bp = 0.0;
      book.spent = is_closed ? 1 : 0;
    } else {
      book.open_bp = net;
    }
  } else if (score && *score >= share(settings.enter_bp) && book.spent == 0 && entry &&
             is_worth(*score, *entry, settings)) {
    book.position = 1;
    book.entered = close;
    book.stop = entry->stop;
    book.target = entry->target;
    book.open_bp = -cost_bp;
  }
  if (score && *score < share(settings.enter_bp)) book.spent = 0;
}

}  // namespace bot4
