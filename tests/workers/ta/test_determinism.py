"""The same market, the same bytes: from both kernels, from any prefix, today and tomorrow."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from tests.workers.ta.market import (
    ENGINES,
    SHORT,
    WINDOWS,
    all_emitted,
    all_rows,
    drive,
    hostile_market,
    random_market,
    rows,
)
from workers.ta.batch import features_of, kernel_hash
from workers.ta.features import FEATURES_VERSION, Feature

INSTRUMENTS = 3
KINDS: dict[str, dict[str, Any]] = {
    "tick": {**WINDOWS, "trades_per_bar": 4},
    "time": {**WINDOWS, "bar": "time", "interval_ms": 700, "flat_bars": 5},
    "volume": {**WINDOWS, "bar": "volume", "lots_per_bar": 2_000_000},
}

# Of version 2 of the features. A change that alters one alters what strategies and models see:
# raise FEATURES_VERSION.
GOLDEN = {
    "tick": "ebf4c78dedc5d3158df4297134b9081687a2443c115621f182805a233f22ec24",
    "time": "21199ed3a1e03f8f210ee63d925201668ffe7de8f95991168e594a71eaacbc3d",
    "volume": "69763e0083c0f90857707d75097c1364cd0e914592e042a38b5a96a9864b8281",
}
GOLDEN_KERNEL = "74b6567bd7f924bf996326ffc059b7928b1b8b22b2317c832491da30c4c5877a"


@pytest.mark.parametrize("kind", KINDS)
def test_native_and_reference_agree_in_every_bit(kind: str) -> None:
    native, reference = (drive(engine, INSTRUMENTS, **KINDS[kind]) for engine in ENGINES)
    for now, record in enumerate(random_market(1, 2_500, INSTRUMENTS), start=1):
        outputs = [driver.step("market", record, now_ns=now) for driver in (native, reference)]
        assert [(ring, row.tobytes()) for ring, row in outputs[0]] == [
            (ring, row.tobytes()) for ring, row in outputs[1]
        ]
        if now % 250 == 0:
            for group in ("bars", "indicators"):
                states = [driver.state(group).tobytes() for driver in (native, reference)]
                assert states[0] == states[1]
    built = native.state("bars")
    assert built["bars"].min() > 64  # the rings went round
    assert built["restarts"].sum() > 0
    assert built["late"].sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_record_makes_them_differ(kind: str) -> None:
    settings = {**KINDS[kind], **SHORT, "correlation_ms": 1_000}
    native, reference = (drive(engine, INSTRUMENTS, **settings) for engine in ENGINES)
    market = list(hostile_market(3, 2_500, INSTRUMENTS))
    emitted = [all_emitted(driver, market) for driver in (native, reference)]
    for ring in ("features", "correlations", "clusters"):
        assert emitted[0][ring].tobytes() == emitted[1][ring].tobytes()
        assert len(emitted[0][ring]) > 50
    for group in ("bars", "indicators", "clock", "samples", "correlation"):
        assert native.state(group).tobytes() == reference.state(group).tobytes()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_features_of_a_known_market_are_known(engine: str, kind: str) -> None:
    driver = drive(engine, INSTRUMENTS, **KINDS[kind])
    emitted = all_rows(driver, random_market(7, 1_500, INSTRUMENTS))
    assert len(emitted) > 150
    digest = hashlib.sha256(emitted["value"].tobytes() + emitted["valid"].tobytes())
    assert FEATURES_VERSION == 2
    assert digest.hexdigest() == GOLDEN[kind]


def test_a_kernel_is_known_by_its_hash() -> None:
    assert kernel_hash(WINDOWS) == GOLDEN_KERNEL
    assert kernel_hash({**WINDOWS, "roc": 11}) != GOLDEN_KERNEL
    assert kernel_hash({**WINDOWS, "trades_per_bar": 11}) == GOLDEN_KERNEL


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_later_changes_no_row(engine: str, kind: str) -> None:
    market = list(random_market(11, 900, INSTRUMENTS))
    whole = all_rows(drive(engine, INSTRUMENTS, **KINDS[kind]), market)
    other = [*market[:500], *random_market(12, 200, INSTRUMENTS)]
    for records in (market[:1], market[:333], market[:500]):
        part = all_rows(drive(engine, INSTRUMENTS, **KINDS[kind]), records)
        assert part.tobytes() == whole[: len(part)].tobytes()
    assert len(part) > 30
    again = all_rows(drive(engine, INSTRUMENTS, **KINDS[kind]), other)
    assert again[: len(part)].tobytes() == part.tobytes()


def test_bars_in_an_array_give_the_rows_that_their_trades_give() -> None:
    """The training data are the features that are traded on."""
    driver = drive("native", trades_per_bar=4, **WINDOWS)
    bars, flow, emitted = [], [], []
    for record in random_market(21, 4_000, 1):
        if record["kind"] >= 3:
            continue
        record["venue_sequence"] = 0  # nothing is lost, and nothing late
        before = driver.state("bars")[0]
        closed = rows(driver, [record])
        if closed:
            trade = record[0]
            bars.append(
                (
                    max(before["high"], trade["price"]),
                    min(before["low"], trade["price"]),
                    trade["price"],
                    before["volume"] + trade["quantity"],
                )
            )
            flow.append(
                (
                    before["signed_volume"] + trade["quantity"] * trade["aggressor"],
                    *(before[name] for name in ("bid", "bid_quantity", "ask", "ask_quantity")),
                )
            )
            emitted += closed
    values, valid = features_of(bars, WINDOWS, flow)
    assert len(emitted) > 500
    assert (
        values.tobytes()
        == np.concatenate([row["value"][0, : len(Feature)] for row in emitted]).tobytes()
    )
    assert valid.tobytes() == np.concatenate([row["valid"] for row in emitted]).tobytes()
