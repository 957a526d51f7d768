"""`bot4 mode`, `resume` and `status` on a run that stands still."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipeline import runtime, topology
from pipeline.breakers.settings import begin
from pipeline.cli import main
from pipeline.kill.latch import LatchFile
from pipeline.kill.positions import committed
from pipeline.kill.words import kill, mode
from pipeline.records import CONTEXT, TICK
from pipeline.requests import Handover, risk_account
from pipeline.supervisor.start import encoded
from pipeline.vocabulary import Mode
from shm import Segment


class Desk:
    """A deployment and its operator."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.file = LatchFile(folder)

    def bot4(self, *arguments: str) -> Result:
        """Run a command on it."""
        flags = ["--name", self.name, "--set", f"state_dir={self.file.folder}"]
        return CliRunner().invoke(main, [*arguments, *flags])

    def trail(self) -> list[tuple[str, str, str]]:
        """Kind, from and to of all that was done to the mode."""
        text = (self.file.folder / "breakers.jsonl").read_text()
        entries = [json.loads(line) for line in text.splitlines()]
        return [(each["kind"], each["from"], each["to"]) for each in entries]


@pytest.fixture
def desk(name: str, tmp_path: Path) -> Desk:
    made = Desk(name, tmp_path / "state")
    assert made.bot4("init").exit_code == 0
    return made


@pytest.fixture
def run(desk: Desk, config: dict[str, Any]) -> Iterator[Segment]:
    """A segment of that deployment."""
    config["state_dir"] = str(desk.file.folder)
    layout = topology.layout(config, config["affinity"])
    with Segment.create(desk.name, layout, blobs={"config": encoded(config)}) as segment:
        breakers = segment.breakers("breakers")
        begin(breakers, config)
        breakers.close()
        yield segment


def test_up_and_down_by_an_operator(desk: Desk, run: Segment) -> None:
    done = desk.bot4("mode", "reduced", "--reason", "storm", "--actor", "anna")
    assert done.stdout == f"{desk.name}: mode normal -> reduced\n"
    assert (mode(run), desk.file.read().mode) == (Mode.REDUCED, Mode.REDUCED)
    done = desk.bot4("mode", "paused", "--reason", "calmer")
    assert done.stdout == f"{desk.name}: mode reduced -> paused\n"
    assert (mode(run), desk.file.read().mode) == (Mode.PAUSED, Mode.PAUSED)
    done = desk.bot4("resume", "--reason", "calm")
    assert done.stdout == f"resumed {desk.name}: mode paused -> normal\n"
    assert (mode(run), desk.file.read().mode) == (Mode.NORMAL, Mode.NORMAL)
    assert desk.trail() == [
        ("done", "normal", "reduced"),
        ("intent", "reduced", "paused"),
        ("done", "reduced", "paused"),
        ("intent", "paused", "normal"),
        ("done", "paused", "normal"),
    ]


def test_resume_lets_a_strategy_go_on_that_repeated_itself(
    desk: Desk, run: Segment, config: dict[str, Any]
) -> None:
    strategy, instrument = 1, 2
    begin_risk(run, {strategy * 3 + instrument: (1, 20), 0: (-1, 19)})
    loop = runtime.build(topology.stage("risk", config), run)
    loop.recover()
    handover = Handover(run, lambda said: None)

    def resume(*flags: str) -> str:
        answers: list[Result] = []
        arguments = ("resume", "--reason", "seen", *flags)
        thread = threading.Thread(target=lambda: answers.append(desk.bot4(*arguments)))
        thread.start()
        while thread.is_alive():
            handover.look()
            while loop.turn():
                pass
        [done] = answers
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    symbol = config["instruments"][instrument]["symbol"]
    note = f"risk: strategy 1 may buy {symbol}@sim again, after 20 orders in a row (REPEATED_EXEC)"
    assert resume() == f"re-enabled {desk.name}: mode normal -> normal\n{note}\n"
    assert not committed(run, "risk", "signals")["count"].any()
    assert risk_account(run)["resumed"] == 0
    assert resume() == f"{desk.name}: mode was normal: nothing changed\n"
    assert risk_account(run)["request"] == 1
    assert desk.trail() == [("intent", "normal", "normal"), ("done", "normal", "normal")]


