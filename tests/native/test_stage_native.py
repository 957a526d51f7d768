"""The stage loop and the feed's publisher: under kills, under sanitizers, and with faults.

Built and run like the programs of `test_native`, and judged by comparison with `Replay`: whatever
is killed, and wherever, each input is taken once and each output is said once, bit for bit.
"""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.native.test_native import (
    COMPILE,
    COMPILE_TIMEOUT_S,
    HERE,
    MINIMUM_LINE_COVERAGE,
    VARIANTS,
    call,
    cannot,
    expect_success,
    figures,
    run,
)

ROOT = HERE.parents[1]
FOLDERS = ("shm/native", "pipeline/native", "workers/feed/native")
MEASURED = {"kernel.hpp", "loop.hpp", "replay.hpp", "publisher.hpp"}
OPTIONS = {**VARIANTS, "quick": ["-O1"]}


def build(program: str, variant: str, directory: Path, root: Path = ROOT) -> Path:
    if shutil.which("g++") is None:
        cannot("not on PATH: g++")
    binary = directory / program
    done = call(
        [
            *(*COMPILE, "-Wconversion", "-ffp-contract=off", *OPTIONS[variant]),
            *(f"-I{root}", f"-I{root / 'shm' / 'native'}", f"-I{HERE}"),
            *(str(HERE / f"{program}.cpp"), "-o", str(binary)),
        ],
        COMPILE_TIMEOUT_S,
        directory,
    )
    assert done.returncode == 0, done.stdout
    return binary


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
    if importlib.util.find_spec("gcovr") is None:
        cannot("not installed: gcovr")
    expect_success(build("stage_units", "coverage", tmp_path))
    report = tmp_path / "coverage.json"
    names = "|".join(map(re.escape, sorted(MEASURED)))
    done = call(
        [
            *(sys.executable, "-m", "gcovr", "--root", str(ROOT), "--object-directory", "."),
            *("--filter", re.escape(str(ROOT)) + rf"/(.+/)?native/({names})$"),
            *("--json", str(report), "."),
        ],
        COMPILE_TIMEOUT_S,
        tmp_path,
    )
    assert done.returncode == 0, done.stdout
    executed: dict[tuple[str, int], bool] = {}
    for file in json.loads(report.read_text(encoding="utf-8"))["files"]:
        # A line of a template comes once for each of its instances.
        for line in file["lines"]:
            place = (Path(file["file"]).name, line["line_number"])
            executed[place] = executed.get(place, False) or line["count"] > 0
    assert {header for header, _ in executed} == MEASURED
    for header in sorted(MEASURED):
        lines = {line: was for (name, line), was in executed.items() if name == header}
        missed = sorted(line for line, was in lines.items() if not was)
        percent = 100 * (len(lines) - len(missed)) / len(lines)
        summary = f"{header}: {percent:.1f} % of {len(lines)} lines executed, not: {missed}"
        print(summary)
        assert percent >= MINIMUM_LINE_COVERAGE, summary


# --- Faults ---

# A state that is not as it was emits other records, or more of them than there is room for.
AFTER_A_KILL = r"false: !harm\.any\(\)|an output ring is full"
REFUSED = "of an input ring is missing"


class Fault(NamedTuple):
    header: str
    edits: dict[str, str]  # what occurs once in the header, and what takes its place
    program: str
    tests: list[str]  # those of the program's tests that have to find it
    evidence: str  # what they print


def of_a_batch(header: str, edits: dict[str, str], evidence: str = AFTER_A_KILL) -> Fault:
    return Fault(header, edits, "stage_kill_steps", ["batch"], evidence)


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
        [],
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
        ["crash points"],
        r"false: !bench\.finish\(successor\)\.any\(\)",
    ),
    "a step does not wait for room": Fault(
        "pipeline/native/loop.hpp",
        {
            "if (!input.ring.has_unread() || !has_room(input.needs)) continue;": "if "
            "(!input.ring.has_unread()) continue;"
        },
        "stage_units",
        ["back-pressure"],
        "emitted more than its stage declares",
    ),
    "all inputs wait for the room that one needs": Fault(
        "pipeline/native/loop.hpp",
        {
            "if (!input.ring.has_unread() || !has_room(input.needs)) continue;": "if "
            "(!has_room(input.needs)) return false;\n      if (!input.ring.has_unread()) continue;"
        },
        "stage_units",
        ["back-pressure"],
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
        ["feed"],
        r"false: ticks->tail == published",
    ),
    "the feed looks for room on one ring only": Fault(
        "workers/feed/native/publisher.hpp",
        {"has_room(market_ring_) && has_room(ticks_ring_)": "has_room(market_ring_)"},
        "stage_units",
        ["feed rooms"],
        r"false: !publisher\.has_room\(\)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    root = tmp_path / "headers"
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
        for header in (ROOT / folder).glob("*.hpp"):
            shutil.copy(header, root / folder)
    broken = root / fault.header
    text = broken.read_text(encoding="utf-8")
    for right in fault.edits:
        assert text.count(right) == 1, f"{fault.header} has changed: adapt the fault to it"
    for right, wrong in fault.edits.items():
        text = text.replace(right, wrong, 1)
    broken.write_text(text, encoding="utf-8")

    done = run(build(fault.program, "quick", tmp_path, root), *fault.tests)
    assert done.returncode != 0, f"{fault.program} did not find it:\n{done.stdout}"
    assert re.search(fault.evidence, done.stdout), done.stdout
