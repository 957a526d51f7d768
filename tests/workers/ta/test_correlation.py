"""Rolling correlations: the kernel, its reference, numpy's, and the same bits everywhere."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import CORRELATIONS
from tests.native.programs import build, expect_success
from workers import native
from workers.ta import correlation as reference
from workers.ta.correlation import WINDOW, Flags, Floats

ENGINES: dict[str, Any] = {"native": native.Correlation, "reference": reference.Correlation}
engines = pytest.mark.parametrize("engine", ENGINES)


def returns_of(seed: int, samples: int, instruments: int, mean: float = 0.0) -> Floats:
    """Return correlated returns (samples, instruments)."""
    random = np.random.default_rng(seed)
    common = random.normal(0, 1e-3, (samples, 1))
    own = random.normal(mean, 1e-3, (samples, instruments))
    return common * random.uniform(-1, 1, instruments) + own


def fed(engine: str, returns: Floats, valid: Flags | None = None) -> Any:
    made = ENGINES[engine](returns.shape[1])
    for t, sample in enumerate(returns):
        made.add(sample, None if valid is None else valid[t])
    return made


def matrix_of(correlation: Any, how: str = "matrix") -> Floats:
    count = correlation.instruments
    out = np.full((count, count), np.nan)
    getattr(correlation, how)(out)
    return out


def numpys(returns: Floats) -> Floats:
    """Return numpy's correlations of the last window."""
    return np.atleast_2d(np.corrcoef(returns[-WINDOW:].T))


def furthest(found: Floats, wanted: Floats) -> float:
    return float(np.abs(found - wanted).max())


@engines
@pytest.mark.parametrize("samples", [2, 3, 17, 255, 256, 257, 600])
def test_the_correlations_are_numpys_of_the_last_256_samples(engine: str, samples: int) -> None:
    returns = returns_of(samples, samples, 5)
    found = matrix_of(fed(engine, returns))
    assert furthest(found, numpys(returns)) < 1e-12
    assert (found == found.T).all()
    assert (found.diagonal() == 1).all()


@pytest.mark.parametrize("instruments", [1, 2, 7, 8, 9, 16, 33, 64, 65])
def test_all_numbers_of_instruments_are_right(instruments: int) -> None:
    returns = returns_of(instruments, 300, instruments)
    made = fed("native", returns)
    wanted = numpys(returns)
    for how in ("matrix", "recompute"):
        assert furthest(matrix_of(made, how), wanted) < 1e-12
    out = np.zeros((instruments, instruments))
    for correlate in (native.correlate, native.correlate_plainly):
        correlate(np.ascontiguousarray(returns[-WINDOW:].T), out)
        assert furthest(out, wanted) < 1e-12


def test_a_row_and_a_pair_have_the_bits_of_the_matrix() -> None:
    returns = returns_of(4, 400, 20)
    valid = np.ones(returns.shape, bool)
    valid[300:330, 3:6] = False
    made = fed("native", returns, valid)
    matrix = matrix_of(made)
    for i in range(20):
        values, samples, is_valid = made.row(i)
        assert values.tobytes() == matrix[i].tobytes()
        assert is_valid.all()
        assert made.pair(i, 7) == (values[7], samples[7], True)


@engines
def test_a_pair_is_of_the_samples_at_which_both_have_a_return(engine: str) -> None:
    returns = returns_of(8, 500, 4)
    valid = np.random.default_rng(9).random(returns.shape) < [1.0, 0.9, 0.5, 0.02]
    made = fed(engine, returns, valid)
    for i in range(4):
        for j in range(4):
            both = (valid[:, i] & valid[:, j])[-WINDOW:]
            value, samples, is_valid = made.pair(i, j)
            assert samples == both.sum()
            assert is_valid == (samples >= 2)
            if is_valid:
                wanted = numpys(returns[-WINDOW:][both][:, [i, j]])[0, 1]
                assert value == pytest.approx(wanted, abs=1e-12)


@engines
def test_what_is_not_valid_does_not_matter(engine: str) -> None:
    returns = returns_of(1, 300, 3)
    valid = np.ones(returns.shape, bool)
    valid[250:260, 1] = False
    other = returns.copy()
    other[250:260, 1] = np.nan
    assert (
        matrix_of(fed(engine, returns, valid)).tobytes()
        == matrix_of(fed(engine, other, valid)).tobytes()
    )


def test_an_instrument_that_comes_back_is_summed_again() -> None:
    returns = returns_of(2, 900, 3)
    valid = np.ones(returns.shape, bool)
    valid[:300, 0] = valid[250:520, 1] = False
    made = native.Correlation(3)
    for t, sample in enumerate(returns):
        made.add(sample, valid[t])
        if t == 519:
            assert made.pair(1, 2) == made.pair(1, 1) == (0.0, 0, False)
    assert furthest(matrix_of(made), numpys(returns)) < 1e-12


