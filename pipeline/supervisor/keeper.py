"""The supervisor's hand on the account: it begins where the last run ended, and is kept."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.account import OPENING, Account, AccountError, AccountFile, in_new_periods
from pipeline.breakers.audit import utc
from pipeline.breakers.by_hand import in_time
from pipeline.instruments import SIMULATOR, converters, instruments_from, money_to_text, to_e8
from pipeline.kill.positions import committed_together
from pipeline.stage import load_object
from shm import Segment

_EVERY_S: Final = 1.0
_END_S: Final = 2.0
_AT_ONCE: Final = ("mode", "mode_code", "killed", "drawdown", "losses", "day", "units")
"""What is on the disk as soon as it has changed; the rest after a second."""


class Keeper:
    """Keeps the account of one run. All calls come from one thread."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        """Nothing is read yet; `folder` is the state directory."""
        self._file = AccountFile(folder)
        self._report = report
        self._last: dict[str, Any] = {}
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._failure = ""

    def begin(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration with the account that the last run has left.

        Raises:
            AccountError: it cannot be used.
        """
        config = dict(config)
        if not is_kept(config):
            return config
        account = self._file.read()
        if account is None:
            return config
        if account.currency != config["currency"]:
            raise AccountError(
                f"currency was {config['currency']!r}, must be that of the account, "
                f"{account.currency} ({self._file.path}); run under another --name"
            )
        figures = account.figures
        if all(each["venue"] == SIMULATOR for each in config["instruments"]):
            since = datetime.fromisoformat(account.time)
            figures = in_new_periods(figures, since, datetime.now(UTC))
        balances = self._convertible(account, config)
        kept = {**figures, **({"balances": balances} if balances else {})}
        config["run"] = {**config.get("run", {}), "account": kept}
        money = f"{money_to_text(figures['equity_e8'])} {account.currency}"
        said = f"the account goes on with {money}, as of {account.time}"
        if figures["value_e8"]:
            said += f", {money_to_text(figures['value_e8'])} of it positions at their last marks"
        if to_e8(config["equity"]) != figures["opened_e8"]:
            said += f"; equity {config['equity']} is that of a new state directory"
        self._report(said)
        return config

    @contextlib.contextmanager
    def of(self, segment: Segment) -> Iterator[None]:
        """Keep the account of a run, also as it ends."""
        config = json.loads(segment.blob("config"))  # of the run, which may have been gone on with
        self._segment = segment
        self._is_kept = is_kept(config)
        self._currency = config["currency"]
        kept = config.get("run", {}).get("account", {})
        self._others = load_object("workers.risk.currency:Currencies").of(config).names
        self._worth: Any = load_object("workers.risk.currency:worth_e8")
        self._opened_e8 = kept.get("opened_e8", to_e8(config["equity"]))
        self._flows_e8 = kept.get("flows_e8", 0)
        try:
            yield
        finally:
            if self._thread is not None:
                self._thread.join(_END_S)
            if self._is_kept and (account := self._account()):
                try:
                    in_time(lambda: self._file.write(account), _END_S)
                except OSError as error:
                    self._complain(error)

    def look(self) -> None:
        """Have it written, if it has changed, behind the back of this thread."""
        if not self._is_kept or (self._thread is not None and self._thread.is_alive()):
            return
        account = self._account()
        if account is None:
            return
        figures = {**account.figures, **account.balances}
        is_urgent = any(figures.get(name) != self._last.get(name) for name in _AT_ONCE)
        if figures == self._last or (time.monotonic() < self._next and not is_urgent):
            return
        self._last, self._next = figures, time.monotonic() + _EVERY_S

        def write() -> None:
            try:
                self._file.write(account)
            except OSError as error:
                self._last = {}  # to be tried again
                self._complain(error)
            else:
                self._failure = ""

        self._thread = threading.Thread(target=write, name="account", daemon=True)
        self._thread.start()

    def _account(self) -> Account | None:
        """Return what is to be kept; None if there is nothing yet."""
        [cell], currencies = committed_together(self._segment, "risk", "account", "currencies")
        if not cell["begun"]:
            return None
        figures = {name: int(cell[name]) for name in (*OPENING, "value_e8")}
        figures["opened_e8"] = self._opened_e8
        flows_e8 = int(cell["flows_e8"]) + sum(
            self._worth(int(each["flows_e8"]), each) for each in currencies[: len(self._others)]
        )
        figures["flows_e8"] = self._flows_e8 + flows_e8
        balances = {
            name: (
                int(each["cash_e8"]) + int(each["value_e8"]),
                int(each["bid_e8"]),
                int(each["ask_e8"]),
            )
            for name, each in zip(self._others, currencies, strict=False)
        }
        run_id, now = self._segment.run_id, utc(time.time_ns())
        return Account(self._currency, run_id, now, figures, balances)

    def _convertible(self, account: Account, config: Mapping[str, Any]) -> dict[str, list[int]]:
        """Return the balances of other currencies, as far as the run can convert them.

        Raises:
            AccountError: nothing converts a currency that there is some of.
        """
        own = account.currency
        markets = [(each.base, each.quote) for each in instruments_from(config)]
        convertible = converters(own, markets)
        for name, (amount, *_) in account.balances.items():
            if amount and name not in convertible:
                raise AccountError(
                    f"the account has {money_to_text(amount)} {name} ({self._file.path}), must be "
                    f"converted: add an instrument {name}/{own} or {own}/{name}"
                )
        return {name: list(each) for name, each in account.balances.items() if name in convertible}

    def _complain(self, error: OSError) -> None:
        why = str(error.strerror or error)
        if why != self._failure:
            self._failure = why
            self._report(
                f"{self._file.path} cannot be written ({why}): the next run would not know of "
                "losses since then"
            )


def is_kept(config: Mapping[str, Any]) -> bool:
    """Whether a run goes on with the account of the last one, and leaves it to the next.

    One of a capture or of a number of events does not, so that its result depends on nothing else.
    """
    return not {"capture", "events"} & config.get("run", {}).keys()
