// The codes of refusals, in the order in which the checks are made; the bit of a check in a mask of
// failures is its place in this list, from 0. pipeline/vocabulary.py is the same list for Python.
#pragma once

#include <cstdint>
#include <iterator>

namespace bot4 {

/// How much may still be done. What is automatic only goes up; down needs an operator.
enum class Mode : std::uint64_t { kNormal = 0, kPaused = 1, kReduced = 2, kEmergency = 3 };

enum class Denial : std::uint16_t {
  kNone = 0,
  kBadField = 101,
  kUnknownInstrument = 102,
  kKilled = 201,
  kModePaused = 202,
  kModeReduceOnly = 203,
  kReduceOnlyIncreases = 207,
  kBreakerOpen = 204,
  kIntentExpired = 109,
  kMarketStale = 301,
  kMarketCrossed = 302,
  kNotionalMin = 108,
  kOpenOrders = 709,
  kPositionSize = 701,
  kBuyingPower = 711,
  kStopRequired = 801,
  kStopWrongSide = 802,
  kStopTooFar = 803,
  kDrawdown = 808,
};

inline constexpr Denial kChecks[] = {
    Denial::kBadField,       Denial::kUnknownInstrument,   Denial::kKilled,
    Denial::kModePaused,     Denial::kModeReduceOnly,      Denial::kReduceOnlyIncreases,
    Denial::kBreakerOpen,
    Denial::kIntentExpired,  Denial::kMarketStale,         Denial::kMarketCrossed,
    Denial::kNotionalMin,    Denial::kOpenOrders,          Denial::kPositionSize,
    Denial::kBuyingPower,    Denial::kStopRequired,        Denial::kStopWrongSide,
    Denial::kStopTooFar,     Denial::kDrawdown,
};

/// The bit of a check in a mask of failures.
constexpr std::uint64_t bit_of(Denial code) {
  for (std::size_t i = 0; i < std::size(kChecks); ++i)
    if (kChecks[i] == code) return std::uint64_t{1} << i;
  return 0;
}

}  // namespace bot4
