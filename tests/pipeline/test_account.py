"""The account between runs: written whole or not at all, and never believed if it is not whole."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.account import (
    FILE,
    MADE,
    OPENING,
    Account,
    AccountError,
    AccountFile,
    in_new_periods,
    opening_e8,
)
from pipeline.cli import main
from pipeline.config.model import Config
from pipeline.kill.latch import LatchFile
from pipeline.supervisor.keeper import Keeper, is_kept
from pipeline.vocabulary import Denial, Mode
from workers.risk.settings import RiskOpening

FIGURES = {
    **RiskOpening.of(Config().resolved())._asdict(),
    "opened_e8": 10**13,
    "flows_e8": -5,
    "value_e8": 7,
}
ACCOUNT = Account("USDT", "run-1", "2026-01-01T00:00:00Z", FIGURES)


@pytest.fixture
def file(tmp_path: Path) -> AccountFile:
    return AccountFile(tmp_path)


def test_what_is_kept_is_what_risk_begins_with() -> None:
    assert RiskOpening._fields == OPENING


def test_it_is_read_as_it_was_written_by_its_owner_only(file: AccountFile) -> None:
    assert file.is_new() and file.read() is None
    file.write(ACCOUNT)
    assert file.read() == ACCOUNT
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert sorted(os.listdir(file.folder)) == [FILE, MADE]
    balances = {"BTC": (-(10**8), 6 * 10**12, 7 * 10**12), "EUR": (5, 0, 0)}
    second = dataclasses.replace(ACCOUNT, figures={**FIGURES, "losses": 3}, balances=balances)
    file.write(second)
    assert file.read() == second


def rewrite(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Return what changes the JSON data of a file."""

    def run(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return run


DAMAGES: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "is missing from a state directory that has had one"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "torn": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is damaged"),
    "no table": (lambda path: path.write_text("[]"), r"is damaged \(must be a table\)"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), "is damaged"),
    "deep": (lambda path: path.write_text("[" * 10_000), "is damaged"),
    "version": (rewrite(lambda it: it.update(version=2)), "version was 2, must be 1"),
    "another": (rewrite(lambda it: it["figures"].update(losses=1)), "crc32 must be that"),
    "no figure": (rewrite(lambda it: it["figures"].pop("day_open_e8")), "'day_open_e8'"),
    "float": (rewrite(lambda it: it["figures"].update(losses=1.0)), "must be whole numbers"),
    "too large": (rewrite(lambda it: it["figures"].update(losses=2**63)), "of 64 bits"),
    "no units": (rewrite(lambda it: it["figures"].update(units=0)), "must be > 0"),
    "number": (rewrite(lambda it: it.update(currency=1)), "must be text"),
    "no time": (rewrite(lambda it: it.update(time="noon")), "'noon'"),
    "no zone": (rewrite(lambda it: it.update(time="2026-01-01T00:00:00")), "have a time zone"),
}


