// Whether an intent may become an order: every check of kChecks, all of them each time, so that the
// answer names all that is wrong. workers/risk/checks.py is the same in slow, obvious Python, with
// the formulas in a table.
#pragma once

#include <bit>
#include <limits>

#include "../../../pipeline/native/admission.hpp"
#include "../../../pipeline/native/mode.hpp"
#include "../../../pipeline/native/money.hpp"
#include "../../../pipeline/native/vocabulary.hpp"
#include "state.hpp"

namespace bot4 {

/// How far from the reference price a market order may trade.
inline constexpr std::int64_t kCollarBp = 500;

/// The feed stands by it, and word came over its link recently: a quiet market is not a stale one.
constexpr bool is_fresh(const Quote& quote, std::int64_t now_ns, std::int64_t stale_ns) {
  return quote.received_ns != 0 && quote.stale == 0 && Wide{now_ns} - quote.link_ns <= stale_ns;
}

constexpr bool is_crossed(const Quote& quote) {
  return quote.bid <= 0 || quote.ask <= 0 || quote.bid >= quote.ask;
}

/// The worst price of a market order, rounded towards the reference.
constexpr std::int64_t collar(std::int64_t reference, std::int64_t side) {
  const Wide price = Wide{reference} * (kBasisPoints + side * kCollarBp);
  if (side < 0) return static_cast<std::int64_t>(ceil_div(price, kBasisPoints));
  return static_cast<std::int64_t>(std::min<Wide>(floor_div(price, kBasisPoints),
                                                  std::numeric_limits<std::int64_t>::max()));
}

/// What a buy costs at most: at its limit, with the fee.
constexpr Wide cost_e8(std::int64_t limit, std::int64_t quantity, const Instrument& instrument) {
  const Wide cost = notional_e8(limit, quantity, instrument);
  return cost + std::max<Wide>(0, fee_e8(cost, instrument.taker_fee_e8));
}

/// What the checks found, and what the order would be.
struct Verdict {
  std::uint64_t failed = 0;  // a bit a check
  std::int64_t limit = 0;
  Wide cost = 0;             // of a buy

  void fail_if(Denial code, bool failing) {
    if (failing) failed |= bit_of(code);
  }
  /// The first failing check in the order of evaluation.
  Denial code() const { return failed == 0 ? Denial::kNone : kChecks[std::countr_zero(failed)]; }
};

/// What an intent is judged by. The instrument and what is held of it are null if it is unknown.
struct Facts {
  const Context& context;
  const RiskSettings& settings;
  const Admission& admission;
  const RiskAccount& account;
  const Instrument* instrument;
  const RiskInstrument* held;
  bool has_free_cell;
};

inline bool is_well_formed(const Intent& intent) {
  return intent.quantity > 0 && (intent.side == Side::kBuy || intent.side == Side::kSell) &&
         intent.limit >= 0 && intent.stop >= 0 && intent.reduce_only <= 1;
}

/// Evaluates all checks. With a bad field or an unknown instrument only what needs neither is
/// checked; without a reference price, only what needs none.
inline Verdict evaluate(const Intent& intent, const Facts& facts) {
  const auto& [context, settings, admission, account, instrument, held, has_free_cell] = facts;
  const Quote& quote = context.quote;
  Verdict verdict;
  verdict.fail_if(Denial::kBadField, !is_well_formed(intent));
  verdict.fail_if(Denial::kUnknownInstrument, instrument == nullptr);
  verdict.fail_if(Denial::kKilled, is_killed(context, true, intent.reduce_only == 1));
  verdict.fail_if(Denial::kIntentExpired,
                  Wide{context.now_ns} - intent.created_ns > intent.ttl_ns);
  if (!is_well_formed(intent) || instrument == nullptr) return verdict;

  const bool buys = intent.side == Side::kBuy;
  const std::int64_t side = buys ? 1 : -1;
  // The order, and what is under way on its side, all filled.
  const Wide same_side = Wide{buys ? held->reserved_buy : held->reserved_sell} + intent.quantity;
  const Wide worst = held->position + side * same_side;
  const bool reducing = buys ? held->position < 0 && worst <= 0 : held->position > 0 && worst >= 0;
  const std::int64_t reference = buys ? quote.ask : quote.bid;
  const bool priced = reference > 0;
  verdict.limit = intent.limit != 0 ? intent.limit : priced ? collar(reference, side) : 0;

  verdict.fail_if(Denial::kKilled, is_killed(context, reducing, intent.reduce_only == 1));
  verdict.fail_if(Denial::kModePaused, is_paused(context, reducing));
  verdict.fail_if(Denial::kModeReduceOnly, is_reduce_only(context, reducing));
  verdict.fail_if(Denial::kReduceOnlyIncreases, intent.reduce_only == 1 && !reducing);
  verdict.fail_if(Denial::kBreakerOpen,
                  !admission.admits(context, intent.header.instrument, reducing));
  verdict.fail_if(Denial::kMarketStale, !is_fresh(quote, context.now_ns, settings.stale_ns));
  verdict.fail_if(Denial::kMarketCrossed, is_crossed(quote));
  verdict.fail_if(Denial::kOpenOrders,
                  !has_free_cell || (!reducing && account.open_orders >= settings.open_orders));
  if (buys) {
    verdict.cost = cost_e8(verdict.limit, intent.quantity, *instrument);
    verdict.fail_if(Denial::kBuyingPower,
                    Wide{account.cash_e8} - account.reserved_e8 < verdict.cost);
  }
  if (reducing) return verdict;

  verdict.fail_if(Denial::kStopRequired, intent.stop == 0);
  verdict.fail_if(Denial::kDrawdown, account.drawdown != 0);
  if (!priced) return verdict;

  verdict.fail_if(Denial::kNotionalMin, notional_e8(reference, intent.quantity, *instrument) <
                                            instrument->min_notional_e8);
  verdict.fail_if(Denial::kPositionSize,
                  notional_e8(reference, worst < 0 ? -worst : worst, *instrument) * kBasisPoints >
                      Wide{account.equity_e8} * settings.position_bp);
  if (intent.stop != 0) {
    const Wide distance = side * (Wide{reference} - intent.stop);
    verdict.fail_if(Denial::kStopWrongSide, distance <= 0);
    verdict.fail_if(Denial::kStopTooFar,
                    distance * kBasisPoints > Wide{reference} * settings.stop_distance_bp);
  }
  return verdict;
}

}  // namespace bot4
