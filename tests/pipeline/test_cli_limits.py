"""`bot4 limits`: what is in force and why, and changes that are whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.config import ConfigError
from pipeline.config.load import changed, leaves
from pipeline.config.model import Config
from pipeline.instruments import money_to_text
from pipeline.kill.positions import committed
from pipeline.requests import latest, live_of, risk_account
from tests.pipeline.supervisor.started import Started
from tests.pipeline.supervisor.test_requests import QUIET, ask, begun, trail
from workers.risk.account import limits_in_force
from workers.risk.settings import RiskLimits, in_force

FIELDS = {
    **{key: f"{key}_e8" for key in ("gross", "directional", "venue", "asset_class")},
    "daily_loss": "daily_e8",
    "weekly_loss": "weekly_e8",
    "monthly_loss": "monthly_e8",
    **{key: key for key in ("leverage_bp", "drawdown_bp", "reduce_bp", "positions", "collar_bp")},
    "reduced_bp": "reduced_bp",
}


@pytest.mark.parametrize("preset", ["conservative", "standard", "aggressive"])
def test_what_is_shown_in_force_is_what_risk_decides_by(preset: str) -> None:
    own = {"risk.preset": preset, "risk.reduced_bp": "7"}
    config = changed(Config().resolved(), own, "here").resolved()
    limits = RiskLimits.of(config)
    for key, field in FIELDS.items():
        shown = in_force(key, config["risk"][key], config["risk"])
        value = getattr(limits.settings, field)
        assert shown == (money_to_text(value) if field.endswith("_e8") else value)
    for key in ("position_bp", "stop_distance_bp"):
        shown = in_force(key, config["risk"][key], config["risk"])
        assert shown == getattr(limits.instruments[0], key)
    risk_bp = in_force("strategies.0.risk_bp", config["risk"]["risk_bp"], config["risk"])
    assert risk_bp == limits.strategies[0].risk_bp


def test_without_a_run_the_configuration_is_shown_with_its_places(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[risk]\npreset = "conservative"\ngross = "1000"\n')
    flags = ["--name", name, "--set", "risk.positions=7"]
    done = CliRunner().invoke(main, ["--config", str(file), "limits", "show", *flags])
    lines = done.stdout.splitlines()
    assert f"gross = 1000 USDT (in force: 500)  # {file}:3" in lines
    assert "positions = 7  # --set" in lines
    assert "position_bp = 200 bp (in force: 100)  # default" in lines
    assert "stale_ms = 3000 ms  # default" in lines
    done = CliRunner().invoke(main, ["--config", str(file), "limits", "show", "--json", *flags])
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["drawdown_bp"] == {
        "key": "drawdown_bp",
        "value": 1500,
        "in_force": 750,
        "unit": "bp",
        "source": "default",
    }


def test_a_changed_configuration_is_checked_as_a_whole() -> None:
    started = Config().resolved()
    started["ml"]["model_sha256"] = "of a run"
    after = changed(started, {"risk.position_bp": "300"}, "here").resolved()
    one, two = dict(leaves(started["risk"])), dict(leaves(after["risk"]))
    assert {key for key in one if one[key] != two[key]} == {"position_bp"}
    with pytest.raises(ConfigError) as caught:
        wrong = {"risk.position_bp": "-1", "risk.grosss": "2", "risk.reduce_bp": "2000"}
        changed(started, wrong, "here")
    lines = str(caught.value).splitlines()
    assert "here: risk.position_bp was -1, must be greater than 0" in lines
    assert "here: unknown key risk.grosss; did you mean gross?" in lines
    assert "here: risk.reduce_bp was 2000, must be at most risk.drawdown_bp, 1500" in lines


def test_what_a_run_does_not_trade_is_no_problem() -> None:
    own = {
        "risk.instruments.BTCUSDT.halted": "true",
        "risk.strategies.0.instruments": '["BTCUSDT"]',
    }
    started = changed(Config().resolved(), own, "here").resolved()
    started["instruments"] = started["instruments"][1:]  # as by bot4 run --venue
    risk = changed(started, {"risk.positions": "5"}, "here").resolved()["risk"]
    assert (risk["positions"], risk["instruments"]) == (5, {})


def test_limits_are_changed_in_a_run_and_are_its_state(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **QUIET) as run:
        begun(run)
        pid = run.pid("risk")
        done = ask(
            run,
            *("limits", "set", "position_bp=300", "risk.gross=2"),
            *('instruments."BTCUSDT".halted=true', "--reason", "test", "--actor", "anna"),
        )
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == (
            "position_bp: 200 -> 300\n"
            "gross: 1 -> 2\n"
            "instruments.BTCUSDT.halted: unset -> true\n"
            f"{name}: in force until this run ends; for the next one put risk.position_bp, "
            "risk.gross, risk.instruments.BTCUSDT.halted into config.toml\n"
        )
        run.strike("risk")
        run.replaced("risk", pid)
        cells = committed(run.segment, "risk", "limits")
        config = json.loads(run.segment.blob("config"))
        limits = limits_in_force(config, cells)
        assert limits.settings.gross_e8 == 2 * 10**8
        assert [each.halted for each in limits.instruments] == [1, 0, 0]
        assert [each.position_bp for each in limits.instruments] == [300, 300, 300]
        shown = ask(run, "limits", "show").stdout.splitlines()
        assert "position_bp = 300 bp  # bot4 limits set" in shown
        assert "instruments.BTCUSDT.halted = true  # bot4 limits set" in shown

        # One that is wrong, and none is changed; nor is what the segment was laid out for.
        for wrong, message in (
            ("drawdown_bp=0", "risk.drawdown_bp was 0, must be greater than 0"),
            ("open_orders=101", "risk.open_orders was 101, must be at most 100 in this run"),
            ("instruments.BTCUSDT.asset_class=gold", "asset_class was 'gold', must stay as it is"),
            ("strategies.8.risk_bp=1", "bot4 limits set: risk.strategies.8 was '8', must be the"),
            ("nothing=1", "unknown key risk.nothing; the keys there are preset"),
            ("exchange.rate=1", "unknown key risk.exchange"),
        ):
            done = ask(run, "limits", "set", "gross=3", wrong, "--reason", "x")
            assert (done.exit_code, done.stdout) == (78, "")
            assert f"bot4 limits set: {message}" in done.stderr or message in done.stderr
        assert ask(run, "limits", "set", "gross", "--reason", "x").exit_code == 2
        done = ask(run, "limits", "set", "gross=3", "risk.gross=4", "--reason", "x")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "gross was given twice, must be given once" in done.stderr
        assert np.array_equal(committed(run.segment, "risk", "limits"), cells)

        done = ask(run, "limits", "set", "gross=2", "--reason", "x")
        assert done.stdout == f"{name}: these are the limits in force: nothing changed\n"
        done = ask(run, "limits", "set", "preset=conservative", "--reason", "x", "--json")
        assert json.loads(done.stdout)["changed"] == {
            "preset": {"before": "standard", "after": "conservative"}
        }
        account = risk_account(run.segment)
        assert (account["request"], account["limits"], account["refused"]) == (2, 2, 0)
        live = live_of(latest(run.segment))
        after = changed(config, {f"risk.{key}": value for key, value in live.items()}, "x")
        flat = RiskLimits.of({**config, "risk": after.resolved()["risk"]}).flat()
        assert flat == limits_in_force(config, committed(run.segment, "risk", "limits")).flat()
        run.stop()
    assert trail(tmp_path, "limits")[1] == (
        "done",
        "position_bp=200, gross=1, instruments.BTCUSDT.halted=unset",
        "position_bp=300, gross=2, instruments.BTCUSDT.halted=true",
        "limits",
    )
