"""What an operator does to the mode: up at once, down only with a record of who and why."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.account import Account, AccountFile
from pipeline.breakers.audit import FILE, AuditTrail
from pipeline.breakers.by_hand import Act, Record, in_time
from pipeline.instruments import instruments_from, money_to_text
from pipeline.kill.latch import Latch, LatchError, LatchFile
from pipeline.kill.positions import committed, committed_together, held, listed
from pipeline.kill.words import is_killed, lower_mode, mode, raise_mode
from pipeline.mode import mode_of
from pipeline.requests import Request, risk_account, turn
from pipeline.stage import load_object
from pipeline.supervisor.start import NameLock
from pipeline.vocabulary import ControlKind, Denial, Mode, Side
from shm import Segment, SegmentNotFoundError, list_segments

_DISK_S = 2.0


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of it; `run_id` is empty if there is no run, `notes` are of risk's own mode."""

    run_id: str
    before: Mode
    after: Mode
    notes: tuple[str, ...] = ()


class Operator:
    """Somebody who changes the mode of a deployment, and why."""

    def __init__(
        self,
        name: str,
        folder: Path,
        actor: str,
        reason: str,
        warn: Callable[[str], None],
        config: Mapping[str, Any],
    ) -> None:
        """`folder` is the state directory of the deployment `name`, `config` the resolved one."""
        self._name = name
        self._config = config
        self._latch = LatchFile(folder)
        self._account = AccountFile(folder)
        self._trail = AuditTrail(folder / FILE)
        self._actor = actor
        self._reason = reason
        self._warn = warn

    def raise_to(self, wanted: Mode) -> Changed:
        """Raise the mode to PAUSED or REDUCED, unless it is as high.

        Raises:
            LatchError: there is no run, and the latch cannot be written, so nothing was raised.
        """
        with attached(self._name) as segment:
            run_id, before = "", self._latch.read().mode
            if segment is not None:
                run_id, before = segment.run_id, raise_mode(segment, wanted)
            try:
                in_time(
                    lambda: self._latch.raise_to(
                        wanted, self._actor, self._reason, "manual", run_id
                    ),
                    _DISK_S,
                )
            except OSError as error:
                why = f"{self._latch.path} cannot be written ({error.strerror or error})"
                if segment is None:
                    raise LatchError(f"{why}: nothing was changed") from None
                self._warn(f"{why}: the next run does not know of it")
            after = max(before, wanted)
            self._act(run_id).note(Record("mode", before.label, after.label, "manual"))
            return Changed(run_id, before, after)

    def lower_to(self, wanted: Mode, *, rebase: bool = False) -> Changed:
        """Lower the mode, of the run and of the latch; to NORMAL, that of risk itself, too.

        With that risk counts orders in a row (605) anew, also if it was NORMAL.

        Args:
            wanted: The new mode.
            rebase: Whether a breached limit counts anew from here.

        Raises:
            LatchError: a run that was killed has not ended; a breach stands, and is not rebased; or
                see `LatchFile.lower_to`.
            RequestError: risk does not answer.
            AccountError: the account of the last run cannot be used.
            OperationError: it cannot be recorded; nothing was changed.
            OSError: the latch cannot be written; it is as it was.
        """
        with attached(self._name) as segment:
            run_id = "" if segment is None else segment.run_id
            if segment is not None and is_killed(segment):
                raise LatchError(_still_there(segment))
            latch = self._latch.read()
            before = latch.mode if segment is None else max(latch.mode, mode(segment))
            kept, asks = None, False
            if wanted is Mode.NORMAL:
                kept = self._account.read() if segment is None else None
                if segment is not None:
                    own = own_mode(risk_account(segment))
                else:
                    own = Mode.NORMAL if kept is None else mode_of(kept.figures["mode"])
                before = max(before, own)
                asks = own > wanted or (rebase and (segment is not None or kept is not None))
                asks = asks or bool(_repeating(segment))
            if before <= wanted and not asks:
                return Changed(run_id, before, before)
            cause = "rebased" if rebase else "resumed"
            intent = Record("mode", before.label, wanted.label, cause)
            notes: tuple[str, ...] = ()
            after = wanted
            with self._act(run_id).recorded(intent) as result:
                if asks and segment is not None:
                    after, notes = self._reset(segment, rebase=rebase)
                elif asks:
                    assert kept is not None
                    kept, after, notes = self._reset_kept(kept, latch, rebase=rebase)
                result.after = after.label
                if latch.mode > wanted:
                    self._latch.lower_to(wanted, self._actor, self._reason, rebase=rebase)
                if asks and kept is not None:
                    self._keep(kept)
                if segment is not None:
                    lower_mode(segment, wanted)
            return Changed(run_id, before, after, notes)

    def _reset(self, segment: Segment, *, rebase: bool) -> tuple[Mode, tuple[str, ...]]:
        """Have risk return to NORMAL; return the mode that it is in then, and what was done.

        Raises:
            LatchError: a breach stands, and is not rebased.
            RequestError: risk does not answer.
        """
        mine = turn(segment)
        before, stopped = risk_account(segment), _repeating(segment)
        # After losses in a row there is a cooldown, which an acknowledgement does not shorten.
        cools = before["mode_code"] == Denial.CONSEC_LOSSES and before["mode"] == Mode.PAUSED
        resumes = not rebase and (cools or own_mode(before) is Mode.NORMAL)
        kind = ControlKind.RESUME if resumes else ControlKind.RESET
        is_done, account = mine.ask(Request(kind, self._actor, self._reason, int(rebase)))
        config = json.loads(segment.blob("config"))
        if not is_done:
            limits = load_object("workers.risk.account:limits_in_force")(
                config, committed(segment, "risk", "limits")
            )
            why = load_object("workers.risk.account:standing")(account, limits, config["currency"])
            raise LatchError(_standing(why))
        notes = _notes(before, account, config["currency"], rebase=rebase)
        return own_mode(account), (*notes, *stopped)

    def _reset_kept(
        self, kept: Account, latch: Latch, *, rebase: bool
    ) -> tuple[Account, Mode, tuple[str, ...]]:
        """Return the account that the next run is to begin with, in which mode, and what was done.

        A loss that stands keeps nobody from ending a kill that had another reason.

        Raises:
            LatchError: a breach stands, and is not rebased.
        """
        figures, why = load_object("workers.risk.account:reset_kept")(
            kept.figures, self._config, rebase=rebase
        )
        if why and (kept.figures["killed"] or latch.mode is Mode.NORMAL):
            raise LatchError(_standing(why))
        if why:
            mode = mode_of(kept.figures["mode"])
            return kept, mode, (f"risk: begins the next run {mode.label}; {'; '.join(why)}",)
        cell = load_object("workers.risk.account:cell_of")
        notes = _notes(cell(kept.figures), cell(figures), kept.currency, rebase=rebase)
        return replace(kept, figures=figures), Mode.NORMAL, tuple(notes)

    def _keep(self, account: Account) -> None:
        """Write the account of no run.

        Raises:
            AlreadyRunningError: a run has begun meanwhile.
            OSError: it cannot be written; it is as it was.
        """
        lock = NameLock(self._account.folder)
        try:
            self._account.write(account)
        finally:
            lock.release()

    def _act(self, run_id: str) -> Act:
        return Act(self._trail, run_id, self._actor, self._reason, self._warn)


