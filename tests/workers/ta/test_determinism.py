"""The same market, the same bytes: from both kernels, from any prefix, today and tomorrow."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.workers.ta.market import ENGINES, drive, random_market, rows

INSTRUMENTS = 3
SETTINGS = {"trades_per_bar": 4, "fast": 5, "slow": 20, "rsi": 14, "atr": 14}

# Of version 1 of the features. A change that alters it alters what strategies and models see: raise
# FEATURES_VERSION.
GOLDEN = "a1f34ba08b25d07823d4916cbedcfadbc068a167bc6a03be3b9f068aa7f9b46d"


@pytest.mark.parametrize("seed", [1, 2])
def test_native_and_reference_agree_in_every_bit(seed: int) -> None:
    native, reference = (drive(engine, INSTRUMENTS, **SETTINGS) for engine in ENGINES)
    for now, record in enumerate(random_market(seed, 6_000, INSTRUMENTS), start=1):
        outputs = [driver.step("market", record, now_ns=now) for driver in (native, reference)]
        assert [(ring, row.tobytes()) for ring, row in outputs[0]] == [
            (ring, row.tobytes()) for ring, row in outputs[1]
        ]
        if now % 500 == 0:
            states = [driver.state("instruments").tobytes() for driver in (native, reference)]
            assert states[0] == states[1]
    assert native.state("instruments")["bars"].min() > 256  # the ring of closes went round


@pytest.mark.parametrize("engine", ENGINES)
def test_the_features_of_a_known_market_are_known(engine: str) -> None:
    emitted = rows(drive(engine, INSTRUMENTS, **SETTINGS), random_market(7, 2_000, INSTRUMENTS))
    assert len(emitted) > 300
    assert hashlib.sha256(np.concatenate(emitted)["value"].tobytes()).hexdigest() == GOLDEN


@pytest.mark.parametrize("engine", ENGINES)
def test_what_comes_later_changes_no_row(engine: str) -> None:
    market = list(random_market(11, 1_200, INSTRUMENTS))
    whole = rows(drive(engine, INSTRUMENTS, **SETTINGS), market)
    other = [*market[:700], *random_market(12, 300, INSTRUMENTS)]
    for records in (market[:1], market[:333], market[:700]):
        part = rows(drive(engine, INSTRUMENTS, **SETTINGS), records)
        assert [row.tobytes() for row in part] == [row.tobytes() for row in whole[: len(part)]]
    assert [row.tobytes() for row in rows(drive(engine, INSTRUMENTS, **SETTINGS), other)][
        : len(part)
    ] == [row.tobytes() for row in part]
