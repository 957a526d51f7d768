// Times as Kraken and Coinbase write them, `2026-06-19T05:45:47.859908Z`, in ns since 1970.
#pragma once

#include <cstdint>
#include <string_view>

namespace bot4 {

/// False unless it is a time of 1970 .. 2199 in UTC with at most 9 decimals.
inline bool to_unix_ns(std::string_view text, std::int64_t& out) {
  const auto number = [&](std::size_t first, std::size_t count, unsigned& value) {
    value = 0;
    for (std::size_t i = first; i < first + count; ++i) {
      if (text[i] < '0' || text[i] > '9') return false;
      value = value * 10 + static_cast<unsigned>(text[i] - '0');
    }
    return true;
  };
  constexpr std::size_t kSeconds = 19;  // up to and with them
  unsigned year, month, day, hour, minute, second;
  if (text.size() <= kSeconds || text.back() != 'Z' || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T' || text[13] != ':' || text[16] != ':' || !number(0, 4, year) ||
      !number(5, 2, month) || !number(8, 2, day) || !number(11, 2, hour) || !number(14, 2, minute) ||
      !number(17, 2, second))
    return false;
  constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 ||
      day > kDays[month - 1] + (month == 2 && leap ? 1u : 0u) || hour > 23 || minute > 59 || second > 59)
    return false;
  std::int64_t days = 0;
  for (unsigned m = 1; m < month; ++m) days += kDays[m - 1];
  if (leap && month > 2) ++days;
  const std::int64_t before = year - 1;
  constexpr std::int64_t kBefore1970 = 1969 * 365 + 1969 / 4 - 1969 / 100 + 1969 / 400;
  days += before * 365 + before / 4 - before / 100 + before / 400 - kBefore1970 + day - 1;

  std::int64_t fraction = 0;
  if (text.size() > kSeconds + 1) {
    const std::size_t decimals = text.size() - kSeconds - 2;
    unsigned value;
    if (text[kSeconds] != '.' || decimals < 1 || decimals > 9 || !number(kSeconds + 1, decimals, value))
      return false;
    fraction = value;
    for (std::size_t i = decimals; i < 9; ++i) fraction *= 10;
  }
  const std::int64_t seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
  out = seconds * 1'000'000'000 + fraction;
  return true;
}

}  // namespace bot4
