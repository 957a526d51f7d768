"""Sizes of entries in other currencies: what the settings say is money of the account."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pipeline.records import CORRELATIONS
from pipeline.replay import Driver
from tests.workers.ml.signals import ENGINES, NOW, above, below, config
from workers.ml.stage import Strategies

OTHER, BASE, INVERSE, OWN = range(4)  # of the instruments below


def drive(engine: str, quote: str, **settings: Any) -> Driver:
    """An instrument in BTC or EUR, what converts each, and one in the account's currency."""
    made = config(4, lot="0.00001", **settings)
    pairs = (("ETH", quote), ("BTC", "USDT"), ("USDT", "EUR"), ("ONE", "USDT"))
    for each, (base, of) in zip(made["instruments"], pairs, strict=True):
        each |= {"symbol": base + of, "base": base, "quote": of, "min_notional": "0"}
    stage = Strategies(made | {"currency": "USDT"})
    return Driver(stage, None if engine == "native" else stage.reference())


def lots(driver: Driver, instrument: int = OTHER, close: int = 10_000) -> int:
    """The size of an entry at this close, with a range of 100 ticks; 0: there was none."""
    rows = [below(instrument=instrument), above(instrument=instrument, close=close, atr=100.0)]
    sent = [driver.step("features", row, now_ns=NOW) for row in rows][-1]
    return int(sent[0][1]["quantity"][0]) if sent else 0


def close(driver: Driver, instrument: int, ticks: int) -> None:
    """Let a market that is not entered close."""
    driver.step("features", below(instrument=instrument, close=ticks), now_ns=NOW)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("quote", "by", "ticks", "rate"),
    [("BTC", BASE, 250, Fraction(5, 2)), ("EUR", INVERSE, 80, Fraction(5, 4))],
)
@pytest.mark.parametrize(
    ("settings", "money"),
    [
        ({"order_notional": "1000"}, Fraction(1000)),
        # One ATR is 1 % of the price, and 0.03 % of 100,000 is what it may move.
        ({"order_notional": "100000", "volatility_target_bp": 3}, Fraction(3000)),
    ],
)
def test_an_entry_is_worth_money_of_the_account(
    engine: str, quote: str, by: int, ticks: int, rate: Fraction, settings: Any, money: Fraction
) -> None:
    driver = drive(engine, quote, **settings)
    close(driver, by, ticks)
    in_quote = money / rate
    lot = 100 * Fraction("0.00001")  # at this close
    assert int(in_quote / lot) - lots(driver) in (0, 1)
    assert int(money / lot) - lots(driver, OWN) in (0, 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("quote", "by"), [("BTC", BASE), ("EUR", INVERSE)])
def test_nothing_is_entered_before_its_currency_has_a_price(
    engine: str, quote: str, by: int
) -> None:
    driver = drive(engine, quote)
    assert lots(driver) == 0
    close(driver, by, 100)
    assert lots(driver) == 1_000_000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cluster_is_capped_in_money_of_the_account(engine: str) -> None:
    driver = drive(engine, "BTC", cluster_cap_bp=15_000)
    together = np.zeros(1, CORRELATIONS)
    together["instrument"], together["count"] = OWN, 1
    together["value"][0, 0], together["samples"][0, 0] = 9_000, 100
    driver.step("clusters", together, now_ns=NOW)
    close(driver, BASE, 250)
    assert lots(driver) == 400_000  # 1,000 USDT at 100 BTC, of which one is 2.50
    assert lots(driver, OWN) == 500_000  # and 500 are left
