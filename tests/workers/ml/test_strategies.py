"""Strategies of one's own: the example of the README, and what is said of those that cannot be."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import workers.ml
from pipeline.cli import main
from pipeline.replay import Driver
from pipeline.vocabulary import OutcomeKind, Side
from tests.workers.ml.signals import NOW, config, drive, features, hear, outcome, scored, see
from workers.ml.stage import Strategies
from workers.ml.strategies import Row, StrategyError
from workers.ta.features import Feature

README = Path(workers.ml.__file__).parent / "README.md"

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module to where Python finds it, for this test only."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    return write


def strategy(body: str, state: str = 'np.dtype([("seen", "<i8")])') -> str:
    return (
        "import numpy as np\n"
        "class Mine:\n"
        f"    STATE = {state}\n"
        "    def on_features(self, row, state):\n"
        f"        {body}\n"
    )


def mine(instruments: int = 1) -> Driver:
    return Driver(Strategies(config(instruments, strategy="mine:Mine")))


def test_the_example_of_the_readme_trades(write: Write) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", README.read_text(), re.DOTALL)
    (source,) = [text for language, text in blocks if language == "python"]
    (setting,) = [text for language, text in blocks if language == "toml"]
    write("rebound", source)
    named = re.search(r'strategy = "(.+)"', setting)
    assert named is not None
    driver = Driver(Strategies(config(strategy=named[1])))

    def sees(rsi: float) -> Side | None:
        intent = see(driver, features({Feature.RSI: rsi, Feature.ATR: 20.0}))
        return None if intent is None else Side(int(intent["side"][0]))

    assert [sees(rsi) for rsi in (50, 29, 25, 31)] == [None, None, None, Side.BUY]
    hear(driver, outcome(OutcomeKind.FILL, 1, position=10_000))
    assert [sees(rsi) for rsi in (50, 70, 71)] == [None, None, Side.SELL]


def test_a_strategy_sees_the_row_and_the_valid_features_by_name(write: Write) -> None:
    write("mine", strategy("seen.append(row)") + "seen = []\n")
    driver = mine(instruments=2)
    row = features({Feature.RSI: 30.0, Feature.RETURN: -0.5}, close=77, instrument=1, bar=9)
    assert see(driver, row) is None
    (seen,) = sys.modules["mine"].seen
    assert (seen.instrument, seen.bar, seen.close) == (1, 9, 77)
    assert seen.features == {"rsi": 30.0, "return": -0.5}


def test_what_a_strategy_remembers_is_kept_for_each_instrument(write: Write) -> None:
    state = 'np.dtype([("seen", "<i4"), ("last", "<f4", (2,)), ("odd", "u1")])'
    body = 'state["seen"] += 1; state["last"][1] = row.close; state["odd"] = 1'
    write("mine", strategy(body, state))
    driver = mine(instruments=2)
    for close in (5, 6, 7):
        see(driver, features({}, close=close, instrument=1))
    remembered = driver.state("strategy")
    assert remembered["seen"].tolist() == [0, 3]
    assert remembered["last"].tolist() == [[0, 0], [0, 7]]
    assert remembered.dtype.itemsize % 8 == 0


def test_a_strategy_may_remember_nothing(write: Write) -> None:
    write("mine", strategy("return 1.0", "np.dtype([])"))
    assert see(mine(), features({Feature.ATR: 20.0})) is not None


def test_a_signal_that_comes_before_there_is_a_range_is_kept_until_then(write: Write) -> None:
    write("mine", strategy("return 1 if row.bar == 1 else None"))
    driver = mine()
    assert see(driver, features({}, bar=1)) is None
    assert see(driver, features({Feature.ATR: 20.0}, bar=2)) is not None


@pytest.mark.parametrize("score", ["1", "np.float32(0.5)", "np.int64(-1)", "True", "0.0", "None"])
def test_scores_of_any_kind_of_number_are_taken(write: Write, score: str) -> None:
    write("mine", strategy(f"return {score}"))
    see(mine(), features({}))


@pytest.mark.parametrize("score", ["np.nan", "1.0001", "-2", "float('inf')", "'0.5'", "[1]"])
def test_what_is_no_score_is_refused_by_name(write: Write, score: str) -> None:
    write("mine", strategy(f"return {score}"))
    with pytest.raises(
        StrategyError,
        match=r"ml\.strategy 'mine:Mine' returned .+ for bar 3 of instrument 1, must be in -1 \.\.",
    ):
        see(mine(instruments=2), features({}, instrument=1, bar=3))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moving-avarage", r'must be "blend", "moving-average", "path/to/file\.py:Class", '),
        ("mine:", r'must be "blend", "moving-average", "path/to/file\.py:Class", '),
        (":Mine", r'must be "blend", "moving-average", "path/to/file\.py:Class", '),
        ("nowhere:Mine", "there is no module nowhere; install it, or put its folder on PYTHONPATH"),
        ("mine.deeper:Mine", "there is no module mine.deeper"),
        ("mine:Yours", "mine has no class Yours"),
        ("mine:np", "mine has no class np"),
        ("mine:Stateless", "its STATE was None, must be a structured numpy dtype"),
        ("mine:Plain", r"its STATE was dtype\('float64'\), must be a structured numpy dtype"),
        ("mine:Objects", r"its STATE was dtype\(.+'O'\)\]\), must be a structured numpy dtype"),
        ("mine:Silent", "it has no method on_features"),
        ("mine:Demanding", "it cannot be made without arguments: TypeError"),
        ("needy:Mine", "its module needs nowhere, which is missing"),
        ("broken:Mine", "its module cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_strategy_that_cannot_be_loaded_is_refused_by_name(
    write: Write, name: str, message: str
) -> None:
    write(
        "mine",
        strategy("return 1")
        + "class Stateless: pass\n"
        + "class Plain(Mine): STATE = np.dtype(float)\n"
        + 'class Objects(Mine): STATE = np.dtype([("a", object)])\n'
        + "class Silent: STATE = Mine.STATE\n"
        + "class Demanding(Mine):\n    def __init__(self, n): pass\n",
    )
    write("needy", "import nowhere")
    write("broken", "1 / 0")
    with pytest.raises(StrategyError, match=f"^ml.strategy was {name!r}, .*{message}"):
        Strategies(config(strategy=name))


def test_cells_have_the_state_of_the_native_strategy_too() -> None:
    remembered = drive("native").state("strategy")
    assert np.dtype(remembered.dtype).names == ("sign",)


EXAMPLE = Path(workers.ml.__file__).parent / "example.py"


def buys_the_rebound(driver: Driver) -> bool:
    sees = [see(driver, features({Feature.RSI: rsi, Feature.ATR: 20.0})) for rsi in (50, 29, 31)]
    return [each is not None for each in sees] == [False, False, True]


def test_a_strategy_in_a_file_is_found_by_its_path(tmp_path: Path) -> None:
    copy = tmp_path / "my strategy.py"
    copy.write_text(EXAMPLE.read_text())
    assert buys_the_rebound(Driver(Strategies(config(strategy=f"{copy}:Rebound"))))


def test_two_files_of_one_name_are_two_strategies(tmp_path: Path) -> None:
    made = []
    for folder, answer in (("a", 1), ("b", -1)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(strategy(f"return {answer}"))
        made.append(Strategies(config(strategy=f"{tmp_path / folder / 'mine.py'}:Mine")).strategy)
    row = Row(0, 1, 1, {})
    assert [each.on_features(row, np.zeros(1, each.STATE)[0]) for each in made] == [1, -1]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "Mine", "but there is no file .+mine.py; name one"),
        ("1 / 0", "Mine", "but the file cannot be run: ZeroDivisionError: division by zero"),
        ("class Mine", "Mine", "but the file cannot be run: SyntaxError"),
        ("x = 1", "Mine", r"but mine\.py has no class Mine"),
        ("class Mine: pass", "Mine", "but its STATE was None"),
    ],
)
def test_a_file_without_a_strategy_is_refused(
    tmp_path: Path, text: str | None, name: str, message: str
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(StrategyError, match=f"^ml.strategy was .+mine.py:{name}', {message}"):
        Strategies(config(strategy=f"{tmp_path / 'mine.py'}:{name}"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Have packages with an entry point each in the environment."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(package: str, entry_point: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[bot4.strategies]\n{entry_point}\n")

    return install


def test_a_strategy_of_a_package_is_found_by_its_entry_point(
    install: Callable[[str, str], None],
) -> None:
    install("rebounds", "rebound = workers.ml.example:Rebound")
    assert buys_the_rebound(Driver(Strategies(config(strategy="rebound"))))


def test_the_example_has_a_name() -> None:
    assert buys_the_rebound(Driver(Strategies(config(strategy="example"))))


def listed() -> dict[str, tuple[str, str]]:
    result = CliRunner().invoke(main, ["strategies", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["strategies"]
    return {row["name"]: (row["class"], row["about"]) for row in rows}


def test_strategies_that_have_a_name_are_listed(install: Callable[[str, str], None]) -> None:
    install("mine", "mine = workers.ml.strategies:MovingAverage")
    install("broken", "broken = workers.ml.example:Nothing")
    found = listed()
    assert list(found)[:2] == ["blend", "moving-average"]
    assert found["example"] == (
        "workers.ml.example:Rebound",
        "Buys when the RSI comes back from below 30, and leaves when it goes beyond 70.",
    )
    assert found["mine"][0] == "workers.ml.strategies:MovingAverage"
    assert "Nothing cannot be loaded: AttributeError" in found["broken"][1]
    shown = CliRunner().invoke(main, ["strategies"], catch_exceptions=False).stdout
    for name in found:
        assert f"\n{name} " in shown


def test_an_entry_point_that_is_none_or_not_the_only_one_is_refused(
    install: Callable[[str, str], None],
) -> None:
    install("one", "twice = workers.ml.example:Rebound")
    install("two", "twice = workers.ml.strategies:Blend")
    install("three", "broken = workers.ml.example:Nothing")
    install("four", "function = workers.ml.strategies:load")
    for name, message in (
        ("twice", "several packages have: workers.ml.example:Rebound, workers.ml.strategies:Blend"),
        ("broken", "workers.ml.example:Nothing cannot be loaded: AttributeError"),
        ("function", "its entry point is no class"),
    ):
        with pytest.raises(StrategyError, match=message):
            Strategies(config(strategy=name))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('gone')", r"KeyError: 'gone' \(mine\.py:\d+\); correct its on_features"),
        ("raise SystemExit('bye')", r"SystemExit: bye \(mine\.py:\d+\); correct"),
        ("return state['none']", r"ValueError: no field of name none \(mine\.py:\d+\); correct"),
    ],
)
def test_where_a_strategy_failed_is_said_in_a_line(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(strategy(body))
    driver = Driver(Strategies(config(strategy=f"{tmp_path / 'mine.py'}:Mine")))
    with pytest.raises(StrategyError, match=rf"failed at bar 1 of instrument 0: {message}"):
        driver.step("features", scored(0.5), now_ns=NOW)


def test_a_file_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('bye')\n")
    with pytest.raises(StrategyError, match="cannot be run: SystemExit: bye"):
        Strategies(config(strategy=f"{tmp_path / 'mine.py'}:Mine"))
