"""What the account is worth, and what follows from a loss, in slow, obvious Python.

The account is divided into units: a deposit issues some and a withdrawal redeems some at the price
of the moment, so that neither moves what a unit is worth, and the drawdown is that of a unit.
"""

from __future__ import annotations

import datetime

import numpy as np

from pipeline.money import BASIS_POINTS, INT64_MAX, INT64_MIN, ceil_div, checked
from pipeline.vocabulary import Denial, Mode
from workers.risk.currency import has_rate, worth_e8
from workers.risk.settings import RiskSettings

E12 = 10**12
DAY_NS = 86_400 * 10**9

MILLIONTHS = 1_000_000
"""In which shares are told."""


def raise_mode(account: np.void, mode: Mode, because: Denial) -> None:
    """Move to a mode, if that is up."""
    if mode > account["mode"]:
        account["mode"] = mode
        account["mode_code"] = because


def value_units(account: np.void) -> None:
    """Reckon what the account and a unit of it are worth.

    Raises:
        OverflowError: it does not fit int64.
    """
    equity = sum(int(account[field]) for field in ("cash_e8", "value_e8", "converted_e8"))
    account["equity_e8"] = checked("equity_e8", equity)
    account["nav_e12"] = checked("nav_e12", equity * E12 // int(account["units"]))


def has_fallen(account: np.void, by_bp: int) -> bool:
    """Whether a unit is that much below its high-water mark, inclusive."""
    high = int(account["high_water_e12"])
    return (high - int(account["nav_e12"])) * BASIS_POINTS >= high * by_bp


def drawdown_e6(account: np.void) -> int:
    """Return how far a unit is below its high-water mark, in 1e-6 of it, rounded up."""
    high = int(account["high_water_e12"])
    return ceil_div((high - int(account["nav_e12"])) * MILLIONTHS, high) if high > 0 else 0


def judge(account: np.void, settings: RiskSettings) -> None:
    """Judge the fall from the high-water mark, and the results of day, week and month."""
    value_units(account)
    deepest = max(int(account["max_drawdown_e6"]), drawdown_e6(account))
    account["max_drawdown_e6"] = checked("max_drawdown_e6", deepest)
    if has_fallen(account, settings.drawdown_bp):
        account["drawdown"] = 1
        if account["killed"] == 0:
            account["killed"] = Denial.DRAWDOWN
        raise_mode(account, Mode.EMERGENCY, Denial.DRAWDOWN)
    elif settings.reduce_bp != 0 and has_fallen(account, settings.reduce_bp):
        raise_mode(account, Mode.REDUCED, Denial.DRAWDOWN)
    for open_e8, limit, code in (
        ("day_open_e8", settings.daily_e8, Denial.DAILY),
        ("week_open_e8", settings.weekly_e8, Denial.WEEKLY),
        ("month_open_e8", settings.monthly_e8, Denial.MONTHLY),
    ):
        if limit != 0 and int(account["equity_e8"]) - int(account[open_e8]) <= -limit:
            raise_mode(account, Mode.PAUSED, code)


def convert(account: np.void, currency: np.void) -> None:
    """Value what there is of another currency anew.

    Raises:
        OverflowError: it does not fit int64.
    """
    before, amount = int(currency["worth_e8"]), int(currency["cash_e8"]) + int(currency["value_e8"])
    currency["worth_e8"] = worth = checked("worth_e8", worth_e8(amount, currency))
    converted = int(account["converted_e8"]) - before + worth
    account["converted_e8"] = checked("converted_e8", converted)


def issue(account: np.void, worth: int) -> bool:
    """Issue units for what comes to the account from outside, or redeem some if that is below 0.

    They are rounded so that their price does not fall.

    Returns:
        False, and nothing is done, if nothing would be left, nothing is there, or a balance would
        not fit int64.
    """
    equity, units = int(account["equity_e8"]), int(account["units"])
    issued = worth * units // equity if equity > 0 else 0
    if equity <= 0 or equity + worth <= 0 or units + issued <= 0:
        return False
    after = {
        field: int(account[field]) + worth
        for field in ("day_open_e8", "week_open_e8", "month_open_e8")
    }
    after["units"] = units + issued
    if not all(map(_fits, [*after.values(), equity + worth])):
        return False
    for field, value in after.items():
        account[field] = value
    return True


def book_flow(account: np.void, currency: np.void | None, amount: int) -> bool:
    """Book a deposit, or below 0 a withdrawal; in another currency not before there is a rate.

    Returns:
        False, and nothing is booked, if it cannot be.
    """
    books, worth = (account, amount) if currency is None else (currency, 0)
    after = {field: int(books[field]) + amount for field in ("cash_e8", "flows_e8")}
    fits = list(after.values())
    if currency is not None:
        if not has_rate(currency):
            return False
        total = worth_e8(after["cash_e8"] + int(currency["value_e8"]), currency)
        worth = total - int(currency["worth_e8"])
        fits += [total, int(account["converted_e8"]) + worth]
    if not all(map(_fits, fits)) or not issue(account, worth):
        return False
    for field, value in after.items():
        books[field] = value
    if currency is not None:
        convert(account, currency)
    value_units(account)
    return True


def join(account: np.void, currency: np.void) -> None:
    """Have what a currency began with come to the account with its first rate, as a deposit would.

    Until then nobody knew what it was worth. What was earned or lost in it since is a result.
    """
    worth = worth_e8(int(currency["opening_e8"]), currency)
    if issue(account, worth):
        account["joined_e8"] = checked("joined_e8", int(account["joined_e8"]) + worth)
    convert(account, currency)


def _fits(value: int) -> bool:
    return INT64_MIN <= value <= INT64_MAX


def begin_periods(account: np.void, venue_ns: int) -> None:
    """Begin a new day, week or month with the first record of it, by the venue's clock, not ours.

    It clears nothing. The first record of all only says which day it is.
    """
    if venue_ns <= 0:
        return
    number = venue_ns // DAY_NS
    if number + 1 <= account["day"]:
        return
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=number)
    week, month = (number + 3) // 7, 12 * date.year + date.month
    if account["day"] != 0:
        account["day_open_e8"] = account["equity_e8"]
        if week != account["week"]:
            account["week_open_e8"] = account["equity_e8"]
        if month != account["month"]:
            account["month_open_e8"] = account["equity_e8"]
    account["day"], account["week"], account["month"] = number + 1, week, month


