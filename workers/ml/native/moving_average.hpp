// The strategy "moving-average": long from where the fast mean crosses above the slow one, flat
// from where it crosses below. workers/ml/strategies.py has the same in Python.
#pragma once

#include <optional>

#include "../../ta/native/features.hpp"
#include "state.hpp"

namespace bot4 {

struct MovingAverage {
  using State = MovingAverageState;

  /// A score in -1 .. 1 where there is a signal.
  static std::optional<double> on_features(const Features& row, State& own) {
    if (!has(row, Feature::kSmaFast) || !has(row, Feature::kSmaSlow) || !has(row, Feature::kAtr))
      return std::nullopt;
    const double fast = value_of(row, Feature::kSmaFast);
    const double slow = value_of(row, Feature::kSmaSlow);
    if (fast == slow) return std::nullopt;
    const std::int64_t before = own.sign;
    own.sign = fast > slow ? 1 : -1;
    // The first sign says on which side the means are, not that they have crossed.
    if (before == 0 || before == own.sign) return std::nullopt;
    return static_cast<double>(own.sign);
  }
};

}  // namespace bot4
