"""The stage loop and the feed's publisher: under kills, under sanitizers, and with faults.

Built and run like the programs of `test_native`, and judged by comparison with `Replay`: whatever
is killed, and wherever, each input is taken once and each output is said once, bit for bit.
"""

import re
from pathlib import Path

import pytest

from tests.native.faults import Fault, expect_found
from tests.native.programs import build, executed_lines, expect_covered, expect_success, figures

MEASURED = {
    *(f"pipeline/native/{name}.hpp" for name in ("kernel", "loop", "replay")),
    "workers/feed/native/publisher.hpp",
}


@pytest.mark.parametrize("variant", ["thread", "address"])
def test_behaviour(variant: str, tmp_path: Path) -> None:
    expect_success(build("stage_units", variant, tmp_path))


def test_a_stage_and_its_successor_may_be_killed_at_any_instruction(tmp_path: Path) -> None:
    output = expect_success(build("stage_kill_steps", "release", tmp_path))
    instructions = figures(output, "instructions")
    memories = figures(output, "memories")
    assert len(instructions) == len(memories) == 3
    # Many memories: a step stores dozens of words, and a batch has many steps.
    assert instructions[0] > memories[0] > 100
    assert instructions[1] > memories[1] > 100


def test_a_storm_of_kills_loses_repeats_and_changes_nothing(tmp_path: Path) -> None:
    output = expect_success(build("stage_storm", "release", tmp_path))
    assert figures(output, "kills") >= [200]
    assert figures(output, "records") >= [100_000]


def test_the_headers_are_covered(tmp_path: Path) -> None:
    expect_success(build("stage_units", "coverage", tmp_path))
    executed = executed_lines(tmp_path, "|".join(map(re.escape, sorted(MEASURED))))
    assert set(executed) == MEASURED
    for header, lines in executed.items():
        expect_covered({header: lines})


# --- Faults ---

# A state that is not as it was emits other records, or more of them than there is room for.
AFTER_A_KILL = r"false: !harm\.any\(\)|an output ring is full"
REFUSED = "of an input ring is missing"


def of_a_batch(header: str, edits: dict[str, str], evidence: str = AFTER_A_KILL) -> Fault:
    return Fault(header, edits, "stage_kill_steps", ("batch",), evidence)


FAULTS = {
    "a context is published after its step": of_a_batch(
        "pipeline/native/loop.hpp",
        {
            "    contexts_.push(&context);\n": "",
            "    step_ = context.step;\n": "    step_ = context.step;\n"
            "    if (!replaying_) contexts_.push(&context);\n",
        },
    ),
    "recovery takes new contexts": Fault(
        "pipeline/native/loop.hpp",
        {"if (sabotage_.context) sample(context);": "sample(context);"},
        "stage_storm",
        (),
        AFTER_A_KILL,
    ),
    "a step is committed before its cells are stamped": of_a_batch(
        "pipeline/native/loop.hpp",
        {
            "    for (shm::Cells& group : state_.groups()) group.stamp(step_);\n": "    words_"
            ".committed->store(step_, std::memory_order_release);\n"
            "    for (shm::Cells& group : state_.groups()) group.stamp(step_);\n"
        },
    ),
    "cells are stamped with the step before the batch": of_a_batch(
        "pipeline/native/loop.hpp",
        {"group.stamp(step_);": "group.stamp(words_.committed->load());"},
    ),
    "records are given back before the commit": of_a_batch(
        "pipeline/native/loop.hpp",
        {
            "    crash_if(CrashPoint::kStamped);\n": "    for (In& input : inputs_)\n"
            "      if (input.ring.pending() != 0) input.ring.commit(input.ring.pending());\n"
        },
        REFUSED,
    ),
    "recovery leaves heads that lag behind": of_a_batch(
        "pipeline/native/loop.hpp",
        {"skip(ring, taken.taken[i] - ring.committed());": "(void)ring, (void)taken;"},
    ),
    "the last cause is read from the slot behind it": of_a_batch(
        "pipeline/native/loop.hpp",
        {"((tail - 1) & (ring.capacity - 1))": "(tail & (ring.capacity - 1))"},
    ),
    "the last cause is that of another ring": of_a_batch(
        "pipeline/native/loop.hpp",
        {"last_cause(*output.header)": "last_cause(*outputs_.back().header)"},
    ),
    "the outputs of a step have one cause": of_a_batch(
        "pipeline/native/kernel.hpp",
        {"record.header.cause_index = index_++;": "record.header.cause_index = index_;"},
    ),
    "what was not committed is current": of_a_batch(
        "shm/native/cells.hpp",
        {"if (second > committed) return 0;": "if (second == kMark) return 0;"},
    ),
    "what is out already is published again": Fault(
        "pipeline/native/loop.hpp",
        {"if (replaying_ && !sabotage_.dedupe &&": "if (replaying_ && sabotage_.dedupe &&"},
        "stage_units",
        ("crash points",),
        r"false: !bench\.finish\(successor\)\.any\(\)",
    ),
    "a step does not wait for room": Fault(
        "pipeline/native/loop.hpp",
        {
            "if (!input.ring.has_unread() || !has_room(input.needs)) continue;": "if "
            "(!input.ring.has_unread()) continue;"
        },
        "stage_units",
        ("back-pressure",),
        "emitted more than its stage declares",
    ),
    "all inputs wait for the room that one needs": Fault(
        "pipeline/native/loop.hpp",
        {
            "if (!input.ring.has_unread() || !has_room(input.needs)) continue;": "if "
            "(!has_room(input.needs)) return false;\n      if (!input.ring.has_unread()) continue;"
        },
        "stage_units",
        ("back-pressure",),
        r"false: bench\.echo->depth\(\) == 8",
    ),
    "the feed publishes ticks before market": Fault(
        "workers/feed/native/publisher.hpp",
        {
            "    market_.push(&record);\n": "    ticks_.push(&record);\n",
            "    ticks_.push(&record);\n    crash_if(CrashPoint::kOnTicks);\n": "    market_"
            ".push(&record);\n",
        },
        "stage_kill_steps",
        ("feed",),
        r"false: ticks->tail == published",
    ),
    "the feed looks for room on one ring only": Fault(
        "workers/feed/native/publisher.hpp",
        {"has_room(market_ring_) && has_room(ticks_ring_)": "has_room(market_ring_)"},
        "stage_units",
        ("feed rooms",),
        r"false: !publisher\.has_room\(\)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name: str, tmp_path: Path) -> None:
    expect_found(FAULTS[name], tmp_path)