def resume(account: np.void, settings: RiskSettings, now_ns: int) -> None:
    """End PAUSED if an operator has said so, or the configuration; losses have their cooldown."""
    losses = account["mode_code"] == Denial.CONSEC_LOSSES
    if account["mode"] != Mode.PAUSED:
        return
    if account["resumed"] == 0 and not (losses and settings.losses_resume):
        return
    if losses and now_ns < account["paused_until_ns"]:
        return
    for field in ("mode", "mode_code", "resumed", "losses"):
        account[field] = 0


def breaches(account: np.void, settings: RiskSettings) -> list[Denial]:
    """Return which limits of `judge` are reached: what they led to would come again at once."""
    found = [Denial.DRAWDOWN] if has_fallen(account, settings.drawdown_bp) else []
    if not found and settings.reduce_bp != 0 and has_fallen(account, settings.reduce_bp):
        found = [Denial.DRAWDOWN]
    for open_e8, limit, code in (
        ("day_open_e8", settings.daily_e8, Denial.DAILY),
        ("week_open_e8", settings.weekly_e8, Denial.WEEKLY),
        ("month_open_e8", settings.monthly_e8, Denial.MONTHLY),
    ):
        if limit != 0 and int(account["equity_e8"]) - int(account[open_e8]) <= -limit:
            found.append(code)
    return found


def reset(account: np.void, settings: RiskSettings, *, rebase: bool) -> bool:
    """Return to NORMAL; False while a breach stands, unless it is to be counted from here on."""
    if rebase:
        account["high_water_e12"] = account["nav_e12"]
        for field in ("day_open_e8", "week_open_e8", "month_open_e8"):
            account[field] = account["equity_e8"]
    elif breaches(account, settings):
        return False
    for field in ("mode", "mode_code", "killed", "drawdown", "resumed", "losses"):
        account[field] = 0
    return True
