"""`bot4 chaos kill`: a run in which processes are killed, recorded, replayed and compared."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline import topology
from pipeline.chaos.plan import OUTSIDE, Kill
from pipeline.chaos.recorder import Recorder
from pipeline.chaos.verify import Verdict, verify
from pipeline.chaos.victim import (
    OPEN_ONLY_FOR_WHAT_LASTS,
    START_S,
    TRADES_ALL_THE_TIME,
    ChaosError,
    Victim,
)
from pipeline.stage import load_object
from shm import Segment

SETTINGS: Final[Mapping[str, str]] = {
    # Many orders, so that there is much to lose: short bars, short averages, and an account that
    # fees cannot bring to its drawdown limit.
    "ta.trades_per_bar": "2",
    "ta.fast": "2",
    "ta.slow": "5",
    "ta.correlation_ms": "20",
    "ml.strategy": "moving-average",
    "ml.model": "",
    "ml.cost_margin_bp": "0",
    "ml.kelly_bp": "0",
    "ml.target_atr_bp": "1000000",
    "equity": "100000000",
    **TRADES_ALL_THE_TIME,
    # What is killed on purpose is no crash loop, and no illness; nor is what is late on a busy
    # machine, or what a model that was killed does not answer.
    "supervisor.restart_budget": "1000",
    "breakers.restarts": "1000",
    "supervisor.drain_s": "60",
    **OPEN_ONLY_FOR_WHAT_LASTS,
    # The recorder must not lose anything on a busy machine.
    "pipeline.market_capacity": "65536",
    "pipeline.capacity": "16384",
}
"""How a chaos run differs from the default configuration."""

_POLL_MS = 4.0
# Of the market's time: nothing is late, or something is dead and shall have much to make up for.
_AHEAD_S, _AHEAD_OF_THE_DEAD_S = 0.01, 0.2
_TRICKLE_S = 0.05  # a record each while it waits: who has died is back once it has worked
_MODEL_START_S = 120.0  # it is loaded before the run begins


@dataclass(slots=True)
class Outcome:
    """What happened in a run with kills."""

    events: int
    killed: Counter[str] = field(default_factory=Counter)
    recoveries_ms: list[float] = field(default_factory=list)
    replayed: int = 0
    suppressed: int = 0
    verdict: Verdict = field(default_factory=Verdict)


@dataclass(slots=True)
class _Dying:
    """A kill that has been ordered: armed, or sent."""

    process: str
    pidfd: int


class ChaosRun:
    """Starts a run of its own, kills its processes as planned, and records it."""

    def __init__(
        self,
        name: str,
        state_dir: Path,
        *,
        events: int,
        rate: int,
        seed: int,
        sabotage: str | None,
        report: Callable[[str], None],
        strategy: str | None = None,
        model: str | None = None,
    ) -> None:
        """Prepare it. `report` is given a sentence for each kill.

        The market of `rate` events a second waits for the stages and the recorder if they are late,
        so that a slow machine takes longer for the same run, and does not trade less in it.
        """
        settings = {
            **SETTINGS,
            "exchange.rate": str(rate),
            "exchange.seed": str(seed),
            "state_dir": str(state_dir),
        }
        if strategy is not None:
            settings["ml.strategy"] = strategy
        self._patience_s = START_S
        if model is not None:
            self._patience_s = _MODEL_START_S
            settings["ml.model"] = model
            # What it is of is what there has to be.
            directory = load_object("workers.ml.running:directory_of")({"ml": {"model": model}})
            data = load_object("workers.ml.models:read_manifest")(directory or "").card.data
            bars = ("bar", "trades_per_bar", "interval_ms", "lots_per_bar")
            settings |= {f"ta.{key}": str(data[key]) for key in bars if key in data}
            for window in ("ta.fast", "ta.slow"):
                del settings[window]  # the model is of features with the windows that there are
        sabotaged = ("--sabotage", sabotage) if sabotage else ()
        self._rate = rate
        self._dying: dict[str, _Dying] = {}
        self._recovering: dict[str, int] = {}  # process -> when it died
        self._trickles = 0.0  # when the next record may come
        self._most_waiting = 1 << 62  # for a stage
        self._victim = Victim(
            name,
            settings,
            *("--events", str(events)),
            *("--leash", str(self._ahead())),
            *sabotaged,
        )
        self._report = report
        self._outcome = Outcome(events)

    def execute(self, plan: list[Kill]) -> Outcome:
        """Run, kill, record, compare.

        Raises:
            ChaosError: the run itself failed.
            RecorderError: the recorder could not keep up.
        """
        try:
            self._victim.start()
            segment = self._victim.attach(self._patience_s)
            with segment:
                self._chase(segment, plan)
                self._finish(segment)
        finally:
            self._victim.end()
            for dying in self._dying.values():
                os.close(dying.pidfd)
        return self._outcome

    # During the run.

    def _chase(self, segment: Segment, plan: list[Kill]) -> None:
        exchange = segment.words("exchange.words")
        self._config = json.loads(segment.blob("config"))
        if topology.asks(self._config):
            # Each row is a question. All that waited may be asked at once, and their ring is small.
            self._most_waiting = topology.questions_capacity(self._config) // 2
        recorder = self._recorder = Recorder(segment)
        waiting = list(plan)
        poll = select.poll()
        over = os.pidfd_open(self._victim.process.pid)
        poll.register(over, select.POLLIN)
        inputs = [
            ring for name in topology.STAGES for ring in topology.stage(name, self._config).inputs
        ]
        try:
            while True:
                waits = max(segment.depth(ring) for ring in inputs)
                exchange.store("leash", self._leash(recorder.market, waits, waiting))
                ready = {fd for fd, _ in poll.poll(_POLL_MS)}
                recorder.poll()
                self._note_deaths(poll, ready)
                self._note_recoveries(segment)
                if over in ready:
                    if "supervisor" not in self._recovering:
                        break
                    poll.unregister(over)
                    os.close(over)
                    self._victim.messages()
                    self._victim.start()
                    over = os.pidfd_open(self._victim.process.pid)
                    poll.register(over, select.POLLIN)
                busy = {*self._dying, *self._recovering}
                for kill in waiting:
                    if kill.position > recorder.market:
                        break
                    if kill.process not in busy and self._strike(segment, kill, poll):
                        waiting.remove(kill)
                        break
        finally:
            os.close(over)
        recorder.poll()

    def _leash(self, market: int, waits: int, waiting: Sequence[Kill]) -> int:
        """Return the event behind which the market waits: it has come to `market`.

        Args:
            market: How many records were recorded.
            waits: Of them, for the slowest stage.
            waiting: Kills that are still to come.
        """
        ahead = self._ahead() - waits
        # Or the events would be over before it can be killed once more.
        is_awaited = any(
            kill.position <= market and kill.process in self._recovering for kill in waiting
        )
        if ahead <= 0 or is_awaited:
            now = time.monotonic()
            ahead = int(now >= self._trickles)
            if ahead:
                self._trickles = now + _TRICKLE_S
        return max(1, market + ahead)  # a leash of 0 is none

    def _ahead(self) -> int:
        """Return by how many records the market may be ahead of the slowest."""
        is_whole = not (self._dying or self._recovering)
        ahead = max(20, int(self._rate * (_AHEAD_S if is_whole else _AHEAD_OF_THE_DEAD_S)))
        return min(ahead, self._most_waiting)

    def _strike(self, segment: Segment, kill: Kill, poll: select.poll) -> bool:
        if kill.process == "supervisor":
            # Its own processes must be there, or there is nothing that a resume could lose.
            if any(not segment.words(f"{name}.words").load("beat") for name in topology.PIPELINE):
                return False
            self._recovering["supervisor"] = time.monotonic_ns()
            self._victim.process.kill()
            self._killed(kill, "SIGKILL")
            return True
        words = segment.words(f"{kill.process}.words")
        pid = words.load("pid")
        if not pid or not words.load("beat"):
            return False
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        self._dying[kill.process] = _Dying(kill.process, pidfd)
        poll.register(pidfd, select.POLLIN)
        if kill.point == OUTSIDE:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            self._killed(kill, "SIGKILL from outside")
        else:
            words.store("crash", kill.point << 56)
            self._killed(kill, f"SIGKILL at point {kill.point}")
        return True

    def _killed(self, kill: Kill, how: str) -> None:
        self._outcome.killed[kill.process] += 1
        self._report(f"record {kill.position}: {kill.process}, {how}")

    def _note_deaths(self, poll: select.poll, ready: set[int]) -> None:
        for process, dying in list(self._dying.items()):
            if dying.pidfd in ready:
                self._recovering[process] = time.monotonic_ns()
                poll.unregister(dying.pidfd)
                os.close(dying.pidfd)
                del self._dying[process]

    def _note_recoveries(self, segment: Segment) -> None:
        for process, died_ns in list(self._recovering.items()):
            # With the supervisor all of them died: the first stage behind the feed speaks for them.
            name = "ta" if process == "supervisor" else process
            first_ns = segment.words(f"{name}.words").load("first_ns")
            if first_ns > died_ns:
                self._outcome.recoveries_ms.append((first_ns - died_ns) / 1e6)
                del self._recovering[process]

    # After it.

    def _finish(self, segment: Segment) -> None:
        errors = self._victim.messages()
        if code := self._victim.process.returncode:
            raise ChaosError(f"the run ended with exit code {code}: {errors}")
        outcome = self._outcome
        for process in self._dying:
            # Armed, and its point never came: no kill.
            outcome.killed[process] -= 1
        for name in topology.STAGES:
            counters = segment.counters(f"{name}.counters")
            outcome.replayed += counters["replayed"]
            outcome.suppressed += counters["suppressed"]
        stages = {name: topology.stage(name, self._config) for name in topology.STAGES}
        market_records = load_object("workers.exchange.records:market_records")
        outcome.verdict = verify(
            self._recorder.recorded,
            stages,
            lambda stage, group: segment.cells(
                f"{stage}.{group}", segment.words(f"{stage}.words").load("committed")
            ),
            market_records(self._config, outcome.events),
        )


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return what the command prints."""
    recoveries = sorted(outcome.recoveries_ms)
    verdict = outcome.verdict
    return {
        "events": outcome.events,
        "kills": sum(outcome.killed.values()),
        "killed": dict(sorted(outcome.killed.items())),
        "orders": verdict.orders,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "changed": verdict.changed,
        "findings": verdict.findings,
        "replayed_inputs": outcome.replayed,
        "suppressed_outputs": outcome.suppressed,
        "recovery_ms": {
            "p50": round(recoveries[len(recoveries) // 2], 1) if recoveries else None,
            "max": round(recoveries[-1], 1) if recoveries else None,
        },
    }
