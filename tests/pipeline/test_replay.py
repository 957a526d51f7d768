"""The driver, and what a kernel in Python may do with its state and its outputs."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from pipeline.records import CONTEXT, FEATURES, INTENT, MARKET, TICK, Array
from pipeline.replay import Driver
from shm import ArgumentError, ClosedError, LayoutError, RecordError
from tests.pipeline.kernels import Action, Counting, Doing, Probe, Quoted, config, context


def drive(action: Action | None = None) -> Driver:
    """Return a driver whose kernel does that at each step, or counts."""
    return Driver(Probe(config()), Counting() if action is None else Doing(action))


def market(*prices: int, instrument: int = 0) -> Array:
    records = np.zeros(len(prices), MARKET)
    records["price"] = prices
    records["instrument"] = instrument
    records["sequence"] = np.arange(len(prices))
    return records


def contexts(count: int, first: int = 0) -> Array:
    """Return contexts that take the market's records from `first` on."""
    records = np.zeros(count, CONTEXT)
    records["step"] = np.arange(first + 1, first + count + 1)
    records["sequence"] = np.arange(first, first + count)
    records["now_ns"] = records["step"] * 10
    return records


# The driver


def test_a_run_takes_a_step_for_each_context() -> None:
    driver = drive()
    emitted = driver.run(contexts(3), {"market": market(5, 6, 7)})
    assert list(emitted) == ["features", "correlations", "clusters"]
    rows = emitted["features"]
    assert list(rows["close"]) == [5, 11, 18]
    assert list(rows["sequence"]) == [0, 1, 2]
    assert list(rows["cause_step"]) == [1, 2, 3]
    assert list(rows["cause_index"]) == [0, 0, 0]
    assert list(rows["stamped_ns"]) == [10, 20, 30]
    assert list(driver.state("counts")["total"]) == [18, 0, 0]


def test_a_run_in_parts_is_the_same_run() -> None:
    prices = list(range(1, 8))
    whole = drive().run(contexts(7), {"market": market(*prices)})["features"]
    driver = drive()
    parts = [
        driver.run(contexts(3), {"market": market(*prices[:3])})["features"],
        driver.run(contexts(4, 3), {"market": market(*prices[3:])}, {"market": 3})["features"],
    ]
    assert b"".join(part.tobytes() for part in parts) == whole.tobytes()


def test_what_was_emitted_is_returned_once() -> None:
    driver = drive()
    assert len(driver.run(contexts(1), {"market": market(5)})["features"]) == 1
    assert len(driver.run(contexts(0), {})["features"]) == 0


def test_steps_are_numbered_and_each_input_counted() -> None:
    seen: list[tuple[int, ...]] = []

    def look(context: np.void, event: np.void | None, state: object, emit: object) -> None:
        fields = ("step", "sequence", "source", "instrument", "now_ns", "halted", "bid")
        seen.append(tuple(int(context[field]) for field in fields))

    driver = Driver(Quoted(config()), Doing(look))
    quote = np.zeros(1, np.dtype([("bid", "<i8")]))
    quote["bid"] = 99
    assert driver.step("market", market(5, instrument=2), now_ns=7, halted=3, quote=quote) == []
    assert driver.step("tick", None, now_ns=8, instrument=1) == []
    assert driver.step("market", market(6)[0], now_ns=9) == []
    assert driver.step("tick", None, now_ns=10) == []
    assert seen == [
        (1, 0, 0, 2, 7, 3, 99),
        (2, 0, TICK, 1, 8, 0, 0),
        (3, 1, 0, 0, 9, 0, 0),
        (4, 1, TICK, 0, 10, 0, 0),
    ]


def test_a_step_returns_its_outputs_with_their_ring() -> None:
    [(ring, row)] = drive().step("market", market(5), now_ns=1)
    assert (ring, row.shape, int(row["close"][0])) == ("features", (1,), 5)


def test_state_is_a_copy() -> None:
    driver = drive()
    driver.step("market", market(5), now_ns=1)
    copy = driver.state("counts")
    copy["total"] = 77
    assert driver.state("counts")["total"][0] == 5


@pytest.mark.parametrize("sequence", [1, 2, 1 << 63])
def test_a_context_whose_input_was_not_given_is_refused(sequence: int) -> None:
    steps = context(step=4, sequence=sequence)
    with pytest.raises(RecordError, match=f"step 4 took record {sequence} of market, which was no"):
        drive().run(steps, {"market": market(5)})


def test_an_input_before_the_first_that_was_given_is_refused() -> None:
    with pytest.raises(RecordError, match="step 1 took record 0 of market"):
        drive().run(context(step=1), {"market": market(5)}, {"market": 1})


