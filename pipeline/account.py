"""The account across runs: ``<state_dir>/account.json``, so that a restart resets no loss.

What a unit was worth at most, how many units there are, with what the day, the week and the month
began, and what risk was in by itself. It is written to a file beside it, synced, renamed over it,
and the directory is synced. An empty file, ``account.made``, tells a state directory whose account
is missing from a new one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from pipeline import sealed
from pipeline.instruments import to_e8
from pipeline.money import INT64_MAX, INT64_MIN

FILE: Final = "account.json"
MADE: Final = "account.made"

OPENING: Final = (
    *("equity_e8", "units", "high_water_e12", "day", "week", "month"),
    *("day_open_e8", "week_open_e8", "month_open_e8"),
    *("losses", "mode", "mode_code", "killed", "drawdown"),
)
"""What risk begins a run with; fields of its account."""

_KEPT = (*OPENING, "opened_e8", "flows_e8", "value_e8")
_POSITIVE = ("units", "high_water_e12")
_VERSION = 1
_BYTES = 1 << 16


class AccountError(Exception):
    """The account of a state directory cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is kept.

    Attributes:
        currency: Of all money.
        run_id: Of the run that it is of.
        time: UTC, ISO 8601, when it was written.
        figures: `OPENING`; and of all runs together `opened_e8`, the equity that it was opened
            with, and `flows_e8`; and `value_e8`, that of the positions at their last marks, which
            is part of the equity.
        balances: Of other currencies, which are part of it too: what there is of each, in 1e-8, and
            the bid and the ask by which it was converted last, in 1e-8; 0: never yet.
    """

    currency: str
    run_id: str
    time: str
    figures: Mapping[str, int]
    balances: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        texts = {"currency": self.currency, "run_id": self.run_id, "time": self.time}
        balances = {name: list(each) for name, each in self.balances.items()}
        return {**texts, "figures": dict(self.figures)} | (
            {"balances": balances} if balances else {}
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_json` has made.

        Raises:
            KeyError, TypeError, ValueError: it has not.
        """
        texts = {name: data[name] for name in ("currency", "run_id", "time")}
        figures = {name: data["figures"][name] for name in _KEPT}
        given = data.get("balances", {})
        if not isinstance(given, dict):
            raise ValueError("balances must be a table")
        balances = {name: tuple(each) for name, each in given.items()}
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("currency, run_id and time must be text")
        if datetime.fromisoformat(texts["time"]).tzinfo is None:
            raise ValueError(f"time was {texts['time']}, must have a time zone")
        if not all(len(each) == 3 for each in balances.values()):
            raise ValueError("balances must be an amount, a bid and an ask")
        for each in itertools.chain(figures.values(), *balances.values()):
            if type(each) is not int or not INT64_MIN <= each <= INT64_MAX:
                raise ValueError("figures must be whole numbers of 64 bits")
        if not all(figures[name] > 0 for name in _POSITIVE):
            raise ValueError("units and high_water_e12 must be > 0")
        if any(min(each[1:]) < 0 for each in balances.values()):
            raise ValueError("a bid and an ask must be >= 0")
        return cls(figures=figures, balances=balances, **texts)


def opening_e8(config: Mapping[str, Any]) -> int:
    """Return the equity that a run with this resolved configuration begins with."""
    kept = config.get("run", {}).get("account")
    return to_e8(config["equity"]) if kept is None else int(kept["equity_e8"])


def in_new_periods(figures: Mapping[str, int], since: datetime, now: datetime) -> dict[str, int]:
    """Return the figures with a result of 0 for each day, week and month that is over by now.

    For a market whose own clock begins each run with the same day, as the simulator's does. Modes
    and kills stay, as they do on any new day.
    """
    begun = dict(figures)
    for name, has_passed in (
        ("day", now.date() > since.date()),
        ("week", now.isocalendar()[:2] > since.isocalendar()[:2]),
        ("month", (now.year, now.month) > (since.year, since.month)),
    ):
        if has_passed:
            begun |= {name: 0, f"{name}_open_e8": figures["equity_e8"]}
    return begun


def balances_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return with what of other currencies a run with this resolved configuration begins.

    Returns:
        By currency what there is of it, in 1e-8; with the bid and the ask by which it was converted
        last, in 1e-8, if it goes on with a kept account.
    """
    kept = config.get("run", {}).get("account")
    if kept is None:
        return {name: (to_e8(amount),) for name, amount in config.get("balances", {}).items()}
    return {name: tuple(figures) for name, figures in kept.get("balances", {}).items()}


class AccountFile:
    """The account of a state directory."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made yet."""
        self.folder = folder
        self.path = folder / FILE

    def is_new(self) -> bool:
        """Whether the state directory has no account, and has had none."""
        return not any(os.path.lexists(self.folder / name) for name in (FILE, MADE))

    def read(self) -> Account | None:
        """Return the account; None in a new state directory.

        Raises:
            AccountError: it is missing, damaged or cannot be read.
        """
        if self.is_new():
            return None
        try:
            with self.path.open("rb") as file:
                text = file.read(_BYTES)
        except FileNotFoundError:
            raise self._unusable("is missing from a state directory that has had one") from None
        except OSError as error:
            raise self._unusable(f"cannot be read ({error.strerror or error})") from None
        try:
            return _decoded(text)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._unusable(f"is damaged ({error})") from None

    def write(self, account: Account) -> None:
        """Put it on the disk, whole or not at all.

        Raises:
            OSError: it is not there; then the last one is.
        """
        sealed.replace(self.path, sealed.encoded(account.as_json(), _VERSION), MADE)

    def set_aside(self) -> Path | None:
        """Give the file another name; return that, or None if there is no file.

        Raises:
            OSError: it cannot be renamed.
        """
        for number in range(1, 1000):
            aside = self.path.with_name(f"{FILE}.{number}.old")
            if not os.path.lexists(aside):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.path, aside)
                    return aside
                return None
        raise OSError(errno.EEXIST, "old ones are 999, must be fewer; remove some", str(self.path))

    def _unusable(self, what: str) -> AccountError:
        return AccountError(
            f"{self.path} {what}: losses and the high-water mark are not known, so no run begins; "
            "put a copy of it back, or bot4 init --rebase --reason TEXT begins the account anew"
        )


def _decoded(text: bytes) -> Account:
    document = sealed.decoded(text, _VERSION)
    account = Account.from_json(document)
    sealed.check(document, account.as_json())
    return account
