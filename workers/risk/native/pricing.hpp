// Whether a quote may be relied on, what an order costs by it at most, and what a position may come to
// be worth. workers/risk/pricing.py is the same in slow, obvious Python.
#pragma once

#include <algorithm>
#include <limits>

#include "../../../pipeline/native/money.hpp"
#include "../../../pipeline/native/records.hpp"
#include "currency.hpp"
#include "state.hpp"

namespace bot4 {

/// The feed stands by it, and word came over its link recently: a quiet market is not a stale one.
constexpr bool is_fresh(const Quote& quote, std::int64_t now_ns, std::int64_t stale_ns) {
  return quote.received_ns != 0 && quote.stale == 0 && Wide{now_ns} - quote.link_ns <= stale_ns;
}

constexpr bool is_crossed(const Quote& quote) {
  return quote.bid <= 0 || quote.ask <= 0 || quote.bid >= quote.ask;
}

/// Whether a step's quote is one to go by.
constexpr bool is_valid(const Context& context, std::int64_t stale_ns) {
  return is_fresh(context.quote, context.now_ns, stale_ns) && !is_crossed(context.quote);
}

/// The worst price of a market order, rounded towards the reference.
constexpr std::int64_t collar(std::int64_t reference, std::int64_t side, std::int64_t collar_bp) {
  const Wide price = Wide{reference} * (kBasisPoints + side * collar_bp);
  if (side < 0) return static_cast<std::int64_t>(ceil_div(price, kBasisPoints));
  return static_cast<std::int64_t>(std::min<Wide>(floor_div(price, kBasisPoints),
                                                  std::numeric_limits<std::int64_t>::max()));
}

/// What a buy costs at most: at its limit, with the fee.
constexpr Wide cost_e8(std::int64_t limit, std::int64_t quantity, const Instrument& instrument) {
  const Wide cost = notional_e8(limit, quantity, instrument);
  return cost + std::max<Wide>(0, fee_e8(cost, instrument.taker_fee_e8));
}

/// What an instrument adds to the worst cases: each side as if all its open orders filled.
struct WorstCase {
  Wide long_e8 = 0, short_e8 = 0;
  Wide gross() const { return std::max(long_e8, short_e8); }
};

inline WorstCase worst_case(Wide position, Wide buys, Wide sells, std::int64_t bid,
                            std::int64_t ask, const Instrument& instrument,
                            const RiskCurrency* currency) {
  WorstCase worst{notional_e8(ask, std::max<Wide>(0, position + buys), instrument),
                  notional_e8(bid, std::max<Wide>(0, sells - position), instrument)};
  if (currency != nullptr)
    worst = {measured_e8(worst.long_e8, currency), measured_e8(worst.short_e8, currency)};
  return worst;
}

/// The prices by which an order's worst case is valued: that of its own side is the one it was
/// judged by; of the other nothing new is believed.
struct Sides {
  std::int64_t bid, ask;
};

constexpr Sides sides_of(const RiskInstrument& held, bool buys, std::int64_t reference) {
  if (buys) return {held.worst_bid != 0 ? held.worst_bid : reference, reference};
  return {reference, held.worst_ask != 0 ? held.worst_ask : reference};
}

}  // namespace bot4
