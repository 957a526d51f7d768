// The strategy "blend": with the trend where there is one, against the swing where there is none.
// workers/ml/strategies.py has the same in Python, and says why.
#pragma once

#include <algorithm>
#include <optional>

#include "../../ta/native/features.hpp"

namespace bot4 {

struct Blend {
  struct State {};  // it remembers nothing

  /// A score in -1 .. 1 at each row that has what it takes.
  static std::optional<double> on_features(const Features& row, State&) {
    for (const Feature needed :
         {Feature::kEmaSlowDistance, Feature::kMacdHistogramScaled, Feature::kRsiBalance,
          Feature::kBollingerPosition, Feature::kAdxShare})
      if (!has(row, needed)) return std::nullopt;
    const double trend = 0.5 * limited(value_of(row, Feature::kEmaSlowDistance) / 2.0) +
                         0.5 * limited(value_of(row, Feature::kMacdHistogramScaled) / 0.25);
    const double swing = 0.5 * limited(value_of(row, Feature::kRsiBalance) / 0.4) +
                         0.5 * limited(value_of(row, Feature::kBollingerPosition));
    const double strength = std::clamp((value_of(row, Feature::kAdxShare) - 0.15) / 0.15, 0.0, 1.0);
    return strength * trend - (1.0 - strength) * swing;
  }

 private:
  static double limited(double value) { return std::clamp(value, -1.0, 1.0); }
};

}  // namespace bot4