@engines
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-9, 1e9])
def test_a_row_that_does_not_move_has_no_correlation(engine: str, value: float) -> None:
    returns = returns_of(3, 600, 3)
    returns[200:, 1] = value
    made = fed(engine, returns)
    assert made.pair(0, 1) == made.pair(1, 2) == made.pair(1, 1) == (0.0, WINDOW, False)
    assert made.pair(0, 2)[2]
    matrix = matrix_of(made)
    assert (matrix[1] == 0).all()
    assert np.isfinite(matrix).all()


@engines
def test_nothing_is_valid_before_the_second_sample(engine: str) -> None:
    made = ENGINES[engine](2)
    assert made.pair(0, 1) == (0.0, 0, False)
    made.add(np.array([1e-3, 2e-3]))
    assert made.pair(0, 1) == (0.0, 1, False)
    made.add(np.array([2e-3, 1e-3]))
    assert made.pair(0, 1) == (-1.0, 2, True)


@engines
@pytest.mark.parametrize("samples", [50, 256, 700])
def test_rows_that_move_alike_are_at_the_limits(engine: str, samples: int) -> None:
    one = returns_of(5, samples, 1)[:, 0]
    made = fed(engine, np.stack([one, one, -one, one * 3 + 1e-5], axis=1))
    matrix = matrix_of(made)
    assert (np.abs(matrix) <= 1).all()
    assert furthest(matrix, np.outer([1, 1, -1, 1], [1, 1, -1, 1])) < 1e-12


@pytest.mark.parametrize("size", [1e3, 1e9, -1e12])
@pytest.mark.parametrize("hit", [(2,), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)], ids=["one", "all"])
def test_a_bad_tick_leaves_no_error_behind_when_it_leaves(
    size: float, hit: tuple[int, ...]
) -> None:
    returns = returns_of(6, 700, 10)
    returns[300, list(hit)] = size * np.linspace(1, 0.5, len(hit))
    made = native.Correlation(10)
    for t, sample in enumerate(returns):
        made.add(sample)
        if t in (299, 300, 400, 299 + WINDOW, 300 + WINDOW, 699):
            exact = ENGINES["reference"](10)
            for each in returns[t + 1 - WINDOW : t + 1]:
                exact.add(each)
            assert furthest(matrix_of(made), matrix_of(exact)) < 1e-12
            assert furthest(matrix_of(made, "recompute"), matrix_of(exact)) < 1e-12


def test_errors_do_not_grow_with_time() -> None:
    returns = returns_of(7, 20_000, 4, mean=5e-2)  # a mean far from 0 costs no digits either
    returns[10_000:] *= 1e-6  # the market calms down
    made = fed("native", returns[:10_300])
    worst = 0.0
    for t in range(10_300, 20_000):
        made.add(returns[t])
        if t % 500 == 0:
            exact = matrix_of(fed("reference", returns[t + 1 - WINDOW : t + 1]))
            worst = max(worst, furthest(matrix_of(made), exact))
    assert worst < 1e-12


def test_one_row_a_sample_is_anchored_in_turn_and_more_only_for_a_reason() -> None:
    made = fed("native", returns_of(1, 2_000, 50))
    assert 2_000 <= made.anchored < 2_200
    sample = np.full(50, 1e-3)
    sample[4] = 1e6
    before = made.anchored
    for _ in range(WINDOW + 1):
        made.add(sample)
    assert made.anchored > before + WINDOW + 1


moves = st.one_of(
    st.sampled_from([0.0, 0.1, -0.1, 1e-9]),
    st.floats(-1, 1, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-60),
    st.floats(-1e12, 1e12).filter(lambda x: x == 0 or abs(x) > 1e-60),
)


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.lists(st.one_of(st.none(), moves), min_size=3, max_size=3), max_size=40),
    warm=st.sampled_from([0, 0, 240, 256]),
)
def test_native_and_reference_agree_on_anything(data: list[list[float | None]], warm: int) -> None:
    made = [fed(engine, returns_of(1, warm, 3)) for engine in ENGINES]
    for sample in data:
        valid = np.array([value is not None for value in sample])
        for each in made:
            each.add(np.array([value or 0.0 for value in sample]), valid)
        for i in range(3):
            for j in range(3):
                found, wanted = (each.pair(i, j) for each in made)
                assert found[1:] == wanted[1:]
                assert abs(found[0]) <= 1
                assert found[0] == pytest.approx(wanted[0], abs=1e-12)


@engines
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e12])
def test_a_return_that_cannot_be_is_refused_and_changes_nothing(engine: str, value: float) -> None:
    made = fed(engine, returns_of(1, 50, 3))
    before = matrix_of(made).tobytes()
    with pytest.raises(ValueError, match=r"return of instrument 1 was .*, must be finite and wi"):
        made.add(np.array([0.5, value, 0.1]))
    assert (made.samples, matrix_of(made).tobytes()) == (50, before)