def _standing(why: Sequence[str]) -> str:
    return (
        f"the breach stands, nothing was changed: {'; '.join(why) or 'it has just ended'}; "
        "to have it count anew from here, give --rebase"
    )


def own_mode(account: np.void) -> Mode:
    """Return the mode that risk is in by itself."""
    return mode_of(int(account["mode"]))


_REBASED: Final = {
    "day_open_e8": "daily",
    "week_open_e8": "weekly",
    "month_open_e8": "monthly",
}


def _notes(before: np.void, after: np.void, currency: str, *, rebase: bool) -> list[str]:
    """Say what a reset has changed in risk."""
    lines = []
    why = f" ({Denial(int(before['mode_code'])).name})" if before["mode_code"] else ""
    if before["mode"]:
        lines.append(f"risk: mode {own_mode(before).label}{why} -> {own_mode(after).label}")
    if after["mode"] and after["resumed"]:
        left_s = max(0.0, (int(after["paused_until_ns"]) - time.monotonic_ns()) / 1e9)
        lines.append(f"risk: acknowledged; its cooldown ends in {left_s:.0f} s")
    if rebase:
        unit: Any = load_object("workers.risk.account:unit_text")
        marks = [unit(int(each["high_water_e12"])) for each in (before, after)]
        lines.append(f"risk: high-water mark of a unit {marks[0]} -> {marks[1]}")
        results = ", ".join(
            f"{name} {money_to_text(int(before['equity_e8']) - int(before[opened]))}"
            for opened, name in _REBASED.items()
        )
        lines.append(f"risk: results begin anew with 0; they were, in {currency}: {results}")
    return lines


def _repeating(segment: Segment | None) -> list[str]:
    """Return a line for each strategy that 605 stops in an instrument until it is begun anew."""
    if segment is None:
        return []
    config = json.loads(segment.blob("config"))
    signals, limits = committed_together(segment, "risk", "signals", "limits")
    in_force = load_object("workers.risk.account:limits_in_force")(config, limits)
    found = load_object("workers.risk.account:repeating")(signals, in_force)
    instruments = instruments_from(config)
    return [
        f"risk: strategy {strategy} may {Side(side).name.lower()} "
        f"{instruments[index].symbol}@{instruments[index].venue} again, "
        f"after {count} orders in a row (REPEATED_EXEC)"
        for strategy, index, side, count in found
    ]


def _still_there(segment: Segment) -> str:
    left = held(segment, json.loads(segment.blob("config")))
    return (
        f"run {segment.run_id} was killed and has not ended"
        + (f", still held: {listed(left)}" if left else "")
        + "; wait for its end, or bot4 kill --reason TEXT brings it about"
    )


@contextlib.contextmanager
def attached(name: str) -> Iterator[Segment | None]:
    """Attach the segment of the run of that name, or of one whose supervisor was killed."""
    states = ("running", "orphaned", "stale")
    found = [info for info in list_segments(name) if info.state in states]
    for info in sorted(found, key=lambda info: states.index(info.state)):
        try:
            segment = Segment.attach(name, run_id=info.run_id)
        except SegmentNotFoundError:  # it has just ended
            continue
        with segment:
            yield segment
        return
    yield None
