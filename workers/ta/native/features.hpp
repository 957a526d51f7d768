// The list of features: which value of a Features row is what. workers/ta/features.py is the same
// list for Python. Whoever changes its meaning or order raises the version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "../../../pipeline/native/records.hpp"

namespace bot4 {

inline constexpr std::uint32_t kFeaturesVersion = 1;

/// Prices are in ticks of the instrument, shares and ratios without unit.
enum class Feature : std::uint8_t {
  kSmaFast,    // mean of the last `fast` closes
  kSmaSlow,    // of the last `slow`
  kEmaSlow,    // exponential mean of the closes, alpha = 2 / (slow + 1)
  kRsi,        // 0 .. 100
  kAtr,        // Wilder's average true range
  kReturn,     // close / previous close - 1
  kSpread,     // (ask - bid) / mid
  kImbalance,  // -1 .. 1: (bid quantity - ask quantity) / (their sum)
};
inline constexpr std::size_t kFeatures = 8;
static_assert(kFeatures <= Features::kMost);

inline std::uint64_t bit_of(Feature feature) {
  return std::uint64_t{1} << static_cast<unsigned>(feature);
}

inline bool has(const Features& row, Feature feature) { return (row.valid & bit_of(feature)) != 0; }

inline double value_of(const Features& row, Feature feature) {
  return row.value[static_cast<std::size_t>(feature)];
}

/// Sets a value and says that it is valid.
inline void set(Features& row, Feature feature, double value) {
  row.value[static_cast<std::size_t>(feature)] = value;
  row.valid |= bit_of(feature);
}

}  // namespace bot4