def begin_risk(run: Segment, signals: Mapping[int, tuple[int, int]]) -> None:
    """Give risk a first step, after which there are so many orders in a row on a side."""
    writer = run.cells_writer("risk.signals", 0)
    for index, (side, count) in signals.items():
        cell = writer.edit(index)
        cell["side"], cell["count"] = side, count
    writer.stamp(1)
    writer.close()
    context = np.zeros(1, CONTEXT)
    context["step"], context["source"] = 1, TICK
    contexts = run.observer_producer("risk.contexts")
    contexts.push(context)
    contexts.close()
    run.words("risk.words").store("committed", 1)


def test_it_is_shown(desk: Desk, run: Segment) -> None:
    assert desk.bot4("mode").stdout == f"{desk.name}: mode normal\n"
    desk.bot4("mode", "paused", "--reason", "lunch", "--actor", "anna")
    assert desk.bot4("mode").stdout.startswith(f"{desk.name}: mode paused: lunch (by anna, ")
    shown = json.loads(desk.bot4("mode", "--json").stdout)
    assert (shown["run_id"], shown["mode"]) == (run.run_id, "paused")
    figures = json.loads(desk.bot4("status", "--json").stdout)
    assert (figures["mode"], figures["halted"]) == ("paused", None)
    assert (figures["latch"]["reason"], figures["latch"]["actor"]) == ("lunch", "anna")


def test_it_holds_without_a_run(desk: Desk) -> None:
    done = desk.bot4("mode", "paused", "--reason", "x", "--json")
    said = json.loads(done.stdout)
    assert said == {"run_id": None, "before": "normal", "mode": "paused"}
    assert desk.bot4("mode", "paused", "--reason", "x").stdout.endswith("nothing changed\n")
    done = desk.bot4("resume", "--reason", "x", "--json")
    assert json.loads(done.stdout) == {"run_id": None, "before": "paused", "mode": "normal"}
    assert desk.bot4("resume", "--reason", "x").stdout.endswith("was normal: nothing changed\n")


def test_a_change_needs_a_reason(desk: Desk) -> None:
    for reason in ([], ["--reason", " "]):
        done = desk.bot4("mode", "paused", *reason)
        assert done.exit_code == 2
        assert "--reason was empty, must say why" in done.stderr
    assert desk.bot4("resume").exit_code == 2
    assert desk.bot4("mode", "emergency", "--reason", "x").exit_code == 2


@pytest.mark.parametrize("what", ["reason", "actor"])
def test_what_an_operator_writes_is_one_line_of_text(desk: Desk, what: str) -> None:
    others = ["--reason", "x"] if what == "actor" else []
    given = "two\nlines \x1b[31m\u202e[red] \udcff" + "x" * 70_000
    assert desk.bot4("mode", "paused", *others, f"--{what}", given).exit_code == 0
    latch = desk.file.read()
    assert latch.mode is Mode.PAUSED  # and not one that is too long to be read
    text = getattr(latch, what)
    assert text.startswith("two lines [31m [red] ?xxx")
    assert (len(text), text.isprintable(), text[-4:]) == (403, True, "x...")
    assert text in desk.bot4("mode").stdout


def test_without_a_run_a_mode_that_is_not_kept_is_refused(desk: Desk) -> None:
    beside = desk.file.path.with_name(f"{desk.file.path.name}.{os.getpid()}.new")
    beside.mkdir()
    done = desk.bot4("mode", "paused", "--reason", "x")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"bot4: {desk.file.path} cannot be written (Is a directory): nothing was changed\n"
    )
    assert not (desk.file.folder / "breakers.jsonl").exists()


