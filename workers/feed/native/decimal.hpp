// Decimals as venues write them, to integer ticks and lots and back: exact, or refused. No floats.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

namespace bot4 {

/// digits / 10^decimals: what was written, trailing zeros included.
struct Decimal {
  /// Of digits that count, and of decimals. What has more is refused.
  static constexpr unsigned kMost = 18;

  std::uint64_t digits = 0;
  std::uint8_t decimals = 0;
};

/// Reads `0.00150000` or `62593`: no sign, no exponent, no needless zero in front, as JSON has it. Moves
/// `at` behind it. False if there is none at `at`, or it is too long.
inline bool scan_decimal(const char*& at, const char* end, Decimal& out) {
  constexpr std::uint64_t kRoomForOneMore = 100'000'000'000'000'000;  // 10^(kMost - 1)
  const char* here = at;
  const auto is_digit = [&] { return here != end && static_cast<unsigned char>(*here - '0') <= 9; };
  std::uint64_t digits = 0;
  if (!is_digit()) return false;
  if (*here == '0') {
    ++here;
    if (is_digit()) return false;
  }
  for (; is_digit(); ++here) {
    if (digits >= kRoomForOneMore) return false;
    digits = digits * 10 + static_cast<unsigned char>(*here - '0');
  }
  std::ptrdiff_t decimals = 0;
  if (here != end && *here == '.') {
    const char* const point = here++;
    for (; is_digit(); ++here) {
      if (digits >= kRoomForOneMore) return false;
      digits = digits * 10 + static_cast<unsigned char>(*here - '0');
    }
    decimals = here - point - 1;
    if (decimals == 0 || decimals > static_cast<std::ptrdiff_t>(Decimal::kMost)) return false;
  }
  out = {digits, static_cast<std::uint8_t>(decimals)};
  at = here;
  return true;
}

inline constexpr std::array<std::uint64_t, 19> kPowersOfTen = [] {
  std::array<std::uint64_t, 19> powers{};
  powers[0] = 1;
  for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

/// A tick or a lot: `unit` / 10^places of a currency. Turns decimals into a number of them.
class Scale {
 public:
  Scale(std::uint64_t unit, unsigned places) {
    if (unit == 0 || unit > kMostUnits || places > Decimal::kMost)
      throw std::invalid_argument("a step was " + std::to_string(unit) + "e-" +
                                  std::to_string(places) + ", must be 1 .. 2**63 - 1 of 1e-0 .. 1e-18");
    for (unsigned decimals = 0; decimals <= Decimal::kMost; ++decimals) {
      // digits / 10^decimals = units * unit / 10^places, hence units = digits * times / by.
      std::uint64_t times = 1, by = unit;
      if (decimals <= places) {
        times = kPowersOfTen[places - decimals];
      } else if (__builtin_mul_overflow(unit, kPowersOfTen[decimals - places], &by)) {
        by = 0;  // a step of so many digits at that place that nothing but 0 is a multiple
      }
      const std::uint64_t common = by == 0 ? 1 : std::gcd(times, by);
      ratios_[decimals] = {times / common, by / common};
    }
  }

  /// False if it is no multiple of the step, or does not fit int64.
  bool units(Decimal decimal, std::int64_t& out) const {
    const Ratio ratio = ratios_[decimal.decimals];
    std::uint64_t units = decimal.digits;
    if (ratio.by != 1) {
      if (ratio.by == 0) {
        if (units != 0) return false;
      } else {
        // `times` and `by` have no common divisor, so `by` has to divide the digits alone.
        if (units % ratio.by != 0) return false;
        units /= ratio.by;
      }
    }
    if (ratio.times != 1 && __builtin_mul_overflow(units, ratio.times, &units)) return false;
    if (units > kMostUnits) return false;
    out = static_cast<std::int64_t>(units);
    return true;
  }

  /// How many whole steps it has. False if they do not fit int64.
  bool whole_units(Decimal decimal, std::int64_t& out) const {
    const Ratio ratio = ratios_[decimal.decimals];
    __extension__ using Wide = unsigned __int128;
    const Wide units = ratio.by == 0 ? 0 : static_cast<Wide>(decimal.digits) * ratio.times / ratio.by;
    if (units > kMostUnits) return false;
    out = static_cast<std::int64_t>(units);
    return true;
  }

  /// The digits that so many units had when they were written with `decimals`: the way back.
  std::uint64_t digits(std::int64_t units, std::uint8_t decimals) const {
    const Ratio ratio = ratios_[decimals];
    return static_cast<std::uint64_t>(units) / ratio.times * ratio.by;
  }

 private:
  static constexpr std::uint64_t kMostUnits = std::numeric_limits<std::int64_t>::max();

  struct Ratio {
    std::uint64_t times, by;
  };
  std::array<Ratio, Decimal::kMost + 1> ratios_;
};

}  // namespace bot4
