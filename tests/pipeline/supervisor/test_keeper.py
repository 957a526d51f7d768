"""The account across runs, with real processes: stopping and starting resets nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.account import AccountFile
from pipeline.kill.latch import LatchFile
from pipeline.requests import risk_account
from pipeline.vocabulary import Denial, Mode
from tests.pipeline.supervisor.started import Started, until
from tests.pipeline.supervisor.test_requests import LOSING, QUIET, ask, begun, loses


def figures(folder: Path) -> dict[str, int]:
    """What is kept."""
    account = AccountFile(folder).read()
    assert account is not None
    return dict(account.figures)


def test_a_loss_of_the_day_outlives_a_restart_until_it_is_rebased(
    name: str, tmp_path: Path
) -> None:
    today = datetime.now(UTC).date()
    with Started(name, tmp_path, **LOSING) as run:
        loses(run)
        run.stop()
    kept = figures(tmp_path)
    assert (kept["mode"], kept["mode_code"]) == (Mode.PAUSED, Denial.DAILY)
    assert kept["equity_e8"] < kept["day_open_e8"] == kept["opened_e8"] == 10**16
    with Started(name, tmp_path, **LOSING) as run:
        begun(run)
        account = risk_account(run.segment)
        assert account["mode"] == Mode.PAUSED
        assert account["equity_e8"] == account["opening_e8"] == kept["equity_e8"]
        assert account["high_water_e12"] == kept["high_water_e12"]
        _, errors = run.stop()
    assert "the account goes on with 9999" in errors
    refused = ask(run, "resume", "--reason", "x")
    if datetime.now(UTC).date() > today:
        pytest.skip("midnight has passed, and with it the loss of the day")
    assert refused.exit_code == 1
    assert "bot4: the breach stands, nothing was changed: DAILY: -" in refused.stderr
    done = ask(run, "resume", "--reason", "x", "--rebase")
    assert done.exit_code == 0
    assert done.stdout.startswith(
        f"resumed {name}: mode paused -> normal\nrisk: mode paused (DAILY) -> normal\n"
    )
    after = figures(tmp_path)
    assert after["mode"] == after["mode_code"] == 0
    assert after["day_open_e8"] == after["equity_e8"] == kept["equity_e8"]


FALLING = {
    **LOSING,
    "risk__daily_loss": "0",
    "equity": "10000",
    "ml__order_notional": "150",
    "risk__drawdown_bp": "20",
    "risk__reduce_bp": "0",
}


def test_a_drawdown_only_stops_if_positions_are_not_to_be_closed(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **FALLING, kill__flatten="false") as run:
        told, errors = run.end(4)
    assert told["exit_reason"] == "halted: limit reached: DRAWDOWN (risk.drawdown_bp)"
    assert "positions are closed" not in errors
    latch = LatchFile(tmp_path).read()
    assert (latch.is_killed, latch.trip) == (True, "drawdown")


def test_a_drawdown_kills_and_stays_until_it_is_rebased(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **FALLING) as run:
        _, errors = run.end(4)
    assert "killed: limit reached: DRAWDOWN (risk.drawdown_bp)" in errors
    kept = figures(tmp_path)
    assert (kept["killed"], kept["drawdown"], kept["mode"]) == (808, 1, Mode.EMERGENCY)
    refused = ask(run, "resume", "--reason", "x")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "bot4: the breach stands" in refused.stderr
    assert LatchFile(tmp_path).read().is_killed
    assert figures(tmp_path) == kept
    done = ask(run, "resume", "--reason", "x", "--rebase", "--json")
    assert json.loads(done.stdout)["mode"] == "normal"
    after = figures(tmp_path)
    assert (after["killed"], after["drawdown"], after["mode"]) == (0, 0, 0)
    assert after["high_water_e12"] < kept["high_water_e12"]


def test_a_deposit_and_the_account_of_a_killed_run_are_kept(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **QUIET) as run:
        begun(run)
        assert ask(run, "flow", "1000", "--reason", "x").exit_code == 0
        until(
            lambda: not AccountFile(tmp_path).is_new() and figures(tmp_path)["flows_e8"],
            "the deposit in the file",
        )
        run_id = run.segment.run_id
        run.kill()
    # Gone on with: what is in the segment counts, not that the file is another now.
    with Started(name, tmp_path, **QUIET) as run:
        assert run.segment.run_id == run_id
        run.stop()
    kept = figures(tmp_path)
    assert kept["flows_e8"] == 1000 * 10**8
    assert kept["units"] == kept["equity_e8"] == kept["day_open_e8"] == 10**16 + 1000 * 10**8
    with Started(name, tmp_path, **QUIET) as run:
        begun(run)
        assert ask(run, "flow", "-1", "--reason", "x").exit_code == 0
        run.stop()
    assert figures(tmp_path)["flows_e8"] == 999 * 10**8


def test_a_run_of_some_events_leaves_the_account_as_it_is(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, "--events", "500") as run:
        run.end()
    assert AccountFile(tmp_path).is_new()
