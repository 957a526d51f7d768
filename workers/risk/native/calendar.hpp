// Days, weeks and months of UTC, from a venue's clock.
#pragma once

#include <cstdint>

namespace bot4 {

inline constexpr std::int64_t kDayNs = 86'400'000'000'000;

/// Of a day since 1970: the number of its week, which begins on Monday.
constexpr std::int64_t week_of(std::int64_t day) { return (day + 3) / 7; }

/// Of a day since 1970: 12 * year + month. From H. Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days; for days >= 0.
constexpr std::int64_t month_of(std::int64_t day) {
  const std::int64_t shifted = day + 719'468;  // since 0000-03-01
  const std::int64_t era = shifted / 146'097;
  const std::int64_t of_era = shifted % 146'097;
  const std::int64_t year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const std::int64_t from_march = (5 * of_year + 2) / 153;
  const std::int64_t month = from_march < 10 ? from_march + 3 : from_march - 9;
  return 12 * (year + era * 400 + (month <= 2 ? 1 : 0)) + month;
}

}  // namespace bot4