@engines
def test_what_has_the_wrong_size_is_refused(engine: str) -> None:
    for instruments in (0, 513):
        with pytest.raises(ValueError, match=rf"was {instruments}, must be in 1 \.\. 512"):
            ENGINES[engine](instruments)
    made = ENGINES[engine](3)
    with pytest.raises(ValueError, match="returns was 2, must be 3"):
        made.add(np.zeros(2))
    with pytest.raises(ValueError, match="valid was 4, must be 3"):
        made.add(np.zeros(3), np.ones(4, bool))
    with pytest.raises(IndexError, match="instrument was 3, must be below 3"):
        made.pair(0, 3)


def test_a_matrix_of_the_wrong_shape_and_unknown_instructions_are_refused() -> None:
    made = native.Correlation(3)
    for write in (made.matrix, made.recompute):
        with pytest.raises(ValueError, match="out was 3 x 2, must be 3 x 3"):
            write(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="out was 2 x 2, must be 3 x 3"):
        native.correlate(np.zeros((3, 9)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="simd was mmx, must be of baseline"):
        native.Correlation(3, simd="mmx")


def test_a_snapshot_goes_on_with_the_same_bits() -> None:
    returns = returns_of(3, 700, 9)
    whole = fed("native", returns)
    made = fed("native", returns[:333])
    other = native.Correlation(9)
    other.restore(made.snapshot())
    for sample in returns[333:]:
        other.add(sample)
    assert other.snapshot() == whole.snapshot()
    assert len(whole.snapshot()) == whole.size
    with pytest.raises(ValueError, match="bytes was 3, must be"):
        other.restore(b"abc")
    with pytest.raises(ValueError, match="instruments was 0, must be 9"):
        other.restore(bytes(other.size))


@pytest.mark.parametrize("first", [0, 48, 52, 60, 99])
def test_a_record_has_as_many_correlations_as_there_is_room_for(first: int) -> None:
    returns = returns_of(3, 300, 60)
    returns[:, 50] = 0  # it has none
    valid = np.ones(returns.shape, bool)
    valid[270:, 53] = False
    made = fed("native", returns, valid)
    (row,) = np.frombuffer(made.record(2, first), CORRELATIONS)
    count = max(0, min(48, 60 - first))
    assert (row["instrument"], row["sample"], row["first"], row["count"]) == (2, 300, first, count)
    pairs = [made.pair(2, each) for each in range(first, first + count)]
    spare = [0] * (48 - count)
    assert row["value"].tolist() == [reference.basis_points(pair[0]) for pair in pairs] + spare
    assert row["samples"].tolist() == [n if valid else 0 for _, n, valid in pairs] + spare
    with pytest.raises(IndexError, match="instrument was 60, must be below 60"):
        made.record(60, first)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0), (0.7, 7000), (0.70001, 7001), (-0.7, -7000), (-0.70001, -7001), (-1.0, -10000)],
)
def test_basis_points_are_beyond_a_limit_if_the_correlation_is(value: float, expected: int) -> None:
    assert reference.basis_points(value) == expected


@pytest.mark.parametrize("simd", native.simd_names())
@pytest.mark.parametrize("length", [1, 15, 16, 17, 100, 256])
def test_a_dot_product_has_the_bits_of_16_partial_sums(simd: str, length: int) -> None:
    instruments = 11
    rows = returns_of(length, length, instruments).T.copy()
    found = np.zeros((instruments, instruments))
    native.correlate(rows, found, simd=simd)
    padding = [0.0] * (-length % reference.PARTIALS)
    centred = []
    for row in rows:
        moved = [float(value) - float(row[0]) for value in row]
        total = 0.0
        for value in moved:
            total += value
        centred.append([value - total / length for value in moved] + padding)
    squares = [reference.fixed_lane_dot(row, row) for row in centred]
    scales = [1 / math.sqrt(each) if each > reference.LEAST_SQUARES else 0.0 for each in squares]
    for i in range(instruments):
        for j in range(i):
            dot = reference.fixed_lane_dot(centred[i], centred[j])
            assert found[i, j] == found[j, i] == max(-1, min(1, dot * scales[i] * scales[j]))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the levels are those of x86-64")
def test_the_bits_are_the_same_whatever_it_is_compiled_for(tmp_path: Path) -> None:
    builds = {
        "baseline": ("address", "-march=x86-64", "-O1"),
        "avx2": ("release", "-march=x86-64-v3", "-O3"),
        "avx512": ("release", "-march=x86-64-v4"),
    }
    known = native.simd_names()
    hashes: set[str] = set()
    for name in known:
        variant, *options = builds[name]
        printed = expect_success(build("correlation_bits", variant, tmp_path, *options)).split()
        assert len(printed) == 2 * len(known)
        hashes.update(printed[1::2])
    assert len(hashes) == 1
