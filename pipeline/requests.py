"""What operators ask of a run's risk stage, and how it gets there: exactly once.

An operator's command writes a request into the segment, once the last one was dealt with, and under
the lock of that row, which the kernel takes from one that is killed. The supervisor hands it on to
risk as records of the ring `control`, and risk keeps the number of the last request that it dealt
with, and whether it was refused, in its account. So whoever dies on the way: a request that is not
dealt with is still there and is handed on by the next supervisor, perhaps again, and risk passes
over what it has dealt with.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.breakers.by_hand import PendingError
from pipeline.kill.positions import committed
from pipeline.records import CONTROL, Array
from pipeline.topology import MOST_LIMITS, REQUEST
from pipeline.vocabulary import ControlKind
from shm import RoleTakenError, Segment

_PATIENCE_S: Final = 10.0  # a stage may have to be started again
_LOOK_S: Final = 0.002  # a command has no doorbell, and risk none to ring for it


class RequestError(Exception):
    """A request was not dealt with; the message says what is known of it."""


class PendingRequestError(RequestError, PendingError):
    """A request that will be dealt with later, if the run goes on."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator asks for.

    Attributes:
        kind: What.
        actor: Who.
        reason: Why.
        amount, index: As `ControlKind` says.
        limits: For APPLY: (number, new value) of each limit.
        live: Values in [risk], by their keys, that are others than at the start once this is done;
            None: as before.
    """

    kind: ControlKind
    actor: str
    reason: str
    amount: int = 0
    index: int = 0
    limits: Sequence[tuple[int, int]] = ()
    live: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Turn:
    """One operator's turn. If somebody else's request comes between, nothing is asked.

    Attributes:
        live: Values in [risk] that are others than at the start.
    """

    live: Mapping[str, Any]
    _segment: Segment
    _last: int

    def ask(self, request: Request) -> tuple[bool, np.void]:
        """Ask, and wait for what comes of it.

        Returns:
            Whether risk has done it, and its account after that.

        Raises:
            RequestError: it has too many limits; somebody else was faster; or the run has ended.
            PendingRequestError: the run does not answer.
        """
        live = json.dumps(dict(self.live if request.live is None else request.live))
        if len(request.limits) > MOST_LIMITS:
            raise RequestError(
                f"limits to be changed were {len(request.limits)}, must be at most {MOST_LIMITS}; "
                "nothing was changed"
            )
        if len(live.encode()) > REQUEST["live"].itemsize:
            raise RequestError(
                f"changes since the start were {len(live.encode())} bytes, must be at most "
                f"{REQUEST['live'].itemsize}; nothing was changed: put some into config.toml"
            )
        self._last += 1
        row = np.zeros(1, REQUEST)
        row["request"], row["kind"] = self._last, request.kind
        row["amount"], row["limits"] = request.amount, len(request.limits)
        for i, (index, value) in enumerate(request.limits or [(request.index, 0)]):
            row["index"][0, i], row["value"][0, i] = index, value
        row["actor"] = request.actor.encode()[: REQUEST["actor"].itemsize]
        row["reason"] = request.reason.encode()[: REQUEST["reason"].itemsize]
        row["live"] = live.encode()
        self._write(row)
        account = _dealt_with(self._segment, self._last)
        if account is None:
            if not os.path.exists(self._segment.path):
                raise RequestError("the run has ended before it was dealt with: it has no effect")
            who = (
                f"no answer in {_PATIENCE_S:g} s"
                if self._segment.owner_alive()
                else "the supervisor has gone"
            )
            raise PendingRequestError(
                f"{who}: request {self._last} is neither lost nor refused, and is dealt with once "
                "when the run goes on; do not repeat it"
            )
        return not account["refused"], account

    def _write(self, row: Array) -> None:
        """Write it; the lock is not held longer: a supervisor that takes over waits for it."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                writer = self._segment.table_writer("request")
                break
            except RoleTakenError:
                if time.monotonic() > deadline:
                    raise RequestError(
                        "another request is under way; nothing was changed"
                    ) from None
                time.sleep(_LOOK_S)
        try:
            found = latest(self._segment)
            if found is not None and found["request"] >= row["request"][0]:
                raise RequestError(
                    f"a request by {_text(found['actor'])} came between; nothing was changed, "
                    "repeat it"
                )
            writer.write(0, row)
        finally:
            writer.close()


