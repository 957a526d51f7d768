// The closing of positions on ticks, in slices: how much of one is to go, and which part of that next.
// workers/risk/closing.py is the same in slow, obvious Python.
#pragma once

#include <algorithm>
#include <limits>

#include "../../../pipeline/native/mode.hpp"
#include "ledger.hpp"
#include "pricing.hpp"
#include "reservations.hpp"

namespace bot4::risk {

namespace detail {

/// The most lots of up to `lots` that `fits` holds for, or 0. Of what fits, less does too.
template <class Fits>
std::int64_t most_lots(std::int64_t lots, const Fits& fits) {
  if (fits(lots)) return lots;
  std::int64_t least = 0, beyond = lots;
  while (beyond - least > 1) {
    const std::int64_t middle = least + (beyond - least) / 2;
    (fits(middle) ? least : beyond) = middle;
  }
  return least;
}

/// What an order may be, in lots: `least` and `largest` are the venue's, `most` is what our own limits
/// leave of that.
struct Bounds {
  Wide step, least, most, largest;
};

constexpr Wide floor_to(Wide lots, Wide step) { return lots - lots % step; }

/// For orders at a limit that close up to so many lots.
inline Bounds bounds_of(const Ledger& ledger, std::uint32_t index, std::int64_t lots,
                        std::int64_t limit, const State& state) {
  const Instrument& instrument = ledger.instruments[index];
  const InstrumentLimits& limits = ledger.limits().instruments[index];
  const RiskCurrency* currency = ledger.currency(index, state);
  const auto or_any = [](Wide most) {
    return most == 0 ? Wide{std::numeric_limits<std::int64_t>::max()} : most;
  };
  const Wide too_few = most_lots(lots, [&](std::int64_t of) {
    return of < limits.min_lots ||
           notional_e8(limit, of, instrument) < instrument.min_notional_e8;
  });
  Bounds bounds{.step = limits.quantity_step, .least = 0, .most = lots,
                .largest = or_any(limits.max_lots)};
  bounds.least = floor_to(too_few, bounds.step) + bounds.step;
  if (limits.order_notional_e8 != 0)
    bounds.most = most_lots(lots, [&](std::int64_t of) {
      return measured_e8(notional_e8(limit, of, instrument), currency) <= limits.order_notional_e8;
    });
  bounds.most = std::min({bounds.most, bounds.largest, or_any(limits.order_lots)});
  if (limits.adv_lots != 0)
    bounds.most = std::min(bounds.most, floor_div(Wide{limits.adv_lots} * ledger.settings().adv_bp,
                                                  kBasisPoints));
  bounds.most = std::max(floor_to(bounds.most, bounds.step), bounds.least);
  return bounds;
}

/// What is to go of a position in REDUCED if a share of equity may stay, by the value that the limit of
/// a position goes by. Nothing stays that the venue would not take by itself; nor does less go.
inline Wide excess(const Ledger& ledger, const Context& context, bool is_long, std::int64_t lots,
                   const Bounds& bounds, const State& state) {
  const std::uint32_t index = context.instrument;
  const std::int64_t reference = is_long ? context.quote.ask : context.quote.bid;
  const Wide share = Wide{account(state).equity_e8} * ledger.settings().reduced_bp;
  const Wide staying = most_lots(lots, [&](std::int64_t of) {
    const Wide value = notional_e8(reference, of, ledger.instruments[index]);
    return measured_e8(value, ledger.currency(index, state)) * kBasisPoints <= share;
  });
  if (staying == lots) return 0;
  const Wide going =
      std::min<Wide>(lots, floor_to(lots - staying + bounds.step - 1, bounds.step));
  const Wide gone = lots - going < bounds.least ? lots : going;
  return gone < bounds.least ? 0 : gone;
}

/// The next order of those that close so many lots: as large as may be, but so that the venue takes
/// what is behind it too.
inline Wide slice(Wide lots, const Bounds& bounds) {
  if (lots <= bounds.most) return lots;
  if (lots - bounds.most >= bounds.least) return bounds.most;
  const Wide smaller = floor_to(lots - bounds.least, bounds.step);
  if (smaller >= bounds.least) return smaller;
  return lots <= bounds.largest ? lots : bounds.most;
}

}  // namespace detail

/// Closes a position, or the part of it that is to go, by an order that is nobody's intent: a slice,
/// whose end the next one waits for. If nothing comes of it, the next tick tries again. Money is
/// reserved, but need not be there: it must not keep us in. Out of the way of the steps that decide.
[[gnu::noinline, gnu::cold]] inline void flatten(const Ledger& ledger, const Context& context,
                                                 State& state, Emit& emit) {
  const std::uint32_t index = context.instrument;
  const auto& held = state.read<RiskInstrument>(kInstruments, index);
  const bool buys = held.position < 0;
  if (held.position == 0 || (buys ? held.reserved_buy : held.reserved_sell) != 0) return;
  if (context.halted != 0 || !ledger.admission.admits(context, index, true)) return;
  if (account(state).open_orders >= state.count(kOrders) ||
      held.under_way >= RiskInstrument::kOrders)
    return;

  const std::int64_t lots =
      checked("quantity", buys ? -Wide{held.position} : Wide{held.position});
  Verdict verdict;
  verdict.reducing = true;
  verdict.limit = buys ? collar(context.quote.ask, 1, ledger.settings().collar_bp)
                       : collar(context.quote.bid, -1, ledger.settings().collar_bp);
  const detail::Bounds bounds = detail::bounds_of(ledger, index, lots, verdict.limit, state);
  const bool shrinks = mode_of(context) == Mode::kReduced && ledger.settings().reduced_bp != 0;
  const Wide going =
      shrinks ? detail::excess(ledger, context, !buys, lots, bounds, state) : Wide{lots};
  if (going == 0) return;

  Intent intent{};
  intent.header.instrument = index;
  intent.header.received_ns = context.now_ns;  // no record led to it: its way begins here
  intent.side = buys ? Side::kBuy : Side::kSell;
  intent.reduce_only = 1;
  intent.quantity = checked("quantity", detail::slice(going, bounds));
  if (buys) verdict.cost = cost_e8(verdict.limit, intent.quantity, ledger.instruments[index]);
  Order order = reserve(ledger, intent, verdict, state);
  expose_order(ledger, intent, context, state);
  emit(kOrdersOut, order);
}

}  // namespace bot4::risk
