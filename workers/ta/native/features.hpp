// The list of features: which value of a Features row is what. workers/ta/features.py is the same
// list for Python, and explains it. Whoever changes its meaning or order raises the version.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "../../../pipeline/native/records.hpp"

namespace bot4 {

inline constexpr std::uint32_t kFeaturesVersion = 2;

// First what a strategy reads off a chart, levels in ticks and volumes in lots; then what a model
// reads, where neither the price nor the calm of a market shows.
#define BOT4_FEATURES(X)                                                                          \
  X(kSmaFast, "sma_fast")                                                                         \
  X(kSmaSlow, "sma_slow")                                                                         \
  X(kEmaSlow, "ema_slow")                                                                         \
  X(kMacd, "macd")                                                                                \
  X(kMacdSignal, "macd_signal")                                                                   \
  X(kMacdHistogram, "macd_histogram")                                                             \
  X(kRsi, "rsi")                                                                                  \
  X(kBollingerMiddle, "bollinger_middle")                                                         \
  X(kBollingerUpper, "bollinger_upper")                                                           \
  X(kBollingerLower, "bollinger_lower")                                                           \
  X(kAtr, "atr")                                                                                  \
  X(kAdx, "adx")                                                                                  \
  X(kDiPlus, "di_plus")                                                                           \
  X(kDiMinus, "di_minus")                                                                         \
  X(kStochasticK, "stochastic_k")                                                                 \
  X(kStochasticD, "stochastic_d")                                                                 \
  X(kObv, "obv")                                                                                  \
  X(kVwap, "vwap")                                                                                \
  X(kCci, "cci")                                                                                  \
  X(kMfi, "mfi")                                                                                  \
  X(kKeltnerMiddle, "keltner_middle")                                                             \
  X(kKeltnerUpper, "keltner_upper")                                                               \
  X(kKeltnerLower, "keltner_lower")                                                               \
  X(kDonchianUpper, "donchian_upper")                                                             \
  X(kDonchianLower, "donchian_lower")                                                             \
  X(kRoc, "roc")                                                                                  \
  X(kWilliamsR, "williams_r")                                                                     \
  X(kReturn, "return")                                                                            \
  X(kSignedVolume, "signed_volume")                                                               \
  X(kVolatility, "volatility")                                                                    \
  X(kSpread, "spread")                                                                            \
  X(kMicroprice, "microprice")                                                                    \
  X(kImbalance, "imbalance")                                                                      \
  X(kSignedVolumeShare, "signed_volume_share")                                                    \
  X(kSmaFastDistance, "sma_fast_distance")                                                        \
  X(kSmaSlowDistance, "sma_slow_distance")                                                        \
  X(kEmaSlowDistance, "ema_slow_distance")                                                        \
  X(kVwapDistance, "vwap_distance")                                                               \
  X(kMacdScaled, "macd_scaled")                                                                   \
  X(kMacdHistogramScaled, "macd_histogram_scaled")                                                \
  X(kReturnScaled, "return_scaled")                                                               \
  X(kRocScaled, "roc_scaled")                                                                     \
  X(kBollingerWidth, "bollinger_width")                                                           \
  X(kAtrRatio, "atr_ratio")                                                                       \
  X(kRsiBalance, "rsi_balance")                                                                   \
  X(kDiBalance, "di_balance")                                                                     \
  X(kAdxShare, "adx_share")                                                                       \
  X(kStochasticBalance, "stochastic_balance")                                                     \
  X(kBollingerPosition, "bollinger_position")                                                     \
  X(kDonchianPosition, "donchian_position")                                                       \
  X(kCciScaled, "cci_scaled")                                                                     \
  X(kMfiBalance, "mfi_balance")                                                                   \
  X(kObvBalance, "obv_balance")                                                                   \
  X(kVolumeRatio, "volume_ratio")

enum class Feature : std::uint8_t {
#define BOT4_FEATURE(feature, name) feature,
  BOT4_FEATURES(BOT4_FEATURE)
#undef BOT4_FEATURE
};

inline constexpr const char* kFeatureNames[] = {
#define BOT4_FEATURE(feature, name) name,
    BOT4_FEATURES(BOT4_FEATURE)
#undef BOT4_FEATURE
};
inline constexpr std::size_t kFeatures = sizeof kFeatureNames / sizeof *kFeatureNames;
static_assert(kFeatures <= Features::kMost);

inline std::uint64_t bit_of(Feature feature) {
  return std::uint64_t{1} << static_cast<unsigned>(feature);
}

inline bool has(const Features& row, Feature feature) { return (row.valid & bit_of(feature)) != 0; }

inline double value_of(const Features& row, Feature feature) {
  return row.value[static_cast<std::size_t>(feature)];
}

/// Sets a value and says that it is valid. One that is not finite, as prices near the largest double
/// can make it, stays invalid.
inline void set(Features& row, Feature feature, double value) {
  if (!std::isfinite(value)) return;
  row.value[static_cast<std::size_t>(feature)] = value;
  row.valid |= bit_of(feature);
}

}  // namespace bot4