def turn(segment: Segment) -> Turn:
    """Wait for one's turn to ask something of a run.

    Raises:
        RequestError: nobody is there to take it, or another request has not been dealt with.
    """
    if not segment.owner_alive():
        raise RequestError(
            f"run {segment.run_id} has lost its supervisor, so nothing was changed; bot4 run goes "
            "on with it"
        )
    row = latest(segment)
    last = 0 if row is None else int(row["request"])
    if row is not None and _dealt_with(segment, last) is None:
        raise RequestError(
            f"request {last}, by {_text(row['actor'])}, has not been dealt with; nothing was "
            "changed, repeat it"
        )
    return Turn(live_of(row), segment, last)


def risk_account(segment: Segment) -> np.void:
    """Return the account as of risk's last commit."""
    account: np.void = committed(segment, "risk", "account")[0]
    return account


def latest(segment: Segment) -> np.void | None:
    """Return the last request (a record of `REQUEST`); None if there was none."""
    row = np.zeros(1, REQUEST)
    reader = segment.table_reader("request")
    try:
        version, _ = reader.read(0, row)
    finally:
        reader.close()
    record: np.void = row[0]
    return record if version else None


def live_of(row: np.void | None) -> dict[str, Any]:
    """Return the values in [risk] that are others than at the start, after the last request."""
    text = b"" if row is None else bytes(row["live"])
    live: dict[str, Any] = json.loads(text) if text else {}
    return live


class Handover:
    """The supervisor's part: it hands requests on to risk. All calls come from one thread."""

    def __init__(self, segment: Segment, report: Callable[[str], None]) -> None:
        """Become the producer of the ring."""
        self._segment = segment
        self._report = report
        self._ring = segment.producer("control")
        self._handed = 0
        self._waiting: list[Array] = []

    def look(self) -> None:
        """Hand on what has been asked for, as far as there is room."""
        row = latest(self._segment)
        if row is not None and row["request"] > self._handed:
            self._handed = int(row["request"])
            if row["request"] > risk_account(self._segment)["request"]:
                self._waiting = _records(row)
                kind = ControlKind(int(row["kind"])).name.lower()
                self._report(f"{kind} (by {_text(row['actor'])}): {_text(row['reason'])}")
        while self._waiting:
            record = self._waiting[0]
            record["sequence"] = self._ring.published
            record["stamped_ns"] = record["received_ns"] = time.monotonic_ns()
            if not self._ring.push(record):
                return
            del self._waiting[0]


def _records(row: np.void) -> list[Array]:
    """Return a request as what risk is told; the last record is what makes it so."""
    count = int(row["limits"])
    records = np.zeros(count + 1, CONTROL)
    records["request"] = row["request"]
    records["kind"][:count] = ControlKind.SET
    records["index"][:count] = row["index"][:count]
    records["amount"][:count] = row["value"][:count]
    records["kind"][count], records["amount"][count] = row["kind"], row["amount"]
    records["index"][count] = 0 if count else row["index"][0]
    return [records[i : i + 1] for i in range(count + 1)]


def _dealt_with(segment: Segment, request: int) -> np.void | None:
    """Wait until risk has dealt with a request; return its account, or None if it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        # In this order: what a run has done before its end counts.
        is_over = (
            time.monotonic() > deadline
            or not segment.owner_alive()
            or not os.path.exists(segment.path)
        )
        account = risk_account(segment)
        if account["request"] >= request:
            return account
        if is_over:
            return None
        time.sleep(_LOOK_S)


def _text(field: Any) -> str:
    return bytes(field).decode(errors="replace")
