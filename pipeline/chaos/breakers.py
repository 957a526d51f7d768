"""`bot4 chaos breakers`: faults, and whether the right breaker opens, stops new risk and closes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.chaos.faults import FAULTS, SETTINGS, Fault, Scene
from pipeline.chaos.victim import ChaosError, Victim
from pipeline.records import OUTCOME, Array
from pipeline.vocabulary import Denial, OutcomeKind
from shm import Breaker, GlobalState, State

STOP_MS: Final = 50.0
"""Within this after a breaker has opened, no new risk is approved any more."""

_LOOK_S = 0.002
_PATIENCE_S = 30.0
_SETTLED_ORDERS = 20  # entries after which a run counts as trading again
_TRIES = 20
_HELD = 2  # instruments, before a fault is made
_OPEN_S = 0.3  # for what still passes to be seen
_PASSES_S = 5.0  # at most for both kinds of intents to come, of which a busy machine makes few


@dataclass(slots=True)
class Finding:
    """What came of one fault. Times in ms; None: it did not happen.

    Attributes:
        detected_ms: From the fault to the breaker's opening.
        stopped_ms: From that to the last order that took new risk.
        refused: Intents that were denied because of it.
        reducing: Orders that reduced a position while it was open.
        recovered_ms: From the mending to its closing, without help.
        others: Breakers that opened and should not have.
        global_open: Whether the global one was open meanwhile.
    """

    fault: str
    breaker: str
    detected_ms: float | None = None
    stopped_ms: float = 0.0
    refused: int = 0
    reducing: int = 0
    recovered_ms: float | None = None
    others: list[str] = field(default_factory=list)
    global_open: bool = False

    def wrong(self, *, stops: bool) -> list[str]:
        """Return what is not as it should be, in words."""
        said = []
        if self.detected_ms is None:
            said.append(f"{self.breaker} did not open within {_PATIENCE_S:g} s")
        if self.stopped_ms > STOP_MS:
            said.append(f"new risk was taken {self.stopped_ms} ms after {self.breaker} had opened")
        if self.recovered_ms is None:
            said.append(f"{self.breaker} did not close within {_PATIENCE_S:g} s")
        if stops and not self.refused:
            said.append("no intent was refused")
        if stops and not self.reducing:
            said.append("no reducing order passed")
        said += [f"{other} opened too" for other in self.others]
        return [f"{self.fault}: {each}" for each in said]


class BreakerChaos:
    """Breaks a run of its own, one fault after the other."""

    def __init__(
        self, name: str, state_dir: Path, *, seed: int, rate: int, report: Callable[[str], None]
    ) -> None:
        """Prepare it. `report` is given a sentence for each thing that happens."""
        settings = {
            **SETTINGS,
            "exchange.seed": str(seed),
            "exchange.rate": str(rate),
            "state_dir": str(state_dir),
        }
        self._victim = Victim(name, settings)
        self._state_dir = state_dir
        self._report = report
        self._held: dict[int, int] = {}  # instrument -> position, in lots

    def execute(self, faults: Sequence[str]) -> list[Finding]:
        """Break, look, mend, look.

        Raises:
            ChaosError: the run itself failed.
        """
        try:
            self._victim.start()
            with self._victim.attach() as segment:
                self._outcomes = segment.ring_follower("outcomes")
                config = json.loads(segment.blob("config"))
                group = segment.breakers("breakers")
                self._scene = Scene(segment, config, group, self._state_dir)
                self._breakers = {name: group.breaker(name) for name in group.names}
                self._settle()
                found = [self._until_something_was_held(name) for name in faults]
            self._victim.process.terminate()
            errors = self._victim.messages()
        finally:
            self._victim.end()
        if code := self._victim.process.returncode:
            raise ChaosError(f"the run ended with exit code {code}: {errors}")
        if any(finding.others for finding in found):
            self._report(f"the run said:\n{errors}")
        return found

    def _until_something_was_held(self, name: str) -> Finding:
        """Make a fault again if it came when there was nothing to reduce."""
        for _ in range(_TRIES - 1):
            finding = self._try(name)
            if finding.reducing or not FAULTS[name].stops:
                return finding
            self._report(f"{name}: nothing was held at that moment; once more")
        return self._try(name)

    def _try(self, name: str) -> Finding:
        fault = FAULTS[name]()
        finding = Finding(name, fault.component)
        breaker = self._breakers[fault.component]
        self._read()
        seen: list[Array] = []
        begun_ns = time.monotonic_ns()
        self._report(f"{name}: begins")
        fault.begin(self._scene)
        try:
            self._until(lambda: breaker.state is not State.CLOSED, fault, finding)
            opened_ns = _opened(breaker)
            if opened_ns is not None:
                finding.detected_ms = _ms(opened_ns - begun_ns)
                deadline_ns = breaker.deadline_ns
                self._report(f"{name}: {fault.component} opened after {finding.detected_ms:g} ms")
                end_ns = opened_ns + int(_OPEN_S * 1e9)
                self._until(lambda: time.monotonic_ns() > end_ns, fault, finding)
                finding.global_open = self._scene.group.state() == GlobalState.OPEN
                if fault.stops:
                    self._until(self._shown(opened_ns, seen), fault, finding, _PASSES_S)
        finally:
            fault.end(self._scene)
        mended_ns = time.monotonic_ns()
        self._until(lambda: breaker.state is State.CLOSED, None, finding)
        if opened_ns is not None:
            seen.append(self._read())
            self._judge(np.concatenate(seen), opened_ns, deadline_ns, breaker, finding)
        if breaker.state is State.CLOSED:
            finding.recovered_ms = _ms(max(0, breaker.since_ns - mended_ns))
            self._report(f"{name}: {fault.component} closed after {finding.recovered_ms:g} ms")
        self._settle()
        return finding

    def _shown(self, opened_ns: int, seen: list[Array]) -> Callable[[], bool]:
        """Tell whether an intent was refused since then, and one passed that reduces.

        Or nothing is held any more, so that none can. The outcomes read for it are added to `seen`.
        """
        refused = reducing = 0

        def is_shown() -> bool:
            nonlocal refused, reducing
            outcomes = self._read()
            seen.append(outcomes)
            since = outcomes[outcomes["stamped_ns"] >= opened_ns]
            refused += _refused(since)
            reducing += int(_reduces(_approved(since)).sum())
            return bool(refused and reducing) or not any(self._held.values())

        return is_shown

    def _until(
        self,
        condition: Callable[[], bool],
        fault: Fault | None,
        finding: Finding,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Wait for it, in vain if need be; meanwhile keep the fault up and watch the others."""
        deadline = time.monotonic() + patience_s
        while not condition() and time.monotonic() < deadline:
            if fault is not None:
                fault.keep(self._scene)
            for name, breaker in self._breakers.items():
                if name not in (finding.breaker, *finding.others) and breaker.state is State.OPEN:
                    finding.others.append(name)
            self._check_run()
            time.sleep(_LOOK_S)

    def _judge(
        self,
        outcomes: Array,
        opened_ns: int,
        deadline_ns: int,
        breaker: Breaker,
        finding: Finding,
    ) -> None:
        """Count what was decided between the opening and the closing.

        No new risk may be taken until the deadline; from then on probes decide.
        """
        end_ns = breaker.since_ns if breaker.state is State.CLOSED else time.monotonic_ns()
        stamps = outcomes["stamped_ns"]
        during = outcomes[(stamps >= opened_ns) & (stamps < end_ns)]
        approved = _approved(during)
        reducing = _reduces(approved)
        risky = approved["stamped_ns"][~reducing & (approved["stamped_ns"] < deadline_ns)]
        finding.stopped_ms = _ms(int(risky.max()) - opened_ns) if len(risky) else 0.0
        finding.reducing = int(reducing.sum())
        finding.refused = _refused(during)

    def _settle(self) -> None:
        """Wait until all breakers are closed, new risk is taken, and there is some to reduce."""
        entries = 0
        self._held.clear()
        deadline = time.monotonic() + _PATIENCE_S
        while (
            entries < _SETTLED_ORDERS
            or self._scene.group.state() != GlobalState.CLOSED
            or sum(position != 0 for position in self._held.values()) < _HELD
        ):
            if time.monotonic() > deadline:
                states = {name: each.state.name for name, each in self._breakers.items()}
                raise ChaosError(f"no trading within {_PATIENCE_S:g} s; breakers: {states}")
            entries += int((~_reduces(_approved(self._read()))).sum())
            self._check_run()
            time.sleep(_LOOK_S)

    def _read(self) -> Array:
        """Return the outcomes since the last call, and note what is held."""
        records = np.zeros(self._outcomes.published - self._outcomes.position, OUTCOME)
        copied, lost = self._outcomes.read(records)
        if lost:
            raise ChaosError(f"{lost} outcomes were overwritten; use a lower --rate")
        outcomes = records[:copied]
        self._held.update(zip(outcomes["instrument"], outcomes["position"], strict=True))
        return outcomes

    def _check_run(self) -> None:
        if self._victim.process.poll() is not None:
            raise ChaosError(f"the run has ended: {self._victim.messages()}")