def test_a_context_of_another_stage_is_refused() -> None:
    with pytest.raises(RecordError, match="context of step 1 has source 1, the stage has 1 inputs"):
        drive().run(context(step=1, source=1), {})


def test_arrays_of_another_dtype_are_refused() -> None:
    with pytest.raises(RecordError, match=r"dtype of market was .*, must be "):
        drive().run(context(step=1), {"market": np.zeros(1, INTENT)})
    joined = np.concatenate([market(5), market(6)])
    assert joined.dtype.itemsize < MARKET.itemsize
    with pytest.raises(RecordError, match=r"dtype of market was .*join their bytes"):
        drive().run(contexts(2), {"market": joined})
    with pytest.raises(RecordError, match=r"dtype of contexts was .*, must be "):
        drive().run(np.zeros(1, INTENT), {"market": market(5)})


def test_arrays_need_not_be_contiguous() -> None:
    every_other = drive().run(contexts(6)[::2], {"market": market(1, 2, 3, 4, 5)})
    assert list(every_other["features"]["close"]) == [1, 4, 9]


def test_an_error_in_a_step_is_the_callers() -> None:
    def fail(context: object, event: object, state: object, emit: object) -> None:
        raise ZeroDivisionError("in the kernel")

    with pytest.raises(ZeroDivisionError, match="in the kernel"):
        drive(fail).step("market", market(5), now_ns=1)


def test_a_kernel_without_a_step_is_refused() -> None:
    with pytest.raises(AttributeError, match="step"):
        Driver(Probe(config()), object())


def test_a_capsule_of_something_else_is_refused() -> None:
    capsule = np.zeros(1).__array_struct__
    with pytest.raises(ValueError, match="incorrect name"):
        Driver(Probe(config()), capsule)


def test_cells_whose_dtype_is_none_are_refused() -> None:
    class Wrong(Probe):
        def cells(self) -> dict[str, Any]:
            return {"counts": ("not a dtype", 1)}

    with pytest.raises(LayoutError, match="dtype of counts was 'not a dtype', must be a numpy dt"):
        Driver(Wrong(config()))


# A kernel in Python: its state


def test_an_edit_is_there_for_all_later_reads() -> None:
    seen = []

    def edit(context: np.void, event: object, state: Any, emit: object) -> None:
        seen.append(int(state.read("counts", 1)["total"]))
        own = state.edit("counts", 1)
        own["total"] += 5
        own["last"][2] = context["step"]
        seen.append(int(state.read("counts", 1)["total"]))

    driver = drive(edit)
    for _ in range(2):
        driver.step("tick", None, now_ns=1)
    assert seen == [0, 5, 5, 10]
    assert list(driver.state("counts")["last"][1]) == [0, 0, 2]


def test_what_is_read_is_a_copy() -> None:
    def change_what_was_read(context: object, event: object, state: Any, emit: object) -> None:
        state.read("counts", 0)["total"] = 77

    driver = drive(change_what_was_read)
    driver.step("tick", None, now_ns=1)
    assert driver.state("counts")["total"][0] == 0


@pytest.mark.parametrize("call", ["read", "edit"])
@pytest.mark.parametrize(
    ("group", "index", "error", "message"),
    [
        ("nothing", 0, ArgumentError, "group of cells was 'nothing', must be one of counts, stage"),
        (7, 0, ArgumentError, "group of cells was 7, must be one of counts, stage"),
        ("counts", 3, ArgumentError, r"index of a cell of counts was 3, must be in 0 \.\. 2"),
        ("stage", 1, ArgumentError, r"index of a cell of stage was 1, must be in 0 \.\. 0"),
        ("counts", -1, TypeError, "incompatible function arguments"),
        ("counts", 1.5, TypeError, "incompatible function arguments"),
    ],
)
def test_a_cell_that_there_is_not_is_refused(
    call: str, group: Any, index: Any, error: type[Exception], message: str
) -> None:
    def touch(context: object, event: object, state: object, emit: object) -> None:
        getattr(state, call)(group, index)

    with pytest.raises(error, match=message):
        drive(touch).step("tick", None, now_ns=1)


def test_names_are_compared_by_value_and_indices_may_be_numpys() -> None:
    def touch(context: np.void, event: object, state: Any, emit: object) -> None:
        for index in (context["instrument"], np.int64(1), True):
            state.edit("".join(["cou", "nts"]), index)["seen"] += 1

    driver = drive(touch)
    driver.step("tick", None, now_ns=1, instrument=2)
    assert list(driver.state("counts")["seen"]) == [0, 2, 1]


