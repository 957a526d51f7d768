"""Where values come from, which source goes over which, and what they resolve to."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pipeline.config
from pipeline.config import Config, load
from tests.pipeline.config.reading import HOME, read, refused

ROOT = Path(__file__).parents[3]


def test_without_a_file_the_defaults_hold() -> None:
    loaded = load(environ=HOME)
    assert loaded.file is None
    assert loaded.config == Config.model_validate({}, context={"environ": HOME})
    assert {str(origin) for _, origin in loaded.values().values()} == {"default"}


def test_the_packaged_file_is_the_projects_own_and_says_what_the_defaults_are() -> None:
    packaged = Path(pipeline.config.__file__).with_name("default.toml")
    assert packaged.read_bytes() == (ROOT / "config.toml").read_bytes()
    loaded = load(packaged, environ=HOME)
    assert loaded.config == load(environ=HOME).config
    assert not [key for key, (_, origin) in loaded.values().items() if origin.line is None]


def test_the_file_is_the_one_named_then_the_environments_then_the_folders(tmp_path: Path) -> None:
    for name in ("a", "b", "config"):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\n')
    environ = {"BOT4_CONFIG": str(tmp_path / "b.toml")}
    assert load(environ={}).config.name == "config"
    assert load(environ={"BOT4_CONFIG": ""}).config.name == "config"
    assert load(environ=environ).config.name == "b"
    loaded = load(tmp_path / "a.toml", environ=environ)
    assert loaded.config.name == "a"
    assert loaded.file == tmp_path / "a.toml"


def test_flags_go_over_the_environment_and_that_over_the_file() -> None:
    text = 'name = "file"\n[risk]\nposition_bp = 1\nstale_ms = 1\nopen_orders = 1\n'
    environ = {"BOT4_RISK__POSITION_BP": "2", "BOT4_RISK__STALE_MS": "2", "BOT4_REQUIRE_TOOLS": "1"}
    loaded = read(text, {"risk.stale_ms": "3", "name": "flag"}, environ)
    risk = loaded.config.risk
    assert (risk.open_orders, risk.position_bp, risk.stale_ms) == (1, 2, 3)
    origins = {key: str(origin) for key, (_, origin) in loaded.values().items()}
    assert origins["risk.open_orders"] == "c.toml:5"
    assert origins["risk.position_bp"] == "$BOT4_RISK__POSITION_BP"
    assert origins["risk.stale_ms"] == "--set"
    assert origins["name"] == "--name"
    assert origins["risk.drawdown_bp"] == "default"


def test_text_from_outside_needs_quotes_only_where_a_list_is_meant() -> None:
    environ = {
        "BOT4_NAME": "7",
        "BOT4_EQUITY": "1000.5",
        "BOT4_CURRENCY": '"USDT"',
        "BOT4_ML__STRATEGY": "shop.mine:Best",
        "BOT4_SUPERVISOR__DRAIN_S": "3",
        "BOT4_HOSTS__DEFAULT__AFFINITY__FEED": "[1, 2]",
        "BOT4_STATE_DIR": "/a\nb = 1",
        "BOT4_RISK__STRATEGIES__0__ORDER_NOTIONAL": "7",
        "BOT4_RISK__STRATEGIES__0__INSTRUMENTS": '["BTCUSDT"]',
    }
    config = read("", {'hosts."Big.Box".affinity.ta': "[3]", "ta.rsi": 9}, environ).config
    assert (config.name, config.equity, config.currency) == ("7", Decimal("1000.5"), "USDT")
    assert config.ml.strategy == "shop.mine:Best"
    assert config.supervisor.drain_s == 3.0
    own = config.risk.strategies["0"]
    assert (own.order_notional, own.instruments) == (Decimal(7), ("BTCUSDT",))
    assert config.state_dir == "/a\nb = 1"
    assert config.ta.rsi == 9
    assert config.affinity("Big.Box")["feed"] == [1, 2]
    assert config.affinity("Big.Box")["ta"] == [3]


def test_single_instruments_can_be_changed_from_outside() -> None:
    loaded = read("", {"instruments.1.lot": "0.1"}, {"BOT4_INSTRUMENTS__0__TICK": "0.5"})
    assert [str(entry.tick) for entry in loaded.config.instruments] == ["0.5", "0.01", "0.01"]
    assert loaded.config.resolved()["instruments"][1]["lot"] == "0.1"
    assert str(loaded.values()["instruments.0.tick"][1]) == "$BOT4_INSTRUMENTS__0__TICK"
    assert str(loaded.values()["instruments.0.lot"][1]) == "default"
    assert refused("", {"instruments.3.lot": "0.1"}) == [
        "--set: instruments.3.lot does not exist; instruments has 3 entries, the first is 0"
    ]


def test_a_variable_goes_over_a_file_that_has_something_else_there() -> None:
    assert read('risk = "x"', environ={"BOT4_RISK__STALE_MS": "5"}).config.risk.stale_ms == 5


def test_a_section_can_be_replaced_as_a_whole() -> None:
    text = "[risk]\nstale_ms = 7\n"
    loaded = read(text, environ={"BOT4_RISK": "{ open_orders = 3 }"})
    assert loaded.config.risk.stale_ms == 3000
    assert str(loaded.values()["risk.open_orders"][1]) == "$BOT4_RISK"
    assert str(loaded.values()["risk.stale_ms"][1]) == "default"


def test_a_host_goes_over_the_default_entry_by_entry() -> None:
    loaded = read(
        '[hosts.default.affinity]\nfeed = [0]\nta = [1]\n[hosts.big.affinity]\nfeed = "auto"\n'
    )
    big, small = loaded.config.affinity("big"), loaded.config.affinity("small")
    assert (big["feed"], big["ta"], big["ml"]) == ("auto", [1], "auto")
    assert (small["feed"], small["ta"]) == ([0], [1])
    assert set(loaded.config.affinity()) == set(big)
    values = loaded.values("big")
    assert str(values["hosts.big.affinity.feed"][1]) == "c.toml:5"
    assert str(values["hosts.default.affinity.ta"][1]) == "c.toml:3"
    assert "hosts.default.affinity.feed" not in values


def test_equal_configurations_resolve_to_equal_json() -> None:
    first = read('equity = "1000.50"\n[ta]\nslow = 21\nfast = 4\n').config.resolved()
    second = read('equity = "1000.5"\n[ta]\nfast = 4\nslow = 21\n').config.resolved()
    assert json.dumps(first) == json.dumps(second)
    assert first["equity"] == "1000.5"
    assert list(first) == sorted(first)
    assert list(first["ta"]) == sorted(first["ta"])
    assert "hosts" not in first
    assert first["instruments"][0]["price"] == "60000"