def _approved(outcomes: Array) -> Array:
    approved: Array = outcomes[outcomes["kind"] == OutcomeKind.APPROVED]
    return approved


def _refused(outcomes: Array) -> int:
    """Count the intents that an open breaker denied."""
    denied = outcomes["code"][outcomes["kind"] == OutcomeKind.DENIED]
    return int((denied == Denial.BREAKER_OPEN).sum())


def _reduces(approved: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which approvals took no new risk: towards a position of nothing, and not beyond it."""
    signed = approved["side"] * approved["quantity"]
    after = approved["position"] + signed
    reducing: np.ndarray[Any, np.dtype[np.bool_]] = (approved["position"] * np.sign(signed) < 0) & (
        after * np.sign(approved["position"]) >= 0
    )
    return reducing


def _opened(breaker: Breaker) -> int | None:
    last = breaker.last()
    if breaker.state is State.CLOSED or last is None:
        return None
    return int(last["time_ns"])


def _ms(ns: int) -> float:
    return round(ns / 1e6, 1)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what the command prints."""
    return {"faults": [dataclasses.asdict(finding) for finding in findings]}


def complaints(findings: Sequence[Finding]) -> list[str]:
    """Return all that is not as it should be, in words."""
    return [
        complaint
        for finding in findings
        for complaint in finding.wrong(stops=FAULTS[finding.fault].stops)
    ]
