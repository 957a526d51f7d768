// What the account is worth, in units that deposits and withdrawals do not change the price of, and
// what follows from a loss. workers/risk/portfolio.py is the same in slow, obvious Python.
#pragma once

#include "../../../pipeline/native/vocabulary.hpp"
#include "calendar.hpp"
#include "book.hpp"
#include "currency.hpp"

namespace bot4 {

inline constexpr std::int64_t kE12 = 1'000'000'000'000;

inline constexpr std::int64_t kMillionths = 1'000'000;  // in which shares are told

/// Moves to a mode, if that is up.
inline void raise_mode(RiskAccount& account, Mode mode, Denial because) {
  if (static_cast<std::uint64_t>(mode) <= account.mode) return;
  account.mode = static_cast<std::uint64_t>(mode);
  account.mode_code = static_cast<std::uint64_t>(because);
}

inline void value_units(RiskAccount& account) {
  account.equity_e8 =
      checked("equity_e8", Wide{account.cash_e8} + account.value_e8 + account.converted_e8);
  account.nav_e12 = checked("nav_e12", floor_div(Wide{account.equity_e8} * kE12, account.units));
}

inline bool has_fallen(const RiskAccount& account, std::int64_t by_bp) {
  const Wide high = account.high_water_e12;
  return (high - account.nav_e12) * kBasisPoints >= high * by_bp;
}

/// How far a unit is below its high-water mark, in 1e-6 of it, rounded up.
inline Wide drawdown_e6(const RiskAccount& account) {
  const Wide high = account.high_water_e12;
  return high > 0 ? ceil_div((high - account.nav_e12) * kMillionths, high) : 0;
}

/// Judges the fall from the high-water mark, and the results of the day, the week and the month.
inline void judge(RiskAccount& account, const RiskSettings& settings) {
  value_units(account);
  // A division only for the deepest so far.
  const Wide high = account.high_water_e12;
  if (high > 0 && (high - account.nav_e12) * kMillionths > high * account.max_drawdown_e6)
    account.max_drawdown_e6 = checked("max_drawdown_e6", drawdown_e6(account));
  if (has_fallen(account, settings.drawdown_bp)) {
    account.drawdown = 1;
    if (account.killed == 0) account.killed = static_cast<std::uint64_t>(Denial::kDrawdown);
    raise_mode(account, Mode::kEmergency, Denial::kDrawdown);
  } else if (settings.reduce_bp != 0 && has_fallen(account, settings.reduce_bp)) {
    raise_mode(account, Mode::kReduced, Denial::kDrawdown);
  }
  const auto period = [&](std::int64_t open_e8, std::int64_t limit_e8, Denial code) {
    if (limit_e8 != 0 && Wide{account.equity_e8} - open_e8 <= -Wide{limit_e8})
      raise_mode(account, Mode::kPaused, code);
  };
  period(account.day_open_e8, settings.daily_e8, Denial::kDaily);
  period(account.week_open_e8, settings.weekly_e8, Denial::kWeekly);
  period(account.month_open_e8, settings.monthly_e8, Denial::kMonthly);
}

/// Values what there is of another currency anew.
inline void convert(RiskAccount& account, RiskCurrency& currency) {
  const std::int64_t before = currency.worth_e8;
  currency.worth_e8 =
      checked("worth_e8", worth_e8(Wide{currency.cash_e8} + currency.value_e8, currency));
  account.converted_e8 =
      checked("converted_e8", Wide{account.converted_e8} - before + currency.worth_e8);
}

/// Issues units for what comes to the account from outside, or redeems some if that is below 0; they
/// are rounded so that their price does not fall. False, and nothing is done, if nothing would be
/// left, or nothing is there.
inline bool issue(RiskAccount& account, Wide worth) {
  const Wide issued =
      account.equity_e8 > 0 ? floor_div(worth * account.units, account.equity_e8) : 0;
  if (account.equity_e8 <= 0 || account.equity_e8 + worth <= 0 || account.units + issued <= 0 ||
      !fits(account.units + issued) || !fits(account.equity_e8 + worth))
    return false;
  std::int64_t* const opened[] = {&account.day_open_e8, &account.week_open_e8,
                                  &account.month_open_e8};
  for (const std::int64_t* of : opened)
    if (!fits(*of + worth)) return false;
  account.units = static_cast<std::int64_t>(account.units + issued);
  for (std::int64_t* of : opened) *of = static_cast<std::int64_t>(*of + worth);
  return true;
}

/// A deposit, or below 0 a withdrawal; false, and nothing is booked, if it cannot be.
inline bool book_flow(RiskAccount& account, std::int64_t amount) {
  if (!fits(Wide{account.cash_e8} + amount) || !fits(Wide{account.flows_e8} + amount) ||
      !issue(account, amount))
    return false;
  account.cash_e8 += amount;
  account.flows_e8 += amount;
  value_units(account);
  return true;
}

/// The same in another currency; not before there is a rate.
inline bool book_flow(RiskAccount& account, RiskCurrency& currency, std::int64_t amount) {
  const Wide after = worth_e8(Wide{currency.cash_e8} + currency.value_e8 + amount, currency);
  const Wide added = after - currency.worth_e8;
  if (!has_rate(currency) || !fits(Wide{currency.cash_e8} + amount) ||
      !fits(Wide{currency.flows_e8} + amount) || !fits(after) ||
      !fits(account.converted_e8 + added) || !issue(account, added))
    return false;
  currency.cash_e8 += amount;
  currency.flows_e8 += amount;
  convert(account, currency);
  value_units(account);
  return true;
}

/// With its first rate what a currency began with comes to the account, as a deposit would: until then
/// nobody knew what it was worth. What was earned or lost in it since is a result.
inline void join(RiskAccount& account, RiskCurrency& currency) {
  const Wide worth = worth_e8(currency.opening_e8, currency);
  if (issue(account, worth))
    account.joined_e8 = checked("joined_e8", account.joined_e8 + worth);
  convert(account, currency);
}

/// Begins a new day, week or month with the first record of it, by the venue's clock and never ours.
/// It clears nothing.
inline void begin_periods(RiskAccount& account, std::int64_t venue_ns) {
  if (venue_ns <= 0) return;
  const std::int64_t day = venue_ns / kDayNs + 1;  // 0: there was none yet
  if (day <= account.day) return;
  const bool is_first = account.day == 0;
  const std::int64_t week = week_of(day - 1), month = month_of(day - 1);
  if (!is_first) account.day_open_e8 = account.equity_e8;
  if (!is_first && week != account.week) account.week_open_e8 = account.equity_e8;
  if (!is_first && month != account.month) account.month_open_e8 = account.equity_e8;
  account.day = day;
  account.week = week;
  account.month = month;
}

/// Ends PAUSED, if that is due: an operator has said so, or the configuration; and after losses in a
/// row not before their cooldown.
inline void resume(RiskAccount& account, const RiskSettings& settings, std::int64_t now_ns) {
  const bool losses =
      account.mode_code == static_cast<std::uint64_t>(Denial::kConsecLosses);
  if (account.mode != static_cast<std::uint64_t>(Mode::kPaused)) return;
  if (account.resumed == 0 && !(losses && settings.losses_resume != 0)) return;
  if (losses && now_ns < account.paused_until_ns) return;
  account.mode = account.mode_code = account.resumed = 0;
  account.losses = 0;
}

/// Whether a mode that `judge` has led to would not last a moment if it were left.
inline bool is_breached(const RiskAccount& account, const RiskSettings& settings) {
  const auto lost = [&](std::int64_t open_e8, std::int64_t limit_e8) {
    return limit_e8 != 0 && Wide{account.equity_e8} - open_e8 <= -Wide{limit_e8};
  };
  return has_fallen(account, settings.drawdown_bp) ||
         (settings.reduce_bp != 0 && has_fallen(account, settings.reduce_bp)) ||
         lost(account.day_open_e8, settings.daily_e8) ||
         lost(account.week_open_e8, settings.weekly_e8) ||
         lost(account.month_open_e8, settings.monthly_e8);
}

/// An operator's reset: refused while a breach stands, unless it is to be counted from here on.
inline bool reset(RiskAccount& account, const RiskSettings& settings, bool rebase) {
  if (rebase) {
    account.high_water_e12 = account.nav_e12;
    account.day_open_e8 = account.week_open_e8 = account.month_open_e8 = account.equity_e8;
  } else if (is_breached(account, settings)) {
    return false;
  }
  account.mode = account.mode_code = account.killed = account.drawdown = account.resumed = 0;
  account.losses = 0;
  return true;
}

}  // namespace bot4
