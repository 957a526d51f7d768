// Money as integers: from ticks and lots to 1e-8 of the quote currency, each rounding said by name.
// pipeline/money.py is the same in Python.
//
// A product of a price and a quantity is made in 128 bits and saturates far beyond what any account
// holds, so an absurd intent fails the checks for its size instead of wrapping around them. What is
// stored is held to int64 by `checked`, which throws: a balance that does not fit is no balance.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "records.hpp"

namespace bot4 {

using Wide = __int128;

inline constexpr std::int64_t kE8 = 100'000'000;
inline constexpr std::int64_t kBasisPoints = 10'000;

/// The largest magnitude that `product` gives. Exact for all that fits int64 after a division by
/// 1e8, and small enough for a multiplication by basis points.
inline constexpr Wide kSaturated = Wide{1} << 100;

/// a * b, its magnitude no larger than kSaturated.
constexpr Wide product(Wide a, Wide b) {
  Wide exact = 0;
  if (!__builtin_mul_overflow(a, b, &exact)) return std::clamp(exact, -kSaturated, kSaturated);
  return (a < 0) == (b < 0) ? kSaturated : -kSaturated;
}

/// a / b towards minus infinity; b > 0.
constexpr Wide floor_div(Wide a, Wide b) {
  const Wide quotient = a / b;
  return a - quotient * b < 0 ? quotient - 1 : quotient;  // a % b would divide once more
}

/// a / b towards plus infinity; b > 0.
constexpr Wide ceil_div(Wide a, Wide b) { return -floor_div(-a, b); }

/// a / 1e8 towards minus infinity: what floor_div(a, kE8) is, which would call the library. 2^8 is
/// shifted off, then 5^8 divided by in long division, whose steps have 64 bits and a constant: of
/// those the compiler makes multiplications.
constexpr Wide floor_e8(Wide a) {
  constexpr std::uint64_t kDivisor = 390'625;  // 5^8; a remainder and 32 bits more fit 64
  const bool is_negative = a < 0;
  // -a - 1, so that rounding down is rounding down: floor(a / n) == -floor((-a - 1) / n) - 1.
  const auto magnitude = static_cast<unsigned __int128>(is_negative ? ~a : a) >> 8;
  const auto high = static_cast<std::uint64_t>(magnitude >> 64);
  const auto low = static_cast<std::uint64_t>(magnitude);
  const std::uint64_t upper = high % kDivisor << 32 | low >> 32;
  const std::uint64_t lower = upper % kDivisor << 32 | (low & 0xffff'ffff);
  const auto quotient = static_cast<Wide>(static_cast<unsigned __int128>(high / kDivisor) << 64) +
                        (static_cast<Wide>(upper / kDivisor) << 32) + lower / kDivisor;
  return is_negative ? ~quotient : quotient;
}

constexpr Wide ceil_e8(Wide a) { return -floor_e8(-a); }

/// Price times quantity in 1e-16.
constexpr Wide exact_e16(std::int64_t ticks, Wide lots, const Instrument& instrument) {
  // What is usual needs one wide multiplication; the rest takes the long way to the same number.
  const auto narrow = static_cast<std::int64_t>(lots);
  std::int64_t size = 0, step = 0;
  if (narrow == lots && !__builtin_mul_overflow(ticks, narrow, &size) &&
      !__builtin_mul_overflow(instrument.tick_e8, instrument.lot_e8, &step))
    return std::clamp(Wide{size} * step, -kSaturated, kSaturated);
  return product(product(product(ticks, lots), instrument.tick_e8), instrument.lot_e8);
}

/// What a quantity at a price is worth, rounded up: the measure of limits and fees.
constexpr Wide notional_e8(std::int64_t ticks, Wide lots, const Instrument& instrument) {
  return ceil_e8(exact_e16(ticks, lots, instrument));
}

/// The money that a signed quantity is, rounded against us: an asset down, a debt up.
constexpr Wide amount_e8(std::int64_t ticks, Wide lots, const Instrument& instrument) {
  return floor_e8(exact_e16(ticks, lots, instrument));
}

/// The fee on a notional at a rate in 1e-8, rounded up; negative for a rebate.
constexpr Wide fee_e8(Wide notional, std::int64_t rate_e8) {
  return ceil_e8(product(notional, rate_e8));
}

inline std::string to_text(Wide value) {
  std::string digits;
  // Digit by digit from the magnitude's end, each made positive: the most negative has no opposite.
  for (Wide rest = value; rest != 0 || digits.empty(); rest /= 10) {
    const int digit = static_cast<int>(rest % 10);
    digits.insert(digits.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
  }
  return value < 0 ? "-" + digits : digits;
}

/// Whether a value is one of int64.
constexpr bool fits(Wide value) {
  return value >= std::numeric_limits<std::int64_t>::min() &&
         value <= std::numeric_limits<std::int64_t>::max();
}

[[noreturn, gnu::cold]] inline void refuse_overflow(const char* what, Wide value) {
  throw std::overflow_error(std::string(what) + " was " + to_text(value) + ", must fit int64");
}

/// The value as int64.
///
/// Throws std::overflow_error if it does not fit.
inline std::int64_t checked(const char* what, Wide value) {
  const auto narrow = static_cast<std::int64_t>(value);
  if (narrow != value) refuse_overflow(what, value);
  return narrow;
}

}  // namespace bot4
