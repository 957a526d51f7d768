// An instrument's mark at each tick, and what it moves: values, worst cases, spreads and rates of
// currencies; then its position is closed if all of them are to be. workers/risk/ticks.py is the same
// in slow, obvious Python.
#pragma once

#include <algorithm>

#include "../../../pipeline/native/mode.hpp"
#include "closing.hpp"
#include "ledger.hpp"
#include "pricing.hpp"
#include "reservations.hpp"

namespace bot4::risk {

namespace detail {

inline void measure_spread(const Quote& quote, std::uint32_t index, State& state) {
  auto& spreads = state.edit<RiskSpreads>(kSpreads, index);
  spreads.value[spreads.count++ % RiskSpreads::kMost] = static_cast<std::int64_t>(
      (Wide{quote.ask} - quote.bid) * 2'000'000 / (Wide{quote.ask} + quote.bid));
  if (spreads.count < RiskSpreads::kMost) return;
  std::int64_t sorted[RiskSpreads::kMost];
  std::copy_n(spreads.value, RiskSpreads::kMost, sorted);
  std::nth_element(sorted, sorted + RiskSpreads::kMost / 2, sorted + RiskSpreads::kMost);
  state.edit<RiskInstrument>(kInstruments, index).spread_e6 =
      std::max<std::int64_t>(1, sorted[RiskSpreads::kMost / 2]);
}

/// Takes what a mark says of the currency that its instrument converts: what there is of it is worth
/// another amount, and so are the worst cases in it.
inline void see_rate(const Ledger& ledger, std::uint32_t number, const Quote& quote,
                     std::uint32_t index, State& state) {
  auto& currency = state.edit<RiskCurrency>(kCurrencies, number - 1);
  const Instrument& by = ledger.instruments[index];
  const std::int64_t bid = checked("bid_e8", product(quote.bid, by.tick_e8));
  const std::int64_t ask = checked("ask_e8", product(quote.ask, by.tick_e8));
  currency.seen_ns = quote.link_ns;
  currency.invalid = 0;
  if (bid == currency.bid_e8 && ask == currency.ask_e8) return;
  const bool is_first = !has_rate(currency);
  currency.bid_e8 = bid;
  currency.ask_e8 = ask;
  RiskAccount& account = edit_account(state);
  if (is_first)
    join(account, currency);
  else
    convert(account, currency);
  judge(account, ledger.settings());
  for (std::uint32_t i = 0; i < ledger.instruments.size(); ++i)
    if (ledger.currencies.quoted[i] == number)
      if (const auto& held = state.read<RiskInstrument>(kInstruments, i); held.worst_bid != 0)
        expose(ledger, i, held.worst_bid, held.worst_ask, state);
}

/// Takes a valid mark: if it is far from the last one, only after another that is near it. Nothing
/// else moves the high-water mark, and only up.
inline void mark(const Ledger& ledger, const Context& context, State& state) {
  const RiskSettings& settings = ledger.settings();
  const std::uint32_t index = context.instrument;
  const Quote& quote = context.quote;
  auto& held = state.edit<RiskInstrument>(kInstruments, index);
  if (held.bid != 0 && is_jump(held.bid, held.ask, quote, settings.jump_bp) &&
      (held.jump_bid == 0 || is_jump(held.jump_bid, held.jump_ask, quote, settings.jump_bp))) {
    held.jump_bid = quote.bid;
    held.jump_ask = quote.ask;
    return;
  }
  held.jump_bid = held.jump_ask = 0;
  if (settings.spread_factor != 0) measure_spread(quote, index, state);
  RiskAccount& account = edit_account(state);
  if (held.bid != quote.bid || held.ask != quote.ask) {
    held.bid = quote.bid;
    held.ask = quote.ask;
    ledger.revalue_in(account, ledger.edit_currency(index, state), held, index);
    judge(account, settings);
    expose(ledger, index, quote.bid, quote.ask, state);
  }
  if (const std::uint32_t number = ledger.currencies.converts[index]; number != 0)
    see_rate(ledger, number, quote, index, state);
  account.high_water_e12 = std::max(account.high_water_e12, account.nav_e12);
}

}  // namespace detail

inline void look(const Ledger& ledger, const Context& context, State& state, Emit& emit) {
  const RiskSettings& settings = ledger.settings();
  RiskAccount& account = edit_account(state);
  account.tick_ns = context.now_ns;
  resume(account, settings, context.now_ns);
  if (!is_valid(context, settings.stale_ns)) {
    if (const std::uint32_t number = ledger.currencies.converts[context.instrument]; number != 0)
      state.edit<RiskCurrency>(kCurrencies, number - 1).invalid = 1;
    return;
  }
  detail::mark(ledger, context, state);
  if (closes_positions(context)) flatten(ledger, context, state, emit);
}

}  // namespace bot4::risk
