"""The configuration: what it may say, where it comes from, and how mistakes are named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import pipeline.config
from pipeline.config import Config, ConfigError, Loaded, load
from pipeline.config.lines import lines_of
from shm import STRATEGIES

ROOT = Path(__file__).parents[2]
HOME = {"HOME": "/home/me"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(
    text: str = "", flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    Path("c.toml").write_text(text)
    return load(Path("c.toml"), flags=flags, environ={**HOME, **(environ or {})})


def refused(
    text: str = "", flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(text, flags, environ)
    return str(error.value).splitlines()


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


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {"XDG_STATE_HOME": "/var/state"}, "/var/state/bot4/paper"),
        ("", {"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/bot4/paper"),
        ('name = "x"', {}, "/home/me/.local/state/bot4/x"),
        ('state_dir = "~/here"', {}, "/home/me/here"),
        ('state_dir = "/there/"', {}, "/there"),
        ('state_dir = ""', {"BOT4_NAME": "y"}, "/home/me/.local/state/bot4/y"),
    ],
)
def test_the_state_directory_follows_from_the_name_unless_it_is_given(
    text: str, environ: Mapping[str, str], expected: str
) -> None:
    assert read(text, environ=environ).config.state_dir == expected


def test_equal_configurations_resolve_to_equal_json() -> None:
    first = read('equity = "1000.50"\n[ta]\nslow = 21\nfast = 4\n').config.resolved()
    second = read('equity = "1000.5"\n[ta]\nfast = 4\nslow = 21\n').config.resolved()
    assert json.dumps(first) == json.dumps(second)
    assert first["equity"] == "1000.5"
    assert list(first) == sorted(first)
    assert list(first["ta"]) == sorted(first["ta"])
    assert "hosts" not in first
    assert first["instruments"][0]["price"] == "60000"


def test_every_mistake_is_named_with_its_line_in_the_order_of_the_file() -> None:
    text = """\
