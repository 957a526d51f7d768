"""One run, from its first process to its last."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from pipeline import topology
from pipeline.affinity import verify
from pipeline.breakers.audit import FILE, AuditTrail, AuditWriter, forced_open, read
from pipeline.breakers.explain import dropped
from pipeline.breakers.settings import LOOK_S
from pipeline.breakers.subscribers import Subscribers
from pipeline.breakers.watch import BreakerWatch
from pipeline.kill.closing import Closing
from pipeline.kill.latched import Latched
from pipeline.kill.words import halt_reason, is_killed
from pipeline.mode import mode_of
from pipeline.notify.notice import Notice
from pipeline.notify.notifier import Notifier
from pipeline.notify.own_mode import OwnMode
from pipeline.process import pin
from pipeline.requests import Handover, risk_account
from pipeline.rules import RULES
from pipeline.supervisor.child import Child, describe_exit
from pipeline.supervisor.drain import Drain
from pipeline.supervisor.keeper import Keeper
from pipeline.supervisor.poison import DEATHS, Poison, step_in_progress
from pipeline.supervisor.restart import RestartPolicy, Restarts
from pipeline.supervisor.snapshot import Snapshot, memory_mb, snapshot
from pipeline.supervisor.start import NameLock, encoded, open_segment
from pipeline.supervisor.watch import Heartbeats
from pipeline.vocabulary import Denial
from shm import Segment

START_S = 20.0
"""Until a process that has not begun to beat is given up."""

_AUDIT_S = 1.0  # for what is still to be written at the end
_HALTED = "halted: "


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    run_id: str
    seconds: float
    exit_reason: str
    halted: bool
    failed: bool
    memory_mb: float
    last: Snapshot

    @property
    def breakers(self) -> Mapping[str, str]:
        """The states of the breakers at the end, by component."""
        return self.last.breakers

    @property
    def global_breaker(self) -> str:
        """The global state at the end."""
        return self.last.global_breaker


class Supervisor:
    """Starts the processes of a run, watches them, and ends them in order."""

    def __init__(self, config: Mapping[str, Any], report: Callable[[str], None]) -> None:
        """Prepare a run; `config` is the resolved configuration with ``affinity`` and ``run``.

        `report` is given a sentence whenever something happens that an operator should know of.
        """
        self.config = config
        self.stages = {name: topology.stage(name, config) for name in topology.STAGES}
        self._report = report
        self._settings = config["supervisor"]
        self._state_dir = Path(config["state_dir"])
        self._notifier = Notifier(config, report)
        self._latched = Latched(self._state_dir, report, self._notifier.tell)
        self._keeper = Keeper(self._state_dir, report)
        policy = RestartPolicy(
            self._settings["restart_budget"],
            self._settings["restart_window_s"],
            self._settings["backoff_s"],
            self._settings["backoff_max_s"],
        )
        jitter = random.Random()  # noqa: S311 - spreads restarts, protects nothing
        self._processes = topology.processes(config)
        self._restarts = {name: Restarts(policy, jitter) for name in self._processes}
        self._poison = {name: Poison() for name in topology.STAGES}
        self._children: dict[str, Child] = {}
        self._due: dict[str, float] = {}  # processes to be started again, and when
        self._heartbeats = Heartbeats(int(self._settings["heartbeat_s"] * 1e9))
        self._failure: str | None = None
        self._signals = 0
        self._verified = False

    def run(
        self,
        *,
        duration_s: float | None = None,
        every_s: float = 5.0,
        progress: Callable[[Snapshot], None] = lambda state: None,
    ) -> Result:
        """Run until the duration, the events or the capture is over, or somebody asks for the end.

        `progress` is given the state `every_s` seconds. SIGINT, SIGTERM and SIGHUP drain and end
        it; a second one ends it at once.

        Raises:
            StageError: what the configuration names, a model, cannot be used.
            AlreadyRunningError: there is a run of this name.
            KilledError: the latch is set.
            AccountError: the account of the last run cannot be gone on with.
            AffinityError: the kernel runs a process elsewhere than it was placed.
        """
        for stage in self.stages.values():
            stage.check()
        pin(self.config["affinity"]["supervisor"])
        self._latched.begin()
        lock = NameLock(self._state_dir)
        try:
            with self._listening() as wake:
                self._latched.check()
                self.config = self._keeper.begin(self.config)
                layout = topology.layout(self.config, self.config["affinity"])
                segment, resumed = open_segment(
                    self.config["name"], layout, encoded(self.config), self._report
                )
                with (
                    segment,
                    self._latched.of(segment),
                    self._keeper.of(segment),
                    self._notifier.of(segment),
                    self._watching(segment, resumed),
                ):
                    try:
                        return self._run(segment, wake, resumed, duration_s, every_s, progress)
                    finally:
                        for child in self._children.values():
                            child.end(0.0)
                            child.close()
        finally:
            lock.release()
            # Nobody has to wait for this: a run may begin, a kill has nothing more to do.
            self._notifier.close(0.0 if self._signals > 1 else None)

    def _run(
        self,
        segment: Segment,
        wake: socket.socket,
        resumed: bool,
        duration_s: float | None,
        every_s: float,
        progress: Callable[[Snapshot], None],
    ) -> Result:
        begun = time.monotonic()
        own = segment.words("supervisor.words")
        own.store("pid", os.getpid())
        self._counters = segment.counters_writer("restarts")
        notices = segment.words("notices")
        closing = Closing(segment, self.config, self._report, self._notifier.tell)
        kept = self.config.get("run", {}).get("account", {})
        own_mode = OwnMode(risk_account(segment), mode_of(kept.get("mode", 0)))
        requests = Handover(segment, self._report)
        for name in self._processes:
            if resumed:
                self._counters.add(name)
            self._start(segment, name)
        end = float("inf") if duration_s is None else begun + duration_s
        next_report = begun + every_s
        drain: Drain | None = None
        reason = ""
        used = 0.0
        while drain is None or not drain.is_over():
            now = time.monotonic()
            own.store("beat", time.monotonic_ns())
            self._wait(wake, self._next_look(now, end if drain is None else now + 0.01))
            if self._signals > 1:
                reason = "killed by a second signal"
                self._failure = self._failure or reason
                break
            self._reap(segment, drain)
            self._start_due(segment, drain)
            self._check_beats(segment, drain)
            self._watch.tick(time.monotonic_ns(), judge=drain is None)
            if drain is None:
                requests.look()
            self._keeper.look()
            account = risk_account(segment)
            self._check_account(segment, account)
            if (notice := own_mode.look(account)) is not None:
                self._notifier.tell(notice)
            if closing.look(is_ending=drain is not None):
                self._latched.kill()
            for name, count in self._notifier.counts().items():
                notices.store(name, count)
            now = time.monotonic()
            if now >= next_report:
                progress(self.snapshot(segment))
                next_report += every_s
            if drain is None and (reason := self._why_end(segment, now >= end)):
                used = memory_mb([child.pid for child in self._children.values()])
                drain = Drain(segment, self._children, self._due, self._settings["drain_s"])
            if drain is not None:
                drain.advance()
        halted = halt_reason(segment)
        if halted is not None and not reason.startswith(_HALTED):
            self._report(f"halted: {halted}")  # while it was drained for another reason
            reason = _HALTED + halted.reason
        if drain is not None and drain.left_behind:
            left = f"not everything could be drained: {drain.left_behind}"
            if halted is not None:
                self._report(f"{left}; a halted run is over, so they are dropped")
            else:
                self._failure = left
                self._report(f"{left}; {segment.path} is kept, the next run goes on with it")
                segment.disown()
        return Result(
            segment.run_id,
            round(time.monotonic() - begun, 3),
            reason if self._failure is None else f"failed: {self._failure}",
            halted is not None,
            self._failure is not None,
            used,
            self.snapshot(segment),
        )

    def snapshot(self, segment: Segment) -> Snapshot:
        """Return the state of the run."""
        return snapshot(segment, self.config, self.stages)

    # Starting.

    def _prepare(self, segment: Segment, name: str) -> None:
        words = segment.words(f"{name}.words")
        words.store("beat", 0)
        words.store("pid", 0)
        # Its predecessor's work is not its own, or a crash loop would look like crashes.
        words.store("port" if name == "exchange" else "first_ns", 0)

    def _start(self, segment: Segment, name: str) -> None:
        self._prepare(segment, name)
        child = Child(name, segment.name, segment.run_id)
        self._children[name] = child
        self._verified = False
        self._poll.register(child.pidfd, select.POLLIN)
        segment.words(f"{name}.words").store("pid", child.pid)

    def _start_due(self, segment: Segment, drain: Drain | None) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            del self._due[name]
            if drain is None or not drain.was_told(name):
                self._start(segment, name)

    def _next_look(self, now: float, end: float) -> float:
        return max(0.0, min([now + LOOK_S, end, *self._due.values()]) - now)

    def _wait(self, wake: socket.socket, timeout_s: float) -> None:
        for fd, _ in self._poll.poll(timeout_s * 1000 + 0.5):
            if fd == wake.fileno():
                wake.recv(64)

    # Watching.

    def _reap(self, segment: Segment, drain: Drain | None) -> None:
        for name, child in list(self._children.items()):
            status = child.exit_status()
            if status is None:
                continue
            self._poll.unregister(child.pidfd)
            child.close()
            del self._children[name]
            if drain is not None and drain.was_told(name):
                continue
            if name == "feed" and status == 0 and segment.words("run").load("finished"):
                continue
            self._died(segment, name, child, describe_exit(status))

    def _died(self, segment: Segment, name: str, child: Child, how: str) -> None:
        # Whatever it may have been about to ring for is rung for by its successor or by time-outs;
        # its neighbours wait at their rings.
        words = segment.words(f"{name}.words")
        had_worked = bool(words.load("port" if name == "exchange" else "first_ns"))
        self._watch.died(name, how, time.monotonic_ns())
        if name in topology.STAGES:
            step = step_in_progress(segment, self.stages[name])
            if self._poison[name].died_at(step.number if step else 0):
                assert step is not None
                what = (
                    f"{name} died {DEATHS} times at step {step.number}, "
                    f"on a record of {step.ring!r}"
                )
                where = step.save(self._state_dir, segment.run_id)
                self._report(f"{what}: {step.record}; saved in {where}")
                self._latched.halt(what, "system")
                return
        delay = self._restarts[name].died(time.monotonic(), had_worked=had_worked)
        if delay is None and name == topology.MODEL:
            delay = self._settings["backoff_max_s"]  # until then the others do without it
        if delay is None:
            self._latched.halt(
                f"{name} died {self._restarts[name].recent} times within "
                f"{self._settings['restart_window_s']:g} s ({how} the last time), more than the "
                f"budget of {self._settings['restart_budget']} (supervisor.restart_budget)",
                "system",
            )
            return
        self._counters.add(name)
        said = f"{name} (pid {child.pid}) ended: {how}; starting it again"
        said += f" in {delay:.2f} s" if delay else ""
        self._report(said)
        self._due[name] = time.monotonic() + delay
        self._notifier.tell(Notice("stage", "warning", said, how))

    def _check_beats(self, segment: Segment, drain: Drain | None) -> None:
        now = time.monotonic_ns()
        beats = {}
        for name, child in self._children.items():
            if child.is_condemned:
                continue
            beat = segment.words(f"{name}.words").load("beat")
            if beat:
                beats[name] = beat
            elif now - child.started_ns > START_S * 1e9:
                self._report(f"{name} (pid {child.pid}) has not begun within {START_S:g} s")
                child.signal(signal.SIGKILL)
        for name in self._heartbeats.late(now, beats):
            if drain is not None and drain.was_told(name):
                continue
            self._report(
                f"{name} (pid {self._children[name].pid}) has not beaten for "
                f"{self._settings['heartbeat_s']:g} s; killing it"
            )
            self._children[name].signal(signal.SIGKILL)
        if not self._verified and len(beats) == len(self._processes):
            verify(
                {name: child.pid for name, child in self._children.items()}, self.config["affinity"]
            )
            self._verified = True

    def _check_account(self, segment: Segment, account: np.void) -> None:
        """Kill the run if risk has found a limit breached that does so."""
        killed = int(account["killed"])
        if killed and not is_killed(segment):
            code = Denial(killed)
            trip = "drawdown" if code is Denial.DRAWDOWN else "loss"
            stop = self._latched.kill if self.config["kill"]["flatten"] else self._latched.halt
            stop(f"limit reached: {code.name} (risk.{RULES[code].key})", trip)

    @contextlib.contextmanager
    def _watching(self, segment: Segment, resumed: bool) -> Iterator[None]:
        """Have the breakers watched, and what happens to them written to the audit trail."""
        subscribers = Subscribers(self._report)
        group = segment.breakers("breakers")
        writer = AuditWriter(
            AuditTrail(self._state_dir / FILE),
            group.breaker("storage"),
            group.names,
            segment.run_id,
        )
        subscribers.add("audit", writer.deliver, idle=writer.idle)
        try:
            self._watch = BreakerWatch(
                group,
                segment,
                self.config,
                self.stages,
                self._report,
                lambda reason: self._latched.halt(reason, "breakers"),
                now_ns=time.monotonic_ns(),
                publish=subscribers.publish,
                tell=self._notifier.tell,
                raise_mode=self._latched.raise_mode,
                lag_ns=writer.lag_ns,
                resumed=resumed,
                forced=self._forced_open(),
            )
            yield
        finally:
            writer.insist()
            subscribers.close(_AUDIT_S)
            if writer.waiting:
                self._report(
                    f"{writer.waiting} events of the breakers are missing in "
                    f"{self._state_dir / FILE}: {writer.failure or 'the disk did not answer'}"
                )
            counts = {
                "full rings": {kind.name: count for kind, count in group.drops().items()},
                **{
                    f"the queue of {name!r}": figures.dropped
                    for name, figures in subscribers.figures().items()
                },
                "what waits for the disk": writer.dropped,
            }
            if (missing := dropped(counts)) is not None:
                self._report(missing)

    def _forced_open(self) -> dict[str, tuple[str, str]]:
        """Return the breakers that an operator has left forced open: actor and reason by name."""
        try:
            entries, _ = read(self._state_dir / FILE)
        except OSError as error:
            self._report(
                f"{self._state_dir / FILE} cannot be read ({error.strerror or error}): breakers "
                "that were forced open before this run are not, unless you do it again"
            )
            return {}
        return forced_open(entries)

    # Ending.

    def _why_end(self, segment: Segment, is_over: bool) -> str:
        """Return why the run is to end; empty if it is not."""
        if (why := halt_reason(segment)) is not None:
            self._report(f"halted: {why}")
            return _HALTED + why.reason
        if segment.words("run").load("finished"):
            return "capture" if "capture" in self.config.get("run", {}) else "events"
        if self._signals:
            return "signal"
        return "duration" if is_over else ""

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        """Count signals, and let them end a poll."""
        self._poll = select.poll()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)

        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, count) for number in signals}
        old_wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._poll.register(ours.fileno(), select.POLLIN)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(old_wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()
