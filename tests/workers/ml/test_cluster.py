"""How large an entry may be beside what moves with it, and in its own instrument."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pipeline.replay import Driver
from pipeline.vocabulary import OutcomeKind, Side
from tests.workers.ml.signals import (
    ENGINES,
    NOW,
    RISK,
    Array,
    config,
    correlations,
    drive,
    hear,
    outcome,
    relate,
    scored,
    see,
)
from workers.ml.stage import Strategies

pytestmark = pytest.mark.parametrize("engine", ENGINES)

# One ATR may move 100,000 by 10, and moves a lot by 0.001: a position is of 10,000 lots.
ALONE: dict[str, Any] = {
    "strategy": "blend",
    "weight_bp": 10_000,
    "volatility_target_bp": 1,
    "order_notional": "1000000",
}
ONE = 10_000


def desk(engine: str, instruments: int = 3, **settings: Any) -> Driver:
    return drive(engine, instruments, **{**ALONE, **settings})


def ask(driver: Driver, instrument: int, **more: Any) -> int:
    """Return the size of the entry with which a row is answered."""
    intent = see(driver, scored(0.9, instrument=instrument, **more))
    return 0 if intent is None else int(intent["quantity"][0])


def fill(driver: Driver, instrument: int, position: int, leaves: int = 0) -> None:
    """Fill what is pending there."""
    pending = int(driver.state("instruments")["pending"][instrument])
    hear(
        driver,
        outcome(OutcomeKind.FILL, pending, position=position, leaves=leaves, instrument=instrument),
    )


def test_what_moves_with_a_position_shares_its_budget(engine: str) -> None:
    driver = desk(engine, 4, cluster_cap_bp=25_000)
    for instrument in range(4):
        relate(driver, instrument, *[9_000] * 4)
    sizes = []
    for instrument in range(4):
        sizes.append(ask(driver, instrument))
        if sizes[-1]:
            fill(driver, instrument, sizes[-1])
    assert sizes == [ONE, ONE, ONE // 2, 0]
    assert driver.state("instruments")["wanted"][3] == 0


@pytest.mark.parametrize(
    ("rho", "samples", "size"),
    [
        (7_001, 20, ONE // 2),
        (7_000, 20, ONE),
        (7_001, 19, ONE),
        (-7_001, 20, ONE),  # the other way
        (0, 0, ONE),
    ],
)
def test_it_does_beyond_the_limit_and_of_enough_samples(
    engine: str, rho: int, samples: int, size: int
) -> None:
    driver = desk(engine, cluster_cap_bp=15_000)
    relate(driver, 1, rho, 10_000, 0, samples=samples)
    fill(driver, 0, ask(driver, 0))
    assert ask(driver, 1) == size


def test_a_short_position_is_together_with_what_goes_against_it(engine: str) -> None:
    for rho, size in ((-8_000, ONE // 2), (8_000, ONE)):
        driver = desk(engine, cluster_cap_bp=15_000)
        relate(driver, 1, rho, 10_000, 0)
        see(driver, scored(0.0))  # by which its risk is known
        hear(driver, outcome(OutcomeKind.STOP, 0, Side.SELL, position=-ONE))
        assert ask(driver, 1) == size


def test_what_is_on_its_way_counts_until_it_is_refused(engine: str) -> None:
    driver = desk(engine, cluster_cap_bp=15_000)
    for instrument in (1, 2):
        relate(driver, instrument, 8_000, 0, 0)
    assert ask(driver, 0) == ONE
    assert ask(driver, 1) == ONE // 2
    hear(driver, outcome(OutcomeKind.APPROVED, 1))
    fill(driver, 0, ONE // 4, leaves=ONE - ONE // 4)
    assert driver.state("instruments")[0]["entering"] == ONE - ONE // 4
    hear(driver, outcome(OutcomeKind.EXPIRED, 1))
    # A quarter is left of it.
    assert ask(driver, 2) == ONE


def test_what_was_left_does_not_count(engine: str) -> None:
    driver = desk(engine, cluster_cap_bp=10_000)
    relate(driver, 1, 8_000, 0, 0)
    fill(driver, 0, ask(driver, 0))
    assert ask(driver, 1) == 0
    leaving = see(driver, scored(-0.9))
    assert leaving is not None
    assert ask(driver, 1) == 0  # not yet
    hear(driver, outcome(OutcomeKind.FILL, int(leaving["intent_id"][0]), Side.SELL))
    assert driver.state("instruments")[0]["entering"] == 0
    assert ask(driver, 1) == ONE


def test_a_position_counts_by_how_wild_its_market_is_now(engine: str) -> None:
    driver = desk(engine, cluster_cap_bp=20_000)
    relate(driver, 1, 8_000, 0, 0)
    fill(driver, 0, ask(driver, 0))
    see(driver, scored(0.5, atr=150.0))
    assert ask(driver, 1) == ONE // 2
    driver.step("outcomes", outcome(OutcomeKind.DENIED, 2, instrument=1), now_ns=NOW)
    see(driver, scored(0.1, instrument=1))
    see(driver, scored(0.5, atr=50.0))
    assert ask(driver, 1) == ONE


def test_without_a_volatility_target_it_counts_by_its_worth(engine: str) -> None:
    # 1,000 is worth 10,000 lots, whatever the range.
    settings: dict[str, Any] = {
        "volatility_target_bp": 0,
        "order_notional": "1000",
        "cluster_cap_bp": 15_000,
    }
    driver = desk(engine, **settings)
    relate(driver, 1, 8_000, 0, 0)
    fill(driver, 0, ask(driver, 0, atr=30.0))
    see(driver, scored(0.5, close=12_000))
    assert ask(driver, 1, atr=300.0) == pytest.approx(3_000, abs=1)


def test_a_cap_of_0_is_none(engine: str) -> None:
    driver = desk(engine, cluster_cap_bp=0)
    relate(driver, 1, 10_000, 10_000, 10_000)
    fill(driver, 0, ask(driver, 0))
    assert ask(driver, 1) == ONE


def test_a_row_may_begin_anywhere_and_end_beyond_the_instruments(engine: str) -> None:
    driver = desk(engine, 5)
    row = correlations(2, [1, 2, 3, 4, 5, 6])
    row["first"] = 3
    assert driver.step("clusters", row, now_ns=NOW) == []
    kept = driver.state("correlations")
    assert kept["value"][2, :5].tolist() == [0, 0, 0, 1, 2]
    assert kept["samples"][2, :5].tolist() == [0, 0, 0, 20, 20]
    assert not kept["value"][2, 5:].any()
    with pytest.raises(IndexError, match=r"correlations row 0: instrument was 5, must be below 5"):
        driver.step("clusters", correlations(5, [1]), now_ns=NOW)


def test_no_entry_lets_a_cluster_exceed_its_cap(engine: str) -> None:
    instruments, rng = 6, random.Random(5)
    driver = desk(engine, instruments, cluster_cap_bp=17_000, kelly_bp=2_500, leave_bp=0)
    cap = 1.7 * 10.0
    moves = np.zeros(instruments)
    entries = capped = 0
    for _ in range(3_000):
        index = rng.randrange(instruments)
        own = driver.state("instruments")[index]
        what = rng.random()
        if own["pending"] and what < 0.6:
            side = Side.SELL if own["position"] and not own["entering"] else Side.BUY
            kind = rng.choice((OutcomeKind.FILL, OutcomeKind.FILL, OutcomeKind.DENIED))
            after = int(own["entering"]) if kind == OutcomeKind.FILL else int(own["position"])
            said = outcome(kind, int(own["pending"]), side, position=after, instrument=index)
            hear(driver, said)
            continue
        if what < 0.7:
            values = [rng.randint(-10_000, 10_000) for _ in range(instruments)]
            relate(driver, index, *values, samples=rng.choice((19, 20)))
            continue
        atr, close = rng.uniform(20.0, 400.0), rng.randint(5_000, 20_000)
        moves[index] = max(atr, 1.0)
        row = scored(rng.uniform(-1, 1), atr=atr, close=close, instrument=index)
        intent = see(driver, row)
        if intent is None or intent["side"][0] != Side.BUY:
            continue
        entries += 1
        states, kept = driver.state("instruments"), driver.state("correlations")[index]
        lots = states["position"] + states["entering"]
        together = (kept["value"][:instruments] > 7_000) & (kept["samples"][:instruments] >= 20)
        together[index] = True
        risk = float((lots * moves * 0.01 * 0.001)[together].sum())
        assert risk <= cap * (1 + 1e-9)
        capped += risk > cap * 0.999
    assert entries > 100
    assert capped > 5


def quantity(
    engine: str,
    row: Array,
    instrument: Mapping[str, str] = {},
    risk: Mapping[str, Any] = {},
    caps: Mapping[str, Mapping[str, str]] = {},
    account: Mapping[str, Any] = {},
) -> int:
    """Return the size of an entry of 1,000 in an instrument with these settings."""
    intent = entered(engine, row, instrument, risk, caps, account)
    return 0 if intent is None else int(intent["quantity"][0])


def entered(
    engine: str,
    row: Array,
    instrument: Mapping[str, str] = {},
    risk: Mapping[str, Any] = {},
    caps: Mapping[str, Mapping[str, str]] = {},
    account: Mapping[str, Any] = {},
) -> Array | None:
    """Return that entry."""
    given = config(**{**ALONE, "volatility_target_bp": 0, "order_notional": "1000"})
    given["instruments"][0] |= instrument
    given["ml"]["instruments"] = caps
    given["risk"] = {**RISK, **account, "instruments": {"C0USDT": risk}}
    stage = Strategies(given)
    driver = Driver(stage) if engine == "native" else Driver(stage, kernel=stage.reference())
    return see(driver, row)


@pytest.mark.parametrize(("most", "lots"), [("500", 5_000), ("2000", 20_000)])
def test_an_instrument_may_have_a_cap_of_its_own(engine: str, most: str, lots: int) -> None:
    cap = {"order_notional": most}
    assert quantity(engine, scored(0.9), caps={"C0USDT": cap}) == lots
    assert quantity(engine, scored(0.9), caps={"C1USDT": cap}) == 10_000


@pytest.mark.parametrize(
    ("risk", "account", "lots"),
    [
        # Of a lot of 0.10, 1 % less than risk allows; an entry of 10,000 lots is wanted.
        ({"position_bp": 50}, {}, 4_950),
        ({"position_bp": 50}, {"reduce_bp": 2_000}, 3_960),
        ({}, {"position_bp": 100, "preset": "conservative"}, 4_950),
        ({"position_bp": 5_000}, {"position_bp": 1}, 10_000),
        ({"order_notional": "800"}, {}, 7_920),
        ({}, {"order_notional": "600"}, 5_940),
        ({}, {"strategies": {"0": {"order_notional": "400"}}}, 3_960),
        ({}, {"strategies": {"1": {"order_notional": "400"}}}, 10_000),
        ({"order_quantity": "2"}, {}, 2_000),
        ({"adv": "300"}, {"adv_bp": 100}, 3_000),
    ],
)
def test_an_entry_is_what_risk_lets_pass(
    engine: str, risk: dict[str, Any], account: dict[str, Any], lots: int
) -> None:
    assert quantity(engine, scored(0.9), risk=risk, account=account) == lots


@pytest.mark.parametrize(("step", "stop", "target"), [(1, 9_700, 10_600), (250, 9_500, 10_750)])
def test_stop_and_target_are_prices_that_risk_lets_pass(
    engine: str, step: int, stop: int, target: int
) -> None:
    intent = entered(engine, scored(0.9), risk={"price_step": step})
    assert intent is not None
    assert (intent["stop"][0], intent["target"][0]) == (stop, target)


def test_without_room_for_a_stop_there_is_no_entry(engine: str) -> None:
    assert entered(engine, scored(0.9), risk={"price_step": 10_000}) is None


@pytest.mark.parametrize(
    ("instrument", "risk", "lots"),
    [
        ({"max_quantity": "9.999"}, {}, 9_999),
        ({"max_quantity": "10.001"}, {}, 10_000),
        ({"min_quantity": "10"}, {}, 10_000),
        ({"min_quantity": "10.001"}, {}, 0),
        ({}, {"quantity_step": 3}, 9_999),
        ({"max_quantity": "0.11"}, {"quantity_step": 100}, 100),
    ],
)
def test_an_entry_is_what_the_venue_takes(
    engine: str, instrument: dict[str, str], risk: dict[str, int], lots: int
) -> None:
    assert quantity(engine, scored(0.9), instrument, risk) == lots
