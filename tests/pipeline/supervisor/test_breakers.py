"""What the supervisor does when the global breaker opens, in runs with all processes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipeline.kill.positions import committed
from pipeline.vocabulary import Mode
from shm import GlobalState, State
from tests.pipeline.supervisor.started import Started, bot4, until


def positions(run: Started) -> list[int]:
    """What risk holds of each instrument, in lots."""
    return [int(lots) for lots in committed(run.segment, "risk", "instruments")["position"]]


def fills(run: Started) -> int:
    return int(committed(run.segment, "risk", "account")["fills"][0])


def operate(run: Started, *arguments: str) -> str:
    command, *rest = arguments  # a --set of theirs comes after the run's
    done = bot4("breaker", command, *run.flags, *rest, cwd=run.state_dir)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_if_so_configured_it_closes_all_positions_until_an_operator_resumes(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, breakers__on_open="flatten", breakers__cooldown_s="1") as run:
        run.flows(1, "executions")
        until(lambda: any(positions(run)), "a position")
        operate(run, "trip", "risk", "--reason", "a test")
        words = run.segment.words("run")
        until(lambda: words.load("mode") == Mode.REDUCED, "the order to flatten")
        until(lambda: not any(positions(run)), "the end of all positions")
        group = run.segment.breakers("breakers", observe=True)
        until(lambda: group.state() == GlobalState.CLOSED, "a closed global breaker")
        # It has closed by itself, but nobody has said that positions may be opened again.
        run.flows(100, "features")
        assert not any(positions(run))
        before = fills(run)
        done = bot4("resume", "--reason", "a test", *run.flags, cwd=run.state_dir)
        assert (done.returncode, done.stdout) == (0, f"resumed {name}: mode reduced -> normal\n")
        until(lambda: fills(run) > before, "new orders")
        _, errors = run.stop()
    assert re.search(r"breaker risk: closed -> open: .*a test", errors), errors
    log = [json.loads(line) for line in (tmp_path / "breakers.jsonl").read_text().splitlines()]
    by_hand = [entry for entry in log if entry["reason"] == "a test"]
    assert {entry["breaker"] for entry in by_hand} >= {"risk"}
    assert all(entry["actor"] for entry in by_hand)


def test_if_so_configured_it_halts_the_run(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, breakers__on_open="halt") as run:
        run.flows(1)
        operate(run, "force-open", "orders.sim", "--reason", "a test")
        figures, _ = run.end(4)
    assert figures["exit_reason"].startswith("halted: the global breaker opened: orders.sim is")
    assert figures["breakers"]["orders.sim"] == "forced_open"
    assert figures["global_breaker"] == "open"


def test_what_was_forced_open_is_so_again_at_the_next_start_until_it_is_reset(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, breakers__on_open="halt") as run:
        run.flows(1)
        operate(run, "force-open", "ta", "--reason", "a test", "--actor", "ann")
        run.stop()
    with Started(name, tmp_path, breakers__on_open="halt") as run:
        group = run.segment.breakers("breakers", observe=True)
        until(lambda: group.breaker("ta").state is State.FORCED_OPEN, "a breaker forced open")
        run.flows(1)
        operate(run, "reset", "ta", "--reason", "well")
        figures, errors = run.stop()
    again = "breaker ta: uninit -> forced-open: as before the restart: a test (by ann)"
    assert again in errors
    assert figures["breakers"]["ta"] == "closed"
    with Started(name, tmp_path) as run:
        run.flows(1)
        figures, errors = run.stop()
    assert figures["breakers"]["ta"] == "closed"
    assert "as before the restart" not in errors


def test_a_reload_outlives_the_supervisor(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(1)
        operate(run, "reload", "--set", "breakers.consecutive=7")
        run.kill()
    # The file was edited for the reload, and for more than that.
    with Started(name, tmp_path, breakers__consecutive="7", breakers__ta__beat_ms="1400") as run:
        run.flows(1)
        settings = run.segment.breakers("breakers", observe=True).breaker("ml").settings
        assert settings is not None
        assert settings.consecutive == 7
        _, errors = run.stop()
    assert "going on with run" in errors
    assert "the table breakers of the configuration has changed" in errors


def test_what_the_disk_did_not_take_is_written_at_the_end_or_its_failure_is_told(
    name: str, tmp_path: Path
) -> None:
    trail = tmp_path / "breakers.jsonl"
    with Started(name, tmp_path) as run:
        run.flows(1)
        until(lambda: trail.is_file() and trail.stat().st_size, "the trail")
        trail.rename(tmp_path / "kept")
        trail.mkdir()
        breaker = run.segment.breakers("breakers", observe=True).breaker("storage")
        operate(run, "trip", "storage", "--reason", "a test")
        until(lambda: breaker.state is State.OPEN, "an open breaker")
        trail.rmdir()
        run.stop()
    causes = [json.loads(line)["cause"] for line in trail.read_text().splitlines()]
    assert "tripped" in causes


def test_by_default_it_refuses_new_risk_and_goes_on(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(1, "executions")
        operate(run, "trip", "risk", "--reason", "a test")
        breaker = run.segment.breakers("breakers", observe=True).breaker("risk")
        until(lambda: breaker.state is State.OPEN, "an open breaker")
        assert not run.segment.words("run").load("mode")
        operate(run, "reset", "risk", "--reason", "a test")
        until(lambda: breaker.state is State.CLOSED, "a closed breaker")
        run.flows(1, "executions")
        run.stop()
