"""What operators ask of a run, with real processes that die on the way."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.kill.positions import committed, executor_cells
from pipeline.requests import latest, risk_account
from pipeline.vocabulary import Mode
from tests.pipeline.supervisor.started import BOT4, Started, environment, until
from workers.risk.account import limits_in_force

# A market on which nothing is traded: the account is what operators make of it.
QUIET: dict[str, Any] = {"risk__positions": "1", "risk__stop_cooldown_s": "0", "risk__gross": "1"}


LOSING: dict[str, Any] = {
    "risk__daily_loss": "100",
    "risk__losses": "0",
    "executor__slippage_bp": "200",
}


def ask(run: Started, *arguments: str) -> Result:
    """Run a command on it to its end, in this process."""
    return CliRunner().invoke(main, [*arguments, *run.flags])


def asking(run: Started, *arguments: str) -> subprocess.Popen[str]:
    """Begin a command on it, and wait until its request is written."""
    before = latest(run.segment)
    process = subprocess.Popen(
        [BOT4, *arguments, *run.flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=run.state_dir,
    )

    def is_written() -> bool:
        now = latest(run.segment)
        return now is not None and (before is None or now["request"] > before["request"])

    until(is_written, "the request")
    return process


def trail(folder: Path, about: str) -> list[tuple[str, str, str, str]]:
    """What the audit trail says of something: kind, from, to and cause."""
    entries = [json.loads(line) for line in (folder / "breakers.jsonl").read_text().splitlines()]
    names = ("kind", "from", "to", "cause")
    return [tuple(each[name] for name in names) for each in entries if each["breaker"] == about]


def begun(run: Started) -> None:
    """Wait until risk has an account."""
    run.flows()
    until(lambda: risk_account(run.segment)["begun"], "an account")


def test_deposits_and_withdrawals(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **QUIET) as run:
        begun(run)
        done = ask(run, "flow", "1000000", "--reason", "more", "--actor", "anna")
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == (
            f"deposited: 1000000 USDT, {name}, on paper\n"
            "equity 101000000 USDT: 101000000 units at 1.000000; 0 bp below the high-water "
            "mark, as before\n"
        )
        done = ask(run, "flow", "-500000.5", "--reason", "less", "--json")
        figures = json.loads(done.stdout)
        assert (figures["amount"], figures["flows"]) == ("-500000.5", "499999.5")
        assert (figures["unit"], figures["drawdown_bp"]) == ("1", 0)
        done = ask(run, "flow", "-999999999", "--reason", "all", "--actor", "anna")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            "bot4: flow was -999999999 USDT, must leave some of the equity, 100499999.5 USDT; "
            "nothing was booked\n"
        )
        account = risk_account(run.segment)
        assert (account["request"], account["refused"]) == (3, 1)
        figures, errors = run.stop()
    assert (figures["equity"], figures["pnl"]) == ("100499999.5", "0")  # a deposit is no profit
    assert "flow (by anna): more\n" in errors
    assert trail(tmp_path, "account") == [
        ("intent", "100000000", "100000000", "flow"),
        ("done", "100000000", "101000000", "flow"),
        ("intent", "101000000", "101000000", "flow"),
        ("done", "101000000", "100499999.5", "flow"),
        ("intent", "100499999.5", "100499999.5", "flow"),
        ("refused", "100499999.5", "100499999.5", "flow"),
    ]


def test_what_cannot_be_an_amount_is_refused_before_anything_else(name: str) -> None:
    for amount in ("0", "much", "1e-9", "inf"):
        done = CliRunner().invoke(main, ["flow", amount, "--reason", "x", "--name", name])
        assert (done.exit_code, "AMOUNT" in done.stderr) == (2, True)
    done = CliRunner().invoke(main, ["flow", "1", "--reason", "x", "--name", name])
    assert done.exit_code == 3
    assert f"bot4: {name} is not running" in done.stderr


@pytest.mark.parametrize("victim", ["risk", "supervisor"])
def test_a_request_outlives_who_was_to_deal_with_it(name: str, tmp_path: Path, victim: str) -> None:
    with Started(name, tmp_path, **QUIET) as run:
        begun(run)
        run_id = run.segment.run_id
        before = int(risk_account(run.segment)["equity_e8"])
        # Whoever is stopped has not taken it, and then never will.
        if victim == "risk":
            run.strike("risk", signal.SIGSTOP)
            waiting = asking(run, "flow", "1000", "--reason", "x")
            run.strike("risk")
        else:
            run.process.send_signal(signal.SIGSTOP)
            waiting = asking(run, "flow", "1000", "--reason", "x")
            run.kill()
            out, errors = waiting.communicate(timeout=60)
            assert (waiting.returncode, out) == (1, "")
            assert errors == (
                "bot4: the supervisor has gone: request 1 is neither lost nor refused, and is "
                "dealt with once when the run goes on; do not repeat it\n"
            )
            assert trail(tmp_path, "account")[-1][0] == "pending"
            done = ask(run, "init", "--rebase", "--reason", "y")
            assert f"bot4: run {run_id} was killed and has an account of its own" in done.stderr
            done = ask(run, "flow", "1", "--reason", "y")
            assert f"bot4: {name} is not running" in done.stderr
            with Started(name, tmp_path, **QUIET) as second:
                assert second.segment.run_id == run_id
                is_booked_once(second, before)
            return
        out, errors = waiting.communicate(timeout=60)
        assert (waiting.returncode, errors) == (0, "")
        assert out.startswith("deposited: 1000 USDT")
        is_booked_once(run, before)


def is_booked_once(run: Started, before: int) -> None:
    """Another request shows that the first was booked, and once."""
    begun(run)
    done = ask(run, "flow", "1", "--reason", "y", "--json")
    assert json.loads(done.stdout)["flows"] == "1001"
    account = risk_account(run.segment)
    assert (account["request"], int(account["equity_e8"]) - before) == (2, 1001 * 10**8)
    run.stop()


def test_requests_while_risk_dies_at_every_point_of_a_step(name: str, tmp_path: Path) -> None:
    patient: dict[str, Any] = {"supervisor__restart_budget": "100", "breakers__restarts": "1000"}
    with Started(name, tmp_path, **QUIET, **patient) as run:
        begun(run)
        for point in range(1, 8):
            pid = run.pid("risk")
            run.segment.words("risk.words").store("crash", point << 56)
            assert ask(run, "flow", str(point), "--reason", "x").exit_code == 0
            done = ask(run, "limits", "set", f"positions={point + 1}", "--reason", "x")
            assert done.exit_code == 0, done.stderr
            if point != 3:  # of a step that emits: on this market there is none
                run.replaced("risk", pid)
            assert risk_account(run.segment)["flows_e8"] == sum(range(point + 1)) * 10**8
        account = risk_account(run.segment)
        assert (account["request"], account["limits"]) == (14, 7)
        in_force = limits_in_force(
            json.loads(run.segment.blob("config")), committed(run.segment, "risk", "limits")
        )
        assert in_force.settings.positions == 8
        run.stop()


def test_a_request_by_one_who_was_killed_is_dealt_with(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **QUIET) as run:
        begun(run)
        run.process.send_signal(signal.SIGSTOP)
        waiting = asking(run, "flow", "1000", "--reason", "x")
        waiting.kill()
        waiting.communicate()
        run.process.send_signal(signal.SIGCONT)
        until(lambda: risk_account(run.segment)["flows_e8"] == 1000 * 10**8, "the deposit")
        run.stop()


def loses(run: Started) -> None:
    """Wait until the loss of the day has paused risk, and no mark can make it less."""
    until(lambda: risk_account(run.segment)["mode"] == Mode.PAUSED, "a loss of the day")

    def is_flat() -> bool:
        return not (executor_cells(run.segment)["position"].any() or run.segment.depth("orders"))

    until(is_flat, "the end of all positions")
    until(lambda: not risk_account(run.segment)["value_e8"], "the same in risk's account")


def test_risk_resumes_once_the_loss_does_not_stand_or_is_rebased(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **LOSING) as run:
        loses(run)
        shown = ask(run, "mode").stdout
        assert shown == f"{name}: mode normal\nrisk by itself: paused (DAILY)\n"
        done = ask(run, "resume", "--reason", "go on")
        assert (done.exit_code, done.stdout) == (1, "")
        assert "bot4: the breach stands, nothing was changed: DAILY: -" in done.stderr
        assert "USDT since 00:00 UTC; the limit is 100 (risk.daily_loss); to have" in done.stderr
        done = ask(run, "resume", "--reason", "go on", "--rebase")
        assert done.exit_code == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[:2] == [
            f"resumed {name}: mode paused -> normal",
            "risk: mode paused (DAILY) -> normal",
        ]
        assert lines[2].startswith("risk: high-water mark of a unit 1.0")
        assert lines[3].startswith("risk: results begin anew with 0; they were, in USDT: daily -")
        account: Any = committed(run.segment, "risk", "account")[0]
        assert account["request"] == 2
        run.stop()
    assert [entry[0] for entry in trail(tmp_path, "mode")] == [
        *("intent", "refused", "intent", "done")
    ]
