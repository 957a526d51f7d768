// The codes of refusals, in the order in which the checks are made; the bit of a check in a mask of
// failures is its place in this list, from 0. pipeline/vocabulary.py is the same list for Python.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>

namespace bot4 {

/// How much may still be done. What is automatic only goes up; down needs an operator.
enum class Mode : std::uint64_t { kNormal = 0, kPaused = 1, kReduced = 2, kEmergency = 3 };

enum class Denial : std::uint16_t {
  kNone = 0,
  kBadField = 101,
  kUnknownInstrument = 102,
  kHalted = 103,
  kRestricted = 110,
  kKilled = 201,
  kNotReconciled = 205,
  kModePaused = 202,
  kModeReduceOnly = 203,
  kReduceOnlyIncreases = 207,
  kBreakerOpen = 204,
  kStateStale = 206,
  kIntentExpired = 109,
  kBadTick = 104,
  kBadLot = 105,
  kQtyMin = 106,
  kQtyMax = 107,
  kMarketStale = 301,
  kMarketCrossed = 302,
  kSpreadWide = 303,
  kPriceCollar = 401,
  kPassiveCollar = 402,
  kNotionalMin = 108,
  kNotionalMax = 403,
  kOrderQtyMax = 404,
  kAdv = 405,
  kSlippage = 406,
  kDupId = 501,
  kDupEconomic = 502,
  kSelfTrade = 503,
  kRateStrategy = 601,
  kRateSymbol = 602,
  kRateVenue = 603,
  kRateGlobal = 604,
  kRepeatedExec = 605,
  kOpenOrders = 709,
  kPositionSize = 701,
  kGross = 702,
  kDirectional = 703,
  kVenue = 704,
  kAssetClass = 705,
  kLeverage = 706,
  kMaxPositions = 707,
  kPerSymbol = 708,
  kConcentration = 710,
  kBuyingPower = 711,
  kMargin = 712,
  kCorrelation = 713,
  kStopRequired = 801,
  kWrongSide = 802,
  kStopTooFar = 803,
  kRiskPerTrade = 804,
  kDaily = 805,
  kWeekly = 806,
  kMonthly = 807,
  kDrawdown = 808,
  kConsecLosses = 809,
  kCooldown = 810,
};

inline constexpr Denial kChecks[] = {
    Denial::kBadField,
    Denial::kUnknownInstrument,
    Denial::kHalted,
    Denial::kRestricted,
    Denial::kKilled,
    Denial::kNotReconciled,
    Denial::kModePaused,
    Denial::kModeReduceOnly,
    Denial::kReduceOnlyIncreases,
    Denial::kBreakerOpen,
    Denial::kStateStale,
    Denial::kIntentExpired,
    Denial::kBadTick,
    Denial::kBadLot,
    Denial::kQtyMin,
    Denial::kQtyMax,
    Denial::kMarketStale,
    Denial::kMarketCrossed,
    Denial::kSpreadWide,
    Denial::kPriceCollar,
    Denial::kPassiveCollar,
    Denial::kNotionalMin,
    Denial::kNotionalMax,
    Denial::kOrderQtyMax,
    Denial::kAdv,
    Denial::kSlippage,
    Denial::kDupId,
    Denial::kDupEconomic,
    Denial::kSelfTrade,
    Denial::kRateStrategy,
    Denial::kRateSymbol,
    Denial::kRateVenue,
    Denial::kRateGlobal,
    Denial::kRepeatedExec,
    Denial::kOpenOrders,
    Denial::kPositionSize,
    Denial::kGross,
    Denial::kDirectional,
    Denial::kVenue,
    Denial::kAssetClass,
    Denial::kLeverage,
    Denial::kMaxPositions,
    Denial::kPerSymbol,
    Denial::kConcentration,
    Denial::kBuyingPower,
    Denial::kMargin,
    Denial::kCorrelation,
    Denial::kStopRequired,
    Denial::kWrongSide,
    Denial::kStopTooFar,
    Denial::kRiskPerTrade,
    Denial::kDaily,
    Denial::kWeekly,
    Denial::kMonthly,
    Denial::kDrawdown,
    Denial::kConsecLosses,
    Denial::kCooldown,
};

namespace detail {
inline constexpr auto kBits = [] {
  std::array<std::uint64_t, 1024> bits{};
  for (std::size_t i = 0; i < std::size(kChecks); ++i)
    bits[static_cast<std::size_t>(kChecks[i])] = std::uint64_t{1} << i;
  return bits;
}();
}  // namespace detail

/// The bit of a check in a mask of failures.
constexpr std::uint64_t bit_of(Denial code) {
  const auto place = static_cast<std::size_t>(code);
  return place < detail::kBits.size() ? detail::kBits[place] : 0;
}

}  // namespace bot4