@pytest.mark.parametrize(("damage", "what"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_whole_is_refused_with_the_remedy(
    file: AccountFile, damage: Callable[[Path], object], what: str
) -> None:
    file.write(ACCOUNT)
    damage(file.path)
    with pytest.raises(AccountError, match=what) as caught:
        file.read()
    assert str(caught.value).startswith(f"{file.path} is ")
    assert "bot4 init --rebase --reason TEXT begins the account anew" in str(caught.value)


def test_a_directory_in_its_place_is_no_account(file: AccountFile) -> None:
    file.path.mkdir()
    with pytest.raises(AccountError, match=r"cannot be read \(Is a directory\)"):
        file.read()


def test_without_room_the_last_one_stays(
    file: AccountFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(ACCOUNT)

    def short(fd: int, data: bytes) -> int:
        return len(data) - 1

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space left"):
        file.write(dataclasses.replace(ACCOUNT, run_id="run-2"))
    assert file.read() == ACCOUNT
    assert sorted(os.listdir(file.folder)) == [FILE, MADE]


def test_old_ones_are_put_aside_under_names_of_their_own(file: AccountFile) -> None:
    assert file.set_aside() is None
    found = []
    for _ in range(2):
        file.write(ACCOUNT)
        aside = file.set_aside()
        assert aside is not None
        found.append(aside.name)
    assert found == [f"{FILE}.1.old", f"{FILE}.2.old"]


@pytest.mark.parametrize(
    ("now", "begun"),
    [
        ("2026-01-30T23:59:59Z", ()),
        ("2026-01-29T12:00:00Z", ()),  # a clock that was set back begins nothing
        ("2026-01-31T00:00:00Z", ("day",)),
        ("2026-02-01T00:00:00Z", ("day", "month")),
        ("2026-02-02T00:00:00Z", ("day", "week", "month")),
        ("2027-01-01T00:00:00Z", ("day", "week", "month")),
    ],
)
def test_where_the_market_begins_anew_periods_are_those_of_the_host(
    now: str, begun: tuple[str, ...]
) -> None:
    friday = datetime.fromisoformat("2026-01-30T18:00:00Z")
    opened = {f"{name}_open_e8": 100 for name in ("day", "week", "month")}
    figures = {**FIGURES, **opened, "day": 5, "week": 4, "month": 3, "equity_e8": 90, "losses": 2}
    later = in_new_periods(figures, friday, datetime.fromisoformat(now))
    changed = {name for name in figures if later[name] != figures[name]}
    assert changed == {key for name in begun for key in (name, f"{name}_open_e8")}
    assert all(later[name] == 0 and later[f"{name}_open_e8"] == 90 for name in begun)


# The beginning of a run


def begin(file: AccountFile, **run: Any) -> tuple[dict[str, Any], list[str]]:
    """What a run begins with, and what is said of it."""
    said: list[str] = []
    return Keeper(file.folder, said.append).begin({**Config().resolved(), "run": run}), said


def test_a_run_begins_with_the_configured_equity_in_a_new_state_directory(
    file: AccountFile,
) -> None:
    config, said = begin(file)
    assert (config["run"], said, opening_e8(config)) == ({}, [], 10**13)


def test_a_run_goes_on_with_the_account_that_there_is(file: AccountFile) -> None:
    figures = {**FIGURES, "equity_e8": 99 * 10**8, "opened_e8": 98 * 10**8, "value_e8": 2 * 10**8}
    file.write(dataclasses.replace(ACCOUNT, figures=figures))
    resolved = Config().resolved()
    for instrument in resolved["instruments"]:
        instrument["venue"] = "binance"
    said: list[str] = []
    config = Keeper(file.folder, said.append).begin(resolved)
    assert config["run"]["account"] == figures
    assert opening_e8(config) == 99 * 10**8
    # The simulator has no calendar of its own.
    config, _ = begin(file)
    periods = {f"{name}_open_e8": 99 * 10**8 for name in ("day", "week", "month")}
    assert config["run"]["account"] == {**figures, **periods}
    [text] = said
    assert text == (
        "the account goes on with 99 USDT, as of 2026-01-01T00:00:00Z, 2 of it positions at their "
        "last marks; equity 100000 is that of a new state directory"
    )


def test_what_there_is_of_a_currency_has_to_be_converted(file: AccountFile) -> None:
    balances = {"EUR": (5 * 10**7, 0, 0), "JPY": (0, 1, 2)}
    file.write(dataclasses.replace(ACCOUNT, balances=balances))
    with pytest.raises(
        AccountError, match=r"has 0\.5 EUR .*: add an instrument EUR/USDT or USDT/EUR"
    ):
        begin(file)
    file.write(dataclasses.replace(ACCOUNT, balances={**balances, "EUR": (0, 0, 0)}))
    assert "balances" not in begin(file)[0]["run"]["account"]
    file.write(dataclasses.replace(ACCOUNT, balances={"BTC": (7, 8, 9)}))
    assert begin(file)[0]["run"]["account"]["balances"] == {"BTC": [7, 8, 9]}


@pytest.mark.parametrize("run", [{"events": 5}, {"capture": {"files": []}}])
def test_the_result_of_some_events_or_a_capture_does_not_depend_on_earlier_runs(
    file: AccountFile, run: dict[str, Any]
) -> None:
    file.write(dataclasses.replace(ACCOUNT, figures={**FIGURES, "equity_e8": 1}))
    config, said = begin(file, **run)
    assert (config["run"], said, is_kept(config)) == (run, [], False)


def test_an_account_in_another_currency_is_not_gone_on_with(file: AccountFile) -> None:
    file.write(dataclasses.replace(ACCOUNT, currency="EUR"))
    with pytest.raises(AccountError, match="currency was 'USDT', must be that of the account, EUR"):
        begin(file)


# Commands, without a run


@pytest.fixture
def bot4(file: AccountFile, name: str) -> Callable[..., Result]:
    """Run a command on the deployment of that state directory."""

    def run(*arguments: str) -> Result:
        flags = ["--name", name, "--set", f"state_dir={file.folder}"]
        return CliRunner().invoke(main, [*arguments, *flags])

    LatchFile(file.folder).begin()
    return run


def kept(file: AccountFile) -> Mapping[str, int]:
    account = file.read()
    assert account is not None
    return account.figures


def test_a_damaged_account_keeps_runs_from_beginning_until_it_begins_anew(
    file: AccountFile, bot4: Callable[..., Result], name: str
) -> None:
    file.write(ACCOUNT)
    file.path.write_text("{")
    for command in (["run", "--duration", "1"], ["resume", "--reason", "x"]):
        refused = bot4(*command)
        assert refused.exit_code == 1
        assert f"bot4: {file.path} is damaged" in refused.stderr
    refused = bot4("init", "--rebase")
    assert (refused.exit_code, "--reason was empty" in refused.stderr) == (2, True)
    done = bot4("init", "--rebase", "--reason", "lost", "--actor", "anna")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == (
        f"the account of {name} begins anew: 100000 USDT\n"
        f"the last one is {file.path}.1.old\n"
        "what was lost today is not known, so risk is paused: bot4 resume --reason TEXT\n"
    )
    assert (kept(file)["mode"], kept(file)["mode_code"]) == (Mode.PAUSED, Denial.DAILY)
    done = bot4("resume", "--reason", "looked")
    assert done.stdout == (
        f"resumed {name}: mode paused -> normal\nrisk: mode paused (DAILY) -> normal\n"
    )
    done = bot4("init", "--rebase", "--reason", "again")
    assert done.stdout.splitlines()[1:] == [f"the last one is {file.path}.2.old"]
    assert kept(file)["mode"] == Mode.NORMAL
    lines = (file.folder / "breakers.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(each["kind"], each["breaker"], each["cause"]) for each in entries] == [
        *(("intent", "account", "rebased"), ("done", "account", "rebased")),
        *(("intent", "mode", "resumed"), ("done", "mode", "resumed")),
        *(("intent", "account", "rebased"), ("done", "account", "rebased")),
    ]


LOST = {"equity_e8": 98_000 * 10**8, "mode": int(Mode.PAUSED), "mode_code": int(Denial.DAILY)}
STANDS = "DAILY: -2000 USDT since 00:00 UTC; the limit is 2000 (risk.daily_loss)"


def test_a_loss_that_stands_is_told_with_its_figures(
    file: AccountFile, bot4: Callable[..., Result]
) -> None:
    file.write(dataclasses.replace(ACCOUNT, figures={**FIGURES, **LOST}))
    refused = bot4("resume", "--reason", "x")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"bot4: the breach stands, nothing was changed: {STANDS}; to have it count anew from here, "
        "give --rebase\n"
    )
    assert kept(file) == {**FIGURES, **LOST}


def test_a_loss_that_stands_keeps_nobody_from_ending_a_kill_by_hand(
    file: AccountFile, bot4: Callable[..., Result], name: str
) -> None:
    file.write(dataclasses.replace(ACCOUNT, figures={**FIGURES, **LOST}))
    LatchFile(file.folder).raise_to(Mode.EMERGENCY, "anna", "lunch", "manual")
    done = bot4("resume", "--reason", "x")
    assert done.exit_code == 0
    assert done.stdout == (
        f"resumed {name}: mode emergency -> paused\nrisk: begins the next run paused; {STANDS}\n"
    )
    assert not LatchFile(file.folder).read().is_killed
    assert kept(file) == {**FIGURES, **LOST}


def test_a_drawdown_needs_a_rebase_of_latch_and_account(
    file: AccountFile, bot4: Callable[..., Result], name: str
) -> None:
    fell = {"equity_e8": 84_000 * 10**8, "mode": 3, "mode_code": 808, "killed": 808, "drawdown": 1}
    file.write(dataclasses.replace(ACCOUNT, figures={**FIGURES, **fell}))
    LatchFile(file.folder).raise_to(Mode.EMERGENCY, "supervisor", "limit", "drawdown")
    refused = bot4("resume", "--reason", "x")
    assert refused.exit_code == 1
    assert (
        "DRAWDOWN: a unit is worth 0.840000, 1600 bp below its high-water mark 1.000000; the limit "
        "is 1500 bp (risk.drawdown_bp)"
    ) in refused.stderr
    assert LatchFile(file.folder).read().is_killed
    done = bot4("resume", "--reason", "x", "--rebase")
    assert done.stdout == (
        f"resumed {name}: mode emergency -> normal\n"
        "risk: mode emergency (DRAWDOWN) -> normal\n"
        "risk: high-water mark of a unit 1.000000 -> 0.840000\n"
        "risk: results begin anew with 0; they were, in USDT: daily -16000, weekly -16000, monthly "
        "-16000\n"
    )
    assert not LatchFile(file.folder).read().is_killed
    assert kept(file)["high_water_e12"] == 84 * 10**10
