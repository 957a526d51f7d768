// Other currencies than the account's: what they hold, and what that is in the account's money, by the
// quote of the instrument that converts them. workers/risk/currency.py is the same in Python.
#pragma once

#include <cstdint>
#include <vector>

#include "../../../pipeline/native/money.hpp"
#include "state.hpp"

namespace bot4 {

/// What an account begins a run with in another currency.
struct CurrencyOpening {
  std::int64_t balance_e8;
  std::int64_t bid_e8, ask_e8;  // by which it was converted last; 0: never yet
};

/// Which currencies there are besides the account's. Where they have a number it is from 1; 0 is the
/// account's own.
struct Currencies {
  std::vector<std::uint32_t> quoted;    // per instrument: that of its prices
  std::vector<std::uint32_t> converts;  // per instrument: that which its quote converts, or 0
  std::vector<std::uint8_t> is_base;    // per currency: whether its instrument has it as the base
  std::vector<CurrencyOpening> openings;

  std::size_t count() const { return openings.size(); }
};

constexpr bool has_rate(const RiskCurrency& currency) { return currency.bid_e8 != 0; }

/// What an amount of a currency is worth, rounded against us: an asset at the bid and down, a debt at
/// the ask and up. Without a rate it is worth nothing.
constexpr Wide worth_e8(Wide amount, const RiskCurrency& currency) {
  if (!has_rate(currency)) return 0;
  if (currency.is_base != 0)
    return floor_e8(product(amount, amount < 0 ? currency.ask_e8 : currency.bid_e8));
  return floor_div(product(amount, kE8), amount < 0 ? currency.bid_e8 : currency.ask_e8);
}

namespace detail {

/// Out of the way of those for whom there is nothing to convert.
[[gnu::noinline, gnu::cold]] inline Wide converted_e8(Wide amount, const RiskCurrency& currency) {
  return -worth_e8(-amount, currency);
}

}  // namespace detail

/// The measure of limits: at the ask, rounded up; null is the account's own currency.
inline Wide measured_e8(Wide amount, const RiskCurrency* currency) {
  return currency == nullptr ? amount : detail::converted_e8(amount, *currency);
}

}  // namespace bot4