name = "a/b"
currency = "usd"
[risk]
position_bp = 0
positon_bp = 1
stale_ms = "long"
[supervisor]
heartbeat_s = 1.5
backoff_s = 9.0
[hosts.default.affinity]
feed = [
  -1,
]
fed = "auto"
ml = [1, 1]
"""
    assert refused(text, {"ta.slow": "5"}, {"BOT4_EXCHANGE__SEDE": "1"}) == [
        (
            "c.toml:1: name was 'a/b', must be 1 to 64 of a-z 0-9 _ - and begin with a letter or a "
            "digit"
        ),
        "c.toml:2: currency was 'usd', must be 1 to 16 of A-Z 0-9",
        "c.toml:4: risk.position_bp was 0, must be greater than 0",
        "c.toml:5: unknown key risk.positon_bp; did you mean position_bp?",
        "c.toml:6: risk.stale_ms was 'long', must be a valid integer",
        (
            "c.toml:7: supervisor.backoff_max_s was 5.0 (default), must be at least "
            "supervisor.backoff_s, 9.0"
        ),
        "c.toml:8: supervisor.heartbeat_s was 1.5, must be greater than or equal to 2",
        (
            'c.toml:11: hosts.default.affinity.feed was [-1], must be "auto" or a list of '
            "different CPUs, e.g. [0, 1]"
        ),
        "c.toml:14: unknown key hosts.default.affinity.fed; did you mean feed?",
        (
            'c.toml:15: hosts.default.affinity.ml was [1, 1], must be "auto" or a list of '
            "different CPUs, e.g. [0, 1]"
        ),
        "$BOT4_EXCHANGE__SEDE: unknown key exchange.sede; did you mean $BOT4_EXCHANGE__SEED?",
        "--set: ta.slow was 5, must be greater than ta.fast, 5",
    ]


INSTRUMENT = """\
[[instruments]]
symbol = "BTCUSDT"
venue = "sim"
base = "BTC"
quote = "USDT"
tick = "0.01"
lot = "0.001"
min_notional = "5"
maker_fee = "-0.0001"
taker_fee = "0.001"
price = "60000"
"""


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        (2, 'symbol = "btc"', "symbol was 'btc', must be 1 to 32 of A-Z 0-9 / : . _ -"),
        (2, 'symbol = "BTC/USDT"', "symbol was 'BTC/USDT', must be without \"/\", which separates"),
        (3, 'venue = "SIM"', "venue was 'SIM', must be 1 to 32 of a-z 0-9 _ -"),
        (5, 'quote = "BTC"', "quote was 'BTC', must be another currency than base"),
        (6, "tick = 0.01", 'tick was 0.01, must be a decimal in quotes, e.g. "0.01"'),
        (6, 'tick = "1e-2"', "tick was '1e-2', must be a decimal in quotes, e.g. \"0.01\""),
        (6, 'tick = "0"', "tick was '0', must be greater than 0"),
        (7, 'lot = "0.000000001"', "lot was '0.000000001', must have at most 8 decimal places"),
        (8, 'min_notional = "-1"', "min_notional was '-1', must be greater than or equal to 0"),
        (
            8,
            'min_quantity = "0.0005"\nmin_notional = "5"',
            "min_quantity was '0.0005', must be a multiple of the lot, 0.001",
        ),
        (
            8,
            'max_quantity = "0.001"\nmin_quantity = "0.002"\nmin_notional = "5"',
            "max_quantity was '0.001', must be 0 or at least min_quantity, 0.002",
        ),
        (10, 'taker_fee = "0.1"', "taker_fee was '0.1', must be a rate in -0.05 .. 0.05"),
        (11, 'price = "0.001"', "price was '0.001', must be a multiple of the tick, 0.01"),
        (11, 'price = "-1"', "price was '-1', must be greater than 0"),
        (3, 'venue = "binance"', "price was '60000', must be left out: 'binance' has prices of"),
        (11, "", "price was None (default), must be given for venue 'sim': its market begins"),
        (6, "", "tick is missing; add it"),
    ],
)
def test_an_instrument_that_cannot_be_is_refused(line: int, instead: str, message: str) -> None:
    lines = INSTRUMENT.splitlines()
    lines[line - 1] = instead
    named = 11 if "left out" in message else line if instead else 1
    (problem,) = refused("\n".join(lines))
    assert problem.startswith(f"c.toml:{named}: instruments.0.{message}")


def test_what_several_keys_say_together_is_checked_at_the_right_line() -> None:
    text = INSTRUMENT + INSTRUMENT.replace('"5"', '"2000"')
    assert refused(text) == [
        (
            "c.toml:13: instruments.1.symbol was 'BTCUSDT', must differ from instruments.0.symbol: "
            "venue sim has it once"
        ),
        (
            "c.toml: ml.order_notional was '1500' (default), must be at least 2000, the largest "
            "min_notional of the instruments"
        ),
    ]


def test_a_currency_that_nothing_converts_is_refused() -> None:
    text = 'currency = "EUR"\nbalances = { SOL = "1", EUR = "2", USDT = "-1" }\n' + INSTRUMENT
    problem = "c.toml:2: balances.USDT was '-1', must be greater than or equal to 0"
    assert refused(text) == [problem]
    assert refused(text.replace('"-1"', '"1"')) == [
        (
            "c.toml:2: balances.SOL was 'SOL', must be left out, or be converted: add an "
            "instrument SOL/EUR or EUR/SOL"
        ),
        (
            "c.toml:2: balances.EUR was 'EUR', must be left out: that of the account's own "
            "currency is equity"
        ),
        (
            "c.toml:2: balances.USDT was 'USDT', must be left out, or be converted: add an "
            "instrument USDT/EUR or EUR/USDT"
        ),
        (
            "c.toml:7: instruments.0.quote was 'USDT', must be EUR, the account's, or be converted "
            "for BTCUSDT: add an instrument USDT/EUR or EUR/USDT"
        ),
    ]


@pytest.mark.parametrize(("base", "quote"), [("USDT", "EUR"), ("EUR", "USDT")])
def test_a_currency_that_an_instrument_converts_is_taken(base: str, quote: str) -> None:
    between = INSTRUMENT.replace('"USDT"', f'"{quote}"').replace('"BTC"', f'"{base}"')
    text = 'currency = "EUR"\nbalances = { USDT = "1.50" }\n' + INSTRUMENT
    config = read(text + between.replace("BTCUSDT", f"{base}{quote}")).config
    assert config.resolved()["balances"] == {"USDT": "1.5"}


def test_instruments_of_a_real_venue_begin_nowhere() -> None:
    text = INSTRUMENT.replace("sim", "binance").replace('price = "60000"\n', "")
    loaded = read(text)
    assert loaded.config.resolved()["instruments"][0]["price"] is None
    assert "instruments.0.price" not in loaded.values()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instruments = []", "c.toml:1: instruments was [], must have at least one entry"),
        ("instruments = 3", "c.toml:1: instruments was 3, must be an array of tables"),
        ("risk = 3", "c.toml:1: risk was 3, must be a table"),
        ("hosts = 3", "c.toml:1: hosts was 3, must be a table"),
        ("[host.x]", "c.toml:1: unknown key host; did you mean hosts?"),
        ("stale_ms = 1", "c.toml:1: unknown key stale_ms; did you mean risk.stale_ms?"),
        (
            "[executor]\nmaximum = 1",
            "c.toml:2: unknown key executor.maximum; the keys there are slippage_bp",
        ),
        ('state_dir = "x"', "c.toml:1: state_dir was 'x', must be an absolute path, or begin with"),
        ("risk.stale_ms = true", "c.toml:1: risk.stale_ms was True, must be a valid integer"),
        ("ml.strategy = '4'", "c.toml:1: ml.strategy was '4', must be a name such as"),
        ("ml.cluster_cap_bp = -1", "c.toml:1: ml.cluster_cap_bp was -1, must be greater than or"),
        (
            "[ml.instruments.DOGE]\norder_notional = '10'",
            "c.toml:1: ml.instruments was 'DOGE', must be a symbol of [[instruments]]: BTCUSDT, ",
        ),
        (
            "[ml.instruments.BTCUSDT]\norder_notional = '4.99'",
            "c.toml:2: ml.instruments.BTCUSDT.order_notional was '4.99', must be at least 5, its",
        ),
        ("[ml.instruments.BTCUSDT]", "c.toml:1: ml.instruments.BTCUSDT.order_notional is missing"),
        (
            "pipeline.capacity = 100",
            "c.toml:1: pipeline.capacity was 100, must be a power of two, e.g. 128",
        ),
        (
            "pipeline.wait = 'nap'",
            f"c.toml:1: pipeline.wait was 'nap', must be one of auto, {', '.join(STRATEGIES)}",
        ),
        (
            f'name = "{"x" * 100}"',
            f"c.toml:1: name was '{'x' * 56}..., must be 1 to 64",
        ),
    ],
)
def test_a_mistake_is_named_with_what_to_do(text: str, message: str) -> None:
    (problem,) = refused(text)
    assert problem.startswith(message)


@pytest.mark.parametrize("wait", ["auto", *STRATEGIES])
def test_each_wait_strategy_can_be_asked_for(wait: str) -> None:
    assert read(f'pipeline.wait = "{wait}"').config.pipeline.wait == wait


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("BOT4_NAM", "$BOT4_NAM: unknown key nam; did you mean $BOT4_NAME?"),
        ("BOT4_NAME__X", "$BOT4_NAME__X: name was {'x': 1}, must be a valid string"),
        ("BOT4_RISK", "$BOT4_RISK: risk was 1, must be a table"),
        ("BOT4_", "$BOT4_: unknown key ; the keys there are name, "),
        ("BOT4_NAM__X", "$BOT4_NAM__X: unknown key nam; did you mean $BOT4_NAME?"),
        ("BOT4_RISK__X__Y", "$BOT4_RISK__X__Y: unknown key risk.x; the keys there are"),
    ],
)
def test_a_variable_that_is_no_key_is_refused(variable: str, message: str) -> None:
    (problem,) = refused("", environ={variable: "1"})
    assert problem.startswith(message)


def test_a_variable_goes_over_a_file_that_has_something_else_there() -> None:
    assert read('risk = "x"', environ={"BOT4_RISK__STALE_MS": "5"}).config.risk.stale_ms == 5


def test_a_flag_that_is_no_key_is_refused() -> None:
    assert refused("", {"a b": "1"}) == [
        "--set: key was 'a b', must be dotted like risk.position_bp"
    ]


def test_a_named_file_must_be_there_and_readable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml does not exist"):
        load(Path("no.toml"))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    Path("latin.toml").write_bytes(b"a = 1\n\xff\xfe")
    with pytest.raises(ConfigError, match=r"^latin\.toml:2: is not UTF-8"):
        load(Path("latin.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nname = \n", "c.toml:2: Invalid value at column 8"),
        ("a = 1\na = 2\n", "c.toml:2: Cannot overwrite a value at column "),
        ("[a]\nb = '''\n\n", "c.toml:3: "),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(text: str, message: str) -> None:
    (problem,) = refused(text)
    assert problem.startswith(message)


def test_each_key_has_the_line_on_which_its_statement_begins() -> None:
    text = '''\
# comment
a.b = 1 # here
"c d" = """

