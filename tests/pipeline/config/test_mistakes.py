"""How mistakes are named, in a file, a variable and a flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigError, load
from shm import STRATEGIES
from tests.pipeline.config.reading import refused


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