def test_views_outlive_their_step_and_their_driver() -> None:
    kept: list[np.void] = []

    def keep(context: object, event: object, state: Any, emit: object) -> None:
        kept.append(state.edit("counts", 0))
        kept[-1]["total"] += 1

    driver = drive(keep)
    for _ in range(3):
        driver.step("tick", None, now_ns=1)
    inner = kept[0]["last"]
    del driver
    gc.collect()
    # What they show is up to the cells; that it is still theirs is not.
    filler = [np.full(64, 0x7FFF, "<i8") for _ in range(1000)]
    assert {int(view["total"]) for view in kept} <= {1, 2, 3}
    assert list(inner) == [0, 0, 0]
    del filler


# A kernel in Python: its outputs


@pytest.mark.parametrize(
    ("ring", "record", "error", "message"),
    [
        ("intents", np.zeros(1, INTENT), ArgumentError, "output ring was 'intents', must be one "),
        (7, np.zeros(1, FEATURES), ArgumentError, "output ring was 7, must be one of features"),
        ("features", np.zeros(1, INTENT), RecordError, "must be one record of dtype"),
        ("features", np.zeros(2, FEATURES), RecordError, "must be one record of dtype"),
        ("features", np.zeros(0, FEATURES), RecordError, "must be one record of dtype"),
        ("features", np.zeros(1, INTENT)[0], RecordError, "must be one record of dtype"),
        ("features", b"\0" * FEATURES.itemsize, RecordError, "must be one record of dtype"),
        ("features", 5, RecordError, "a record emitted to features was 5, must be one record of"),
        ("features", None, TypeError, "incompatible function arguments"),
        ("features", np.float64(1.0), RecordError, "must be one record of dtype"),
    ],
)
def test_what_cannot_be_emitted_is_refused(
    ring: Any, record: Any, error: type[Exception], message: str
) -> None:
    def emit_it(context: object, event: object, state: object, emit: Any) -> None:
        emit(ring, record)

    with pytest.raises(error, match=message):
        drive(emit_it).step("tick", None, now_ns=1)


def test_a_record_is_emitted_as_a_copy_whatever_holds_it() -> None:
    row = np.zeros(2, FEATURES)

    def emit_all(context: object, event: object, state: object, emit: Any) -> None:
        for number, record in enumerate(
            (row[0], row[1:], row[:1].reshape(1, 1), row[1:].squeeze())
        ):
            row["bar"] = number
            emit("features", record)

    outputs = drive(emit_all).step("tick", None, now_ns=9)
    assert [int(record["bar"][0]) for _, record in outputs] == [0, 1, 2, 3]
    assert [int(record["cause_index"][0]) for _, record in outputs] == [0, 1, 2, 3]
    assert set(row["stamped_ns"]) == {0}


def test_inputs_and_contexts_may_be_kept() -> None:
    kept: list[tuple[np.void, Any]] = []

    def keep(context: np.void, event: np.void | None, state: object, emit: object) -> None:
        kept.append((context, event))

    driver = drive(keep)
    for price in (5, 6):
        driver.step("market", market(price), now_ns=price)
    driver.step("tick", None, now_ns=7)
    del driver
    assert [int(context["now_ns"]) for context, _ in kept] == [5, 6, 7]
    assert [event and int(event["price"]) for _, event in kept] == [5, 6, None]


def test_state_and_emit_are_good_for_a_step_only() -> None:
    kept: list[Any] = []

    def keep(context: object, event: object, state: object, emit: object) -> None:
        kept[:] = [state, emit]

    driver = drive(keep)
    driver.step("tick", None, now_ns=1)
    state, emit = kept
    for call in (state.read, state.edit):
        with pytest.raises(ClosedError, match="state was used outside of a step"):
            call("counts", 0)
    with pytest.raises(ClosedError, match="emit was called outside of a step"):
        emit("features", np.zeros(1, FEATURES))
    driver.step("tick", None, now_ns=2)
    del driver
    with pytest.raises(ClosedError, match="state was used outside of a step"):
        state.read("counts", 0)


def test_state_and_emit_end_with_a_step_that_raises() -> None:
    kept: list[Any] = []

    def keep_and_fail(context: object, event: object, state: object, emit: object) -> None:
        kept[:] = [state, emit]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(keep_and_fail).step("tick", None, now_ns=1)
    with pytest.raises(ClosedError):
        kept[0].edit("counts", 0)
    with pytest.raises(ClosedError):
        kept[1]("features", np.zeros(1, FEATURES))
