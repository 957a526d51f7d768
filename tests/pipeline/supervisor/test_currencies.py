"""A run in two quote currencies, with real processes, and the account that it leaves."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.account import AccountFile
from pipeline.instruments import E8, money_to_text
from pipeline.kill.positions import committed, committed_together
from pipeline.requests import risk_account
from tests.pipeline.supervisor.started import Started, bot4, until
from tests.pipeline.supervisor.test_requests import ask, begun

MARKET = """
[[instruments]]
symbol = "{0}{1}"
venue = "sim"
base = "{0}"
quote = "{1}"
tick = "{2}"
lot = "{3}"
min_notional = "0.0001"
maker_fee = "0.001"
taker_fee = "0.001"
price = "{4}"
"""
CONFIG = "".join(
    (
        '[balances]\nBTC = "10"\n',
        MARKET.format("BTC", "USDT", "0.01", "0.00001", "60000"),
        MARKET.format("ETH", "BTC", "0.000001", "0.0001", "0.05"),
    )
)


def started(name: str, folder: Path) -> Started:
    """Start a run of both."""
    path = folder / "two.toml"
    path.write_text(CONFIG)
    return Started(name, folder, environ={"BOT4_CONFIG": str(path)})


def other(run: Started) -> Any:
    """What there is of BTC."""
    return committed(run.segment, "risk", "currencies")[0]


def test_a_run_pays_in_each_currency_and_the_next_goes_on(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path) as run:
        begun(run)
        until(
            lambda: other(run)["fees_e8"] > 0 and risk_account(run.segment)["fees_e8"] > 0, "fees"
        )
        before = int(risk_account(run.segment)["units"])
        done = ask(run, "flow", "2.5", "--currency", "BTC", "--reason", "more", "--json")
        told = json.loads(done.stdout)
        assert (told["amount"], told["currency"], told["flows"]) == ("2.5", "BTC", "2.5")
        issued = int(risk_account(run.segment)["units"]) - before
        assert 100_000 * E8 < issued < 200_000 * E8  # units were worth about 1
        done = ask(run, "flow", "1", "--currency", "EUR", "--reason", "x")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "was 'EUR', must be one of this run: USDT, BTC" in done.stderr
        done = ask(run, "flow", "-10000", "--currency", "BTC", "--reason", "x")
        assert "bot4: flow was -10000 BTC, must leave some of the equity, " in done.stderr
        shown = bot4("status", "--name", name, cwd=tmp_path)
        account, cells, held = committed_together(
            run.segment, "risk", "account", "currencies", "instruments"
        )
        figures, _ = run.stop()
    for books, cost in zip((account[0], cells[0]), held["cost_e8"], strict=True):
        given = int(books["opening_e8"]) + int(books["flows_e8"])
        earned = int(books["realised_e8"]) - int(books["fees_e8"])
        assert int(books["cash_e8"]) + int(cost) == given + earned
    assert cells[0]["opening_e8"] == 10 * E8
    assert "balances: " in shown.stdout and " BTC (" in shown.stdout, shown.stdout

    balances = figures["account"]["balances"]
    assert list(balances) == ["USDT", "BTC"]
    worth = {each: Decimal(balances[each]["worth"]) for each in balances}
    assert sum(worth.values()) == Decimal(figures["equity"])
    assert 300_000 < worth["BTC"] < 1_200_000

    kept = AccountFile(tmp_path).read()
    assert kept is not None
    amount, *prices = kept.balances["BTC"]
    total = Decimal(balances["BTC"]["cash"]) + Decimal(balances["BTC"]["positions"])
    assert money_to_text(amount) == money_to_text(int(total * E8))
    assert 0 < prices[0] < prices[1]
    assert abs(Decimal(figures["pnl"])) < 20_000  # a deposit is no profit

    with started(name, tmp_path) as run:
        begun(run)
        assert (other(run)["opening_e8"], other(run)["is_base"]) == (amount, 1)
        now = risk_account(run.segment)
        assert now["opening_e8"] + now["joined_e8"] == kept.figures["equity_e8"]
        assert now["units"] == kept.figures["units"]
        run.stop()