# not a comment
[not] = a table
"""
list = [
  1, { x = 2 },
]

[[t]]
k = 1
[t.sub]
[[t]] # again
[t.sub] # with comment
k = [[1],
     [2]]
[[t.sub.deep]]
k = 1
[[t.sub.deep]]
k = 2
[e]
[e.f]
'''
    assert lines_of(text) == {
        ("a",): 2,
        ("a", "b"): 2,
        ("c d",): 3,
        ("list",): 8,
        ("list", 0): 8,
        ("list", 1): 8,
        ("list", 1, "x"): 8,
        ("t",): 12,
        ("t", 0): 12,
        ("t", 0, "k"): 13,
        ("t", 0, "sub"): 14,
        ("t", 1): 15,
        ("t", 1, "sub"): 16,
        ("t", 1, "sub", "k"): 17,
        ("t", 1, "sub", "k", 0): 17,
        ("t", 1, "sub", "k", 0, 0): 17,
        ("t", 1, "sub", "k", 1): 17,
        ("t", 1, "sub", "k", 1, 0): 17,
        ("t", 1, "sub", "deep"): 19,
        ("t", 1, "sub", "deep", 0): 19,
        ("t", 1, "sub", "deep", 0, "k"): 20,
        ("t", 1, "sub", "deep", 1): 21,
        ("t", 1, "sub", "deep", 1, "k"): 22,
        ("e",): 23,
        ("e", "f"): 24,
    }


def test_instruments_can_be_used_without_the_configurations_library() -> None:
    code = "import sys, pipeline.instruments; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_windows_line_ends_do_not_move_the_lines() -> None:
    Path("c.toml").write_bytes(b"\r\n[risk]\r\nstale_ms = 0\r\n")
    with pytest.raises(ConfigError, match=r"^c\.toml:3: risk\.stale_ms was 0"):
        load(Path("c.toml"), environ=HOME)


def test_other_venues_are_those_of_ccxt_and_have_addresses_only() -> None:
    loaded = read('[venues.bybit]\nurl = "ws://127.0.0.1:1"\n')
    assert loaded.config.resolved()["venues"]["bybit"]["url"] == "ws://127.0.0.1:1"
    assert str(loaded.values()["venues.bybit.url"][1]) == "c.toml:2"
    assert loaded.config.resolved()["venues"]["binance"]["links"] == 1
    flagged = read(flags={"venues.bybit.rest_url": "http://[::1]:5"})
    assert flagged.config.resolved()["venues"]["bybit"]["rest_url"] == "http://[::1]:5"
    [unknown] = refused('[venues.bibit]\nurl = "ws://h"\n')
    assert unknown.startswith("c.toml:1: venues.bibit was 'bibit', must be binance, kraken, ")
    assert "did you mean bybit" in unknown
    assert refused("[venues.bybit]\nlink = 2\n") == [
        "c.toml:2: unknown key venues.bybit.link; the keys there are url, rest_url"
    ]
    [wrong] = refused('[venues.bybit]\nurl = "http://h"\n')
    assert (
        wrong
        == "c.toml:2: venues.bybit.url was 'http://h', must be an address wss://host or ws://host"
    )


def test_paths_are_of_the_file_that_names_them_or_of_where_the_command_is_run(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "c.toml"
    file.write_text('[ml]\nmodel = "models/a"\nstrategy = "mine.py:Mine"\n')
    ml = load(file, environ=HOME).resolved()["ml"]
    assert (ml["model"], ml["strategy"]) == (f"{folder}/models/a", f"{folder}/mine.py:Mine")
    flags = {"ml.model": "../b", "ml.strategy": "/abs/mine.py:Mine"}
    ml = load(file, flags=flags, environ=HOME).resolved()["ml"]
    assert (ml["model"], ml["strategy"]) == (f"{tmp_path.parent}/b", "/abs/mine.py:Mine")


@pytest.mark.parametrize(
    ("text", "model", "strategy"),
    [
        ("", "packaged", "blend"),
        ('[ml]\nmodel = ""\nstrategy = "mine:Mine"', "", "mine:Mine"),
        ('[ml]\nstrategy = "of-a-package"', "packaged", "of-a-package"),
    ],
)
def test_what_is_no_path_stays_as_it_is(text: str, model: str, strategy: str) -> None:
    ml = read(text).resolved()["ml"]
    assert (ml["model"], ml["strategy"]) == (model, strategy)


def test_a_command_that_is_told_is_an_array_whose_path_is_of_the_file(tmp_path: Path) -> None:
    text = '[notify]\ncommand = ["./tell", "./me"]\non = ["kill"]\n'
    loaded = read(text)
    assert loaded.config.notify.on == ("kill",)
    assert loaded.resolved()["notify"]["command"] == [f"{tmp_path}/tell", "./me"]
    assert read("", {"notify.command": '["tell"]'}).resolved()["notify"]["command"] == ["tell"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('command = "curl -s"', "command was 'curl -s', must be an array, e.g. ["),
        ('command = [" "]', "command was [' '], must begin with a program, or be [] for none"),
        ("command = [1]", "command.0 was 1, must be a valid string"),
        ('on = "kill"', "on was 'kill', must be an array, e.g. ["),
        ("on = []", "on was [], must name at least one kind; command = [] tells nobody"),
        ('on = ["kill", "fill"]', "on.1 was 'fill', must be 'kill', 'mode', 'breaker' or 'stage'"),
        ("timeout_s = 0", "timeout_s was 0, must be greater than 0"),
        ("timeouts = 1", "unknown key notify.timeouts; did you mean timeout_s?"),
    ],
)
def test_what_cannot_be_told_is_refused(line: str, message: str) -> None:
    (problem,) = refused(f"[notify]\n{line}\n")
    path = "" if line.startswith("timeouts") else "notify."
    assert problem.startswith(f"c.toml:2: {path}{message}")


def test_a_score_that_leaves_is_below_one_that_enters() -> None:
    assert refused("[ml]\nenter_bp = 1000\nleave_bp = 1000") == [
        "c.toml:3: ml.leave_bp was 1000, must be less than ml.enter_bp, 1000"
    ]


@pytest.mark.parametrize(("margin", "is_refused"), [(0, 0), (1, 1), (9_999, 1), (10_000, 0)])
def test_an_entry_is_worth_at_least_its_costs(margin: int, is_refused: int) -> None:
    text = f"[ml]\ncost_margin_bp = {margin}"
    if not is_refused:
        assert read(text).config.ml.cost_margin_bp == margin
        return
    (problem,) = refused(text)
    assert problem.startswith(f"c.toml:2: ml.cost_margin_bp was {margin}, must be 0 or >= 10000: ")


@pytest.mark.parametrize("strategy", ["a b", "mine.py", ":Mine", "mine.py:", "mine.py:Mine()"])
def test_what_names_no_strategy_is_refused(strategy: str) -> None:
    (problem,) = refused(f'[ml]\nstrategy = "{strategy}"')
    assert 'must be a name such as "blend", "path/to/file.py:Class" or' in problem