def test_what_is_killed_is_no_matter_of_modes(desk: Desk, run: Segment) -> None:
    kill(run, "enough", "anna")
    desk.file.raise_to(Mode.EMERGENCY, "anna", "enough", "manual")
    done = desk.bot4("mode", "normal", "--reason", "x")
    assert done.exit_code == 1
    assert f"bot4: {desk.name} is killed: enough (by anna" in done.stderr
    done = desk.bot4("resume", "--reason", "x")
    assert done.exit_code == 1
    assert f"bot4: run {run.run_id} was killed and has not ended; wait for its end" in done.stderr
    done = desk.bot4("status", "--json")
    assert done.exit_code == 4
    figures = json.loads(done.stdout)
    assert (figures["mode"], figures["halted"]["reason"]) == ("emergency", "enough")
    assert desk.file.read().is_killed


def test_a_breach_has_to_be_rebased(desk: Desk) -> None:
    desk.file.raise_to(Mode.EMERGENCY, "supervisor", "drawdown", "drawdown")
    done = desk.bot4("resume", "--reason", "x")
    assert done.exit_code == 1
    assert "bot4: the breach stands: drawdown (by supervisor" in done.stderr
    assert desk.bot4("resume", "--reason", "x", "--rebase").exit_code == 0
    assert not desk.file.read().is_killed
    assert desk.trail()[-1] == ("done", "emergency", "normal")


def test_without_a_record_nothing_is_lowered(desk: Desk, run: Segment) -> None:
    desk.bot4("mode", "reduced", "--reason", "storm")
    trail = desk.file.folder / "breakers.jsonl"
    trail.unlink()
    trail.mkdir()
    done = desk.bot4("resume", "--reason", "x")
    assert done.exit_code == 1
    assert "bot4: nothing was changed: the audit trail" in done.stderr
    assert (mode(run), desk.file.read().mode) == (Mode.REDUCED, Mode.REDUCED)
    # Up, it goes all the same.
    trail.rmdir()
    trail.mkdir()
    run.words("run").store("mode", Mode.NORMAL)
    assert desk.bot4("mode", "reduced", "--reason", "y").exit_code == 0


def test_a_breaker_that_is_open_after_a_resume_is_told(desk: Desk, run: Segment) -> None:
    desk.bot4("mode", "reduced", "--reason", "storm")
    breakers = run.breakers("breakers")
    breakers.breaker("risk").force_open(actor="anna", reason="x")
    breakers.derive()
    breakers.close()
    done = desk.bot4("resume", "--reason", "x")
    assert done.stderr == "bot4: the global breaker is still open: bot4 breaker list says why\n"


def test_a_deployment_that_does_not_run_is_latched(desk: Desk) -> None:
    again = desk.bot4("init")
    assert again.stdout == f"{desk.name} was initialised before: {desk.file.folder}\n"
    done = desk.bot4("kill", "--reason", "no", "--actor", "anna")
    assert (done.exit_code, done.stdout) == (
        0,
        (
            f"killed {desk.name}, which was not running: no\n"
            "latched: no run begins until bot4 resume --reason TEXT\n"
        ),
    )
    done = desk.bot4("kill", "--reason", "again")
    assert done.stdout.startswith(f"{desk.name}, which was not running, was killed: no (by anna, ")
    done = desk.bot4("run", "--duration", "1")
    assert done.exit_code == 4
    assert "bot4: killed: no (by anna, " in done.stderr
    done = desk.bot4("init")
    assert done.exit_code == 1
    assert f"bot4: {desk.name} is killed: no (by anna, " in done.stderr


def test_a_run_that_is_not_ours_is_told_from_none(desk: Desk) -> None:
    (path := Path("/dev/shm") / f"bot4.{desk.name}.x").mkdir()  # as one that cannot be opened
    try:
        said = f"{path} is not ours (Is a directory); do this as whoever started that run\n"
        done = desk.bot4("limits", "set", "gross=1", "--reason", "x")
        assert (done.exit_code, done.stderr) == (1, f"bot4: {said}")
        done = desk.bot4("kill", "--reason", "x")
        assert (done.exit_code, done.stderr) == (1, f"bot4: a run goes on: {said}")
        assert desk.file.read().is_killed
    finally:
        path.rmdir()


def test_a_deployment_that_nobody_knows_is_not_killed(name: str, tmp_path: Path) -> None:
    done = Desk(name, tmp_path / "none").bot4("kill", "--reason", "x")
    assert done.exit_code == 3
    assert not (tmp_path / "none").exists()
