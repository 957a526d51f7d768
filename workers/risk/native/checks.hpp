// Whether an intent may become an order: every check of kChecks, all of them each time, so that the
// answer names all that is wrong. A pure function of plain values; workers/risk/checks.py is the same
// in slow, obvious Python, and workers/risk/README.md has the formulas in a table.
#pragma once

#include <algorithm>
#include <limits>

#include "../../../pipeline/native/mode.hpp"
#include "../../../pipeline/native/money.hpp"
#include "../../../pipeline/native/vocabulary.hpp"
#include "currency.hpp"
#include "limits.hpp"
#include "portfolio.hpp"
#include "pricing.hpp"
#include "state.hpp"
#include "verdict.hpp"

namespace bot4 {

/// Whether GCRA lets one more through: a burst at most before the interval counts.
constexpr bool conforms(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t interval_ns,
                        std::int64_t burst) {
  return interval_ns == 0 || now_ns >= Wide{tat_ns} - Wide{interval_ns} * (burst - 1);
}

inline bool is_well_formed(const Intent& intent) {
  return intent.intent_id != 0 && intent.quantity > 0 &&
         (intent.side == Side::kBuy || intent.side == Side::kSell) && intent.limit >= 0 &&
         intent.stop >= 0 && intent.target >= 0 && intent.reduce_only <= 1;
}

namespace detail {

/// The tighter of two limits, of which 0 is none.
constexpr std::int64_t tighter(std::int64_t a, std::int64_t b) {
  return a == 0 ? b : b == 0 ? a : std::min(a, b);
}

constexpr Wide magnitude(Wide value) { return value < 0 ? -value : value; }

/// What depends on the order's price, and on the reference.
inline void check_price(Verdict& verdict, const Intent& intent, const Facts& facts,
                        std::int64_t side, std::int64_t reference, Wide notional) {
  const RiskSettings& settings = facts.settings;
  const Quote& quote = facts.context.quote;
  const std::int64_t wider = verdict.reducing ? 2 : 1;
  if (intent.limit != 0) {
    const Wide beyond = Wide{intent.limit} - reference;
    const auto collared = [&](Denial code, Wide away, std::int64_t sign, std::int64_t share_bp) {
      const Wide most = Wide{reference} * share_bp;
      verdict.check_by(code, away * kBasisPoints > most, [&] {
        return Compared{intent.limit, reference + sign * floor_div(most, kBasisPoints)};
      });
    };
    collared(Denial::kPriceCollar, side * beyond, side, settings.collar_bp * wider);
    collared(Denial::kPassiveCollar, magnitude(beyond), beyond > 0 ? 1 : -1,
             settings.passive_collar_bp);
  }
  // The quote carries the size of the top only: as much is taken to lie at each tick behind it, to
  // the order's limit.
  const std::int64_t size = side > 0 ? quote.ask_quantity : quote.bid_quantity;
  if (settings.slippage_bp != 0 && size > 0 && intent.quantity > size) {
    const Wide away = std::max<Wide>(0, side * (Wide{verdict.limit} - reference));
    const Wide behind = (Wide{intent.quantity} - 1) / size;  // whole ticks that are used up
    const Wide walked = product(product(behind, behind - 1) / 2, size) +
                        product(behind, Wide{intent.quantity} - behind * size);
    const Wide slipped = std::min(walked, product(away, Wide{intent.quantity} - size));
    const Wide worth = product(reference, intent.quantity);
    const std::int64_t most_bp = settings.slippage_bp * wider;
    verdict.check_by(Denial::kSlippage,
                     product(slipped, kBasisPoints) > product(worth, most_bp), [&] {
                       return Compared{ceil_div(product(slipped, kMillionths), worth),
                                       most_bp * (kMillionths / kBasisPoints)};
                     });
  }
  const std::int64_t own = facts.strategy == nullptr ? 0 : facts.strategy->order_notional_e8;
  if (const std::int64_t most = tighter(facts.limits->order_notional_e8, own); most != 0)
    verdict.at_most(Denial::kNotionalMax, measured_e8(notional, facts.currency), most);
}

/// Exposure: with the order and all that is under way filled.
inline void check_exposure(Verdict& verdict, const Intent& intent, const Facts& facts,
                           std::int64_t reference, Wide worst) {
  const RiskSettings& settings = facts.settings;
  const RiskAccount& account = facts.account;
  const RiskInstrument& held = *facts.held;
  const Instrument& instrument = *facts.instrument;
  const bool buys = intent.side == Side::kBuy;
  const Sides at = sides_of(held, buys, reference);
  const Wide exposure =
      measured_e8(notional_e8(reference, magnitude(worst), instrument), facts.currency);
  if (verdict.failed == 0) {
    verdict.value = exposure;
    verdict.bound = account.equity_e8;
  }
  verdict.at_most_of(Denial::kPositionSize, exposure, account.equity_e8,
                     facts.limits->position_bp);

  const WorstCase after = worst_case(
      held.position, Wide{held.reserved_buy} + (buys ? intent.quantity : 0),
      Wide{held.reserved_sell} + (buys ? 0 : intent.quantity), at.bid, at.ask, instrument,
      facts.currency);
  const Wide added = after.gross() - std::max(held.long_e8, held.short_e8);
  const Wide gross = account.gross_e8 + added;
  const Wide longs = account.long_e8 + after.long_e8 - held.long_e8;
  const Wide shorts = account.short_e8 + after.short_e8 - held.short_e8;
  if (settings.gross_e8 != 0) {
    verdict.at_most(Denial::kGross, gross, settings.gross_e8);
    if (settings.concentration_bp != 0)
      verdict.at_most_of(Denial::kConcentration, exposure, settings.gross_e8,
                         settings.concentration_bp);
  }
  if (settings.directional_e8 != 0)
    verdict.at_most(Denial::kDirectional, buys ? longs : shorts, settings.directional_e8);
  if (settings.venue_e8 != 0)
    verdict.at_most(Denial::kVenue, facts.venue->gross_e8 + added, settings.venue_e8);
  if (settings.asset_class_e8 != 0)
    verdict.at_most(Denial::kAssetClass, facts.asset_class->gross_e8 + added,
                    settings.asset_class_e8);
  if (settings.leverage_bp != 0)
    verdict.at_most_of(Denial::kLeverage, gross, account.equity_e8, settings.leverage_bp);
  if (settings.margin_bp != 0 && after.short_e8 > held.short_e8)
    verdict.check_by(Denial::kMargin,
                     shorts * settings.margin_bp > Wide{account.equity_e8} * kBasisPoints, [&] {
                       return Compared{ceil_div(shorts * settings.margin_bp, kBasisPoints),
                                       account.equity_e8};
                     });
}

/// Stop and target, and what is lost at the stop.
inline void check_loss(Verdict& verdict, const Intent& intent, const Facts& facts,
                       std::int64_t side, std::int64_t reference, Wide notional) {
  const RiskSettings& settings = facts.settings;
  const RiskAccount& account = facts.account;
  const Instrument& instrument = *facts.instrument;
  const Wide distance = side * (Wide{reference} - intent.stop);
  const Wide farthest = Wide{reference} * facts.limits->stop_distance_bp;
  // Either would close the position as soon as it is there.
  const bool stop_is_wrong = intent.stop != 0 && distance <= 0;
  const bool target_is_wrong =
      intent.target != 0 && side * (Wide{intent.target} - reference) <= 0;
  verdict.check(Denial::kWrongSide, stop_is_wrong || target_is_wrong,
                stop_is_wrong ? intent.stop : intent.target, reference);
  if (intent.stop != 0) {
    verdict.check_by(Denial::kStopTooFar, distance * kBasisPoints > farthest, [&] {
      return Compared{intent.stop, reference - side * floor_div(farthest, kBasisPoints)};
    });
  }
  // Without a stop the loss is taken to end where the farthest one would be.
  const auto ticks = static_cast<std::int64_t>(std::min<Wide>(
      intent.stop != 0 ? magnitude(distance) : ceil_div(farthest, kBasisPoints),
      std::numeric_limits<std::int64_t>::max()));
  verdict.at_risk =
      measured_e8(notional_e8(ticks, intent.quantity, instrument), facts.currency);
  if (facts.strategy != nullptr && facts.strategy->risk_bp != 0) {
    const Wide out = notional_e8(intent.stop != 0 ? intent.stop : reference, intent.quantity,
                                 instrument);
    const Wide fees = std::max<Wide>(0, fee_e8(notional, instrument.taker_fee_e8)) +
                      std::max<Wide>(0, fee_e8(out, instrument.taker_fee_e8));
    verdict.at_most_of(Denial::kRiskPerTrade, verdict.at_risk + measured_e8(fees, facts.currency),
                       account.equity_e8, facts.strategy->risk_bp);
  }
  const Wide worst = account.equity_e8 - (account.at_risk_e8 + verdict.at_risk);
  const auto period = [&](Denial code, std::int64_t open_e8, std::int64_t limit_e8) {
    if (limit_e8 != 0)
      verdict.check(code, worst - open_e8 <= -Wide{limit_e8}, worst - open_e8, -Wide{limit_e8});
  };
  period(Denial::kDaily, account.day_open_e8, settings.daily_e8);
  period(Denial::kWeekly, account.week_open_e8, settings.weekly_e8);
  period(Denial::kMonthly, account.month_open_e8, settings.monthly_e8);
}

/// The spread of the mid price.
inline void check_spread(Verdict& verdict, const Quote& quote, Wide most_e6) {
  const Wide twice = (Wide{quote.ask} - quote.bid) * 2 * kMillionths;
  const Wide sum = Wide{quote.ask} + quote.bid;
  verdict.check_by(Denial::kSpreadWide, twice > sum * most_e6, [&] {
    return Compared{sum > 0 ? ceil_div(twice, sum) : 0, most_e6};
  });
}

/// How often, and how many.
inline void check_counts(Verdict& verdict, const Intent& intent, const Facts& facts) {
  const RiskSettings& settings = facts.settings;
  const RiskAccount& account = facts.account;
  const RiskInstrument& held = *facts.held;
  const std::int64_t now = facts.context.now_ns;
  if (settings.dup_count != 0) {
    const RiskRecent& recent = *facts.recent;
    std::int64_t equal = 0;
    for (std::uint64_t i = 1; i <= RiskRecent::kMost; ++i) {
      const std::uint64_t at = (recent.next - i) % RiskRecent::kMost;
      if (recent.at_ns[at] == 0 || Wide{now} - recent.at_ns[at] >= settings.dup_ns) break;
      equal += recent.strategy[at] == intent.strategy &&
               recent.side[at] == static_cast<std::int8_t>(intent.side) &&
               recent.quantity[at] == intent.quantity && recent.limit[at] == intent.limit;
    }
    verdict.check(Denial::kDupEconomic, equal >= settings.dup_count, equal,
                  settings.dup_count);
  }
  const auto rate = [&](Denial code, std::int64_t tat, std::int64_t interval, std::int64_t burst) {
    // For how long not, and how often on average.
    verdict.check(code, !conforms(tat, now, interval, burst),
                  Wide{tat} - Wide{interval} * (burst - 1) - now, interval);
  };
  if (facts.strategy != nullptr) {
    rate(Denial::kRateStrategy, facts.pace->tat_ns, facts.strategy->rate_ns,
         facts.strategy->rate_burst);
    const std::int64_t before =
        facts.signal->side == static_cast<std::int64_t>(intent.side) ? facts.signal->count : 0;
    verdict.check(Denial::kRepeatedExec,
                  settings.repeated != 0 && before >= settings.repeated, before,
                  settings.repeated);
  }
  rate(Denial::kRateSymbol, held.tat_ns, settings.symbol_ns, settings.symbol_burst);
  rate(Denial::kRateVenue, facts.venue->tat_ns, settings.venue_ns, settings.venue_burst);
  rate(Denial::kRateGlobal, account.tat_ns, settings.global_ns, settings.global_burst);
  const bool is_new = held.position == 0 && held.reserved_buy == 0 && held.reserved_sell == 0;
  verdict.check(Denial::kMaxPositions,
                settings.positions != 0 && is_new && account.positions >= settings.positions,
                account.positions, settings.positions);
  verdict.check(Denial::kPerSymbol,
                settings.per_symbol != 0 && held.entries >= settings.per_symbol, held.entries,
                settings.per_symbol);
  verdict.check(Denial::kCorrelation,
                settings.correlated != 0 && facts.correlated >= settings.correlated,
                facts.correlated, settings.correlated);
  verdict.check_by(Denial::kDrawdown, account.drawdown != 0, [&] {
    return Compared{drawdown_e6(account), Wide{settings.drawdown_bp} * (kMillionths / kBasisPoints)};
  });
  verdict.check(Denial::kConsecLosses, settings.losses != 0 && account.losses >= settings.losses,
                account.losses, settings.losses);
  verdict.check(Denial::kCooldown, now < held.cooldown_until_ns,
                Wide{held.cooldown_until_ns} - now, 0);
}

}  // namespace detail

/// Evaluates all checks. With a bad field or an unknown instrument only what needs neither is
/// checked; without a reference price, only what needs none.
inline Verdict evaluate(const Intent& intent, const Facts& facts) {
  const Context& context = facts.context;
  const RiskSettings& settings = facts.settings;
  const RiskAccount& account = facts.account;
  const Quote& quote = context.quote;
  const bool is_sound = is_well_formed(intent);
  Verdict verdict;
  verdict.check(Denial::kBadField, !is_sound);
  verdict.check(Denial::kUnknownInstrument, facts.instrument == nullptr);
  verdict.check(Denial::kRestricted,
                facts.strategy == nullptr || facts.strategy->halted != 0 ||
                    (facts.instrument != nullptr &&
                     facts.strategy->trades[intent.header.instrument] == 0),
                intent.strategy);
  verdict.at_most(Denial::kIntentExpired, Wide{context.now_ns} - intent.created_ns,
                  intent.ttl_ns);
  verdict.at_most(Denial::kStateStale, Wide{context.now_ns} - account.tick_ns,
                  settings.state_stale_ns);
  verdict.check(Denial::kDupId, facts.is_id_used);
  // Risk may be in a higher one by itself.
  const auto mode = std::max(account.mode, static_cast<std::uint64_t>(mode_of(context)));
  const auto check_killed = [&](bool failing) {
    verdict.check(Denial::kKilled, failing, mode, context.halted != 0 ? 1 : account.killed);
  };
  if (!is_sound || facts.instrument == nullptr) {
    check_killed(is_killed(context, false, false) || account.killed != 0);
    return verdict;
  }

  const Instrument& instrument = *facts.instrument;
  const InstrumentLimits& limits = *facts.limits;
  const RiskInstrument& held = *facts.held;
  const bool buys = intent.side == Side::kBuy;
  const std::int64_t side = buys ? 1 : -1;
  // The order, and what is under way on its side, all filled.
  const Wide same_side = Wide{buys ? held.reserved_buy : held.reserved_sell} + intent.quantity;
  const Wide worst = held.position + side * same_side;
  const bool reducing = buys ? held.position < 0 && worst <= 0 : held.position > 0 && worst >= 0;
  const std::int64_t reference = buys ? quote.ask : quote.bid;
  const bool priced = reference > 0;
  verdict.reducing = reducing;
  verdict.reference = reference;
  verdict.limit = intent.limit != 0 ? intent.limit
                  : priced          ? collar(reference, side, settings.collar_bp)
                                    : 0;

  verdict.check(Denial::kHalted, limits.halted != 0);
  const bool flagged = intent.reduce_only == 1;
  check_killed(is_killed(context, reducing, flagged) ||
               (account.killed != 0 && !(reducing && flagged)));
  verdict.check(Denial::kReduceOnlyIncreases, flagged && !reducing, held.position, same_side);
  verdict.check_by(Denial::kBreakerOpen,
                   !facts.admission.admits(context, intent.header.instrument, reducing), [&] {
                     return Compared{context.global,
                                     facts.admission.blocking(context, intent.header.instrument)};
                   });
  std::int64_t off = 0;  // the first price that is no multiple
  for (const std::int64_t price : {intent.limit, intent.stop, intent.target})
    if (off == 0 && price % limits.price_step != 0) off = price;
  verdict.check(Denial::kBadTick, off != 0, off, limits.price_step);
  verdict.check(Denial::kBadLot, intent.quantity % limits.quantity_step != 0, intent.quantity,
                limits.quantity_step);
  verdict.check(Denial::kQtyMin, intent.quantity < limits.min_lots, intent.quantity,
                limits.min_lots);
  verdict.check(Denial::kQtyMax, limits.max_lots != 0 && intent.quantity > limits.max_lots,
                intent.quantity, limits.max_lots);
  verdict.check(Denial::kMarketStale, !is_fresh(quote, context.now_ns, settings.stale_ns),
                Wide{context.now_ns} - quote.link_ns, settings.stale_ns);
  verdict.check(Denial::kMarketCrossed, is_crossed(quote), quote.bid, quote.ask);
  verdict.check(Denial::kOrderQtyMax,
                limits.order_lots != 0 && intent.quantity > limits.order_lots, intent.quantity,
                limits.order_lots);
  if (limits.adv_lots != 0)
    verdict.at_most_of(Denial::kAdv, intent.quantity, limits.adv_lots, settings.adv_bp);
  verdict.check(Denial::kSelfTrade,
                !reducing && facts.opposite != 0 && (verdict.limit == 0 ||
                                        (buys ? verdict.limit >= facts.opposite
                                              : verdict.limit <= facts.opposite)),
                verdict.limit, facts.opposite);
  const auto under_way = static_cast<std::int64_t>(held.under_way);
  const auto open_orders = static_cast<std::int64_t>(account.open_orders);
  const bool is_all = open_orders >= settings.open_orders || under_way < settings.symbol_orders;
  verdict.check(Denial::kOpenOrders,
                !facts.has_free_cell || (!reducing && (open_orders >= settings.open_orders ||
                                                       under_way >= settings.symbol_orders)),
                is_all ? open_orders : under_way,
                is_all ? settings.open_orders : settings.symbol_orders);
  const Wide notional = priced ? notional_e8(reference, intent.quantity, instrument) : 0;
  if (priced) detail::check_price(verdict, intent, facts, side, reference, notional);
  if (buys) {
    verdict.cost = cost_e8(verdict.limit, intent.quantity, instrument);
    verdict.at_most(Denial::kBuyingPower, verdict.cost,
                    facts.currency == nullptr
                        ? Wide{account.cash_e8} - account.reserved_e8
                        : Wide{facts.currency->cash_e8} - facts.currency->reserved_e8);
  }
  if (reducing) return verdict;

  // In another currency the rate has to be as fresh; if both are old, the quote is what is told.
  if (facts.currency != nullptr && (verdict.failed & bit_of(Denial::kMarketStale)) == 0) {
    const Wide age = Wide{context.now_ns} - facts.currency->seen_ns;
    verdict.check(Denial::kMarketStale,
                  !has_rate(*facts.currency) || facts.currency->invalid != 0 ||
                      age > settings.stale_ns,
                  age, settings.stale_ns);
  }

  verdict.check(Denial::kNotReconciled, account.unreconciled != 0);
  // If it is risk's own, with the code that led there.
  const std::uint64_t because = account.mode == mode ? account.mode_code : 0;
  verdict.check(Denial::kModePaused, mode == static_cast<std::uint64_t>(Mode::kPaused), mode,
                because);
  verdict.check(Denial::kModeReduceOnly, mode >= static_cast<std::uint64_t>(Mode::kReduced), mode,
                because);
  verdict.check(Denial::kStopRequired, settings.stop_required != 0 && intent.stop == 0);
  detail::check_counts(verdict, intent, facts);
  if (settings.spread_factor != 0 && held.spread_e6 != 0)
    detail::check_spread(verdict, quote, Wide{held.spread_e6} * settings.spread_factor);
  if (!priced) return verdict;

  verdict.check(Denial::kNotionalMin, notional < instrument.min_notional_e8, notional,
                instrument.min_notional_e8);
  detail::check_exposure(verdict, intent, facts, reference, worst);
  detail::check_loss(verdict, intent, facts, side, reference, notional);
  return verdict;
}

}  // namespace bot4
