"""The C++ headers by themselves: under sanitizers, under kills, and with faults put into them.

Each program in this folder is one concern; what it prints is the evidence. The last part puts one
fault at a time into a copy of the headers, and the program in charge of it has to find it: a test
that cannot fail proves nothing.
"""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
HEADERS = HERE.parents[1] / "shm" / "native"

COMPILE = [
    "g++",
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Werror",
    # Single-stepping would go through the dynamic linker at the first call of a function.
    "-Wl,-z,now",
]
VARIANTS = {
    "release": ["-O2"],  # as the extension is built
    "thread": ["-O1", "-g1", "-fsanitize=thread"],
    "address": ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    # Atomic, because threads count the same lines.
    "coverage": ["-O0", "--coverage", "-fprofile-update=atomic"],
}
SKIPPED = 77  # as in check.hpp

# Generous, because the tests may share a slow machine with others.
COMPILE_TIMEOUT_S = 120
RUN_TIMEOUT_S = 240

MINIMUM_LINE_COVERAGE = 95


def cannot(reason: str) -> None:
    """Skip the test, or fail it where the tools are known to be there."""
    if os.environ.get("BOT4_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def call(
    command: list[str], timeout: float, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=timeout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def build(program: str, variant: str, directory: Path, headers: Path = HEADERS) -> Path:
    if shutil.which("g++") is None:
        cannot("not on PATH: g++")
    binary = directory / program
    source = HERE / f"{program}.cpp"
    done = call(
        [*COMPILE, *VARIANTS[variant], f"-I{headers}", f"-I{HERE}", str(source), "-o", str(binary)],
        COMPILE_TIMEOUT_S,
        directory,
    )
    assert done.returncode == 0, done.stdout
    return binary


@functools.cache
def fixed_addresses() -> list[str]:
    """Return what to put before a command so that its addresses are not randomised.

    ThreadSanitizer cannot place its shadow memory under every randomisation. A container may forbid
    to turn it off; then it has to do without.
    """
    command = ["setarch", "-R"]
    if shutil.which("setarch") is None:
        return []
    return command if call([*command, "true"], 10, HERE).returncode == 0 else []


def run(binary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program; skip the test if it cannot be run here."""
    directory = binary.parent
    done = call(
        [*fixed_addresses(), str(binary), *arguments],
        RUN_TIMEOUT_S,
        directory,
        TSAN_OPTIONS="halt_on_error=1",
        # The programs keep their memory for the whole run.
        ASAN_OPTIONS="detect_leaks=0",
        UBSAN_OPTIONS="print_stacktrace=1",
    )
    if done.returncode == SKIPPED or "unexpected memory mapping" in done.stdout:
        cannot(done.stdout.strip())
    return done


def expect_success(binary: Path, *arguments: str) -> str:
    done = run(binary, *arguments)
    print(done.stdout)
    assert done.returncode == 0, f"status {done.returncode}:\n{done.stdout}"
    return done.stdout


def figures(output: str, unit: str) -> list[int]:
    return [int(figure) for figure in re.findall(rf"(\d+) {unit}", output)]


@pytest.mark.parametrize("variant", ["release", "thread", "address"])
@pytest.mark.parametrize("program", ["rings", "structures", "waiting", "threads"])
def test_behaviour(program: str, variant: str, tmp_path: Path) -> None:
    expect_success(build(program, variant, tmp_path))


def test_nothing_is_torn_or_lost_by_a_kill_at_any_instruction(tmp_path: Path) -> None:
    output = expect_success(build("kill_steps", "release", tmp_path))
    instructions = figures(output, "instructions")
    kills = figures(output, "(?:kills|stops)")
    assert len(instructions) == len(kills) == 17
    # A kill before, and one after each instruction.
    assert all(killed > stepped > 0 for stepped, killed in zip(instructions, kills, strict=True))


def test_processes_may_meet_at_any_instruction(tmp_path: Path) -> None:
    expect_success(build("pause_steps", "release", tmp_path))


def test_nothing_is_torn_or_lost_by_random_kills(tmp_path: Path) -> None:
    output = expect_success(build("kill_storm", "release", tmp_path))
    assert sum(figures(output, "kills,")) >= 1_000


def executed_lines(directory: Path) -> dict[str, dict[int, bool]]:
    """Return, by header, each line with code and whether any program has executed it."""
    report = directory / "coverage.json"
    done = call(
        [
            *(sys.executable, "-m", "gcovr", "--root", str(HEADERS), "--object-directory", "."),
            *("--filter", re.escape(str(HEADERS)) + r"/[^/]+\.hpp$", "--json", str(report), "."),
        ],
        COMPILE_TIMEOUT_S,
        directory,
    )
    assert done.returncode == 0, done.stdout
    executed: dict[str, dict[int, bool]] = {}
    for file in json.loads(report.read_text(encoding="utf-8"))["files"]:
        lines = executed.setdefault(Path(file["file"]).name, {})
        # A line of a template comes once for each of its instances.
        for line in file["lines"]:
            number = line["line_number"]
            lines[number] = lines.get(number, False) or line["count"] > 0
    return executed


def test_the_headers_are_covered(tmp_path: Path) -> None:
    if importlib.util.find_spec("gcovr") is None:
        cannot("not installed: gcovr")
    for program in ("rings", "structures", "waiting", "threads"):
        expect_success(build(program, "coverage", tmp_path))
    executed = executed_lines(tmp_path)
    # segment.hpp has no function, hence no line; test_breaker_native has the breakers' headers.
    assert set(executed) == {
        header.name for header in HEADERS.glob("*.hpp") if not header.name.startswith("breaker")
    } - {"segment.hpp"}
    missed = []
    for header, lines in sorted(executed.items()):
        missed += [f"{header}:{number}" for number, was in sorted(lines.items()) if not was]
    total = sum(map(len, executed.values()))
    percent = 100 * (total - len(missed)) / total
    summary = f"{percent:.1f} % of {total} lines executed, not: {', '.join(missed) or 'none'}"
    print(summary)
    assert percent >= MINIMUM_LINE_COVERAGE, summary


# --- Faults ---

RACE = "WARNING: ThreadSanitizer: data race"
TORN = r"[1-9]\d* torn"
LOST = r"[1-9]\d* lost"
TORN_READ = "false: !torn"


class Fault(NamedTuple):
    header: str
    right: str  # occurs once in the header
    wrong: str
    program: str
    test: str  # the one of the program's tests that has to find it; "" if it has no names for them
    evidence: str  # what that prints

    @property
    def variant(self) -> str:
        return "thread" if self.program == "threads" else "release"

    @property
    def tests(self) -> list[str]:
        return [self.test] if self.test else []


FAULTS = {
    "the tail is published without a release": Fault(
        "ring.hpp",
        "ring_->tail.store(tail_, std::memory_order_release);",
        "ring_->tail.store(tail_, std::memory_order_relaxed);",
        "threads",
        "ring",
        RACE,
    ),
    "the head is published without a release": Fault(
        "ring.hpp",
        "ring_->head.store(committed_, std::memory_order_release);",
        "ring_->head.store(committed_, std::memory_order_relaxed);",
        "threads",
        "ring",
        RACE,
    ),
    "the tail is read without an acquire": Fault(
        "ring.hpp",
        "tail_seen_ = ring_->tail.load(std::memory_order_acquire);",
        "tail_seen_ = ring_->tail.load(std::memory_order_relaxed);",
        "threads",
        "ring",
        RACE,
    ),
    "the head is read without an acquire": Fault(
        "ring.hpp",
        "head_seen_ = ring_->head.load(std::memory_order_acquire);",
        "head_seen_ = ring_->head.load(std::memory_order_relaxed);",
        "threads",
        "ring",
        RACE,
    ),
    "the tail is published relaxed to a sleeper": Fault(
        "ring.hpp",
        "ring_->tail.store(tail_, std::memory_order_seq_cst);",
        "ring_->tail.store(tail_, std::memory_order_relaxed);",
        "threads",
        "doorbell",
        RACE,
    ),
    "the head is published relaxed to a sleeper": Fault(
        "ring.hpp",
        "ring_->head.store(committed_, std::memory_order_seq_cst);",
        "ring_->head.store(committed_, std::memory_order_relaxed);",
        "threads",
        "doorbell",
        RACE,
    ),
    "an observed record is written by plain stores": Fault(
        "memory.hpp",
        "to[i].store(word, std::memory_order_release);",
        "std::memcpy(static_cast<void*>(to + i), &word, 8);",
        "threads",
        "observers",
        RACE,
    ),
    "a row is written by plain stores": Fault(
        "memory.hpp",
        "to[i].store(word, std::memory_order_release);",
        "std::memcpy(static_cast<void*>(to + i), &word, 8);",
        "threads",
        "table",
        RACE,
    ),
    "a row is read by plain loads": Fault(
        "memory.hpp",
        "const std::uint64_t word = from[i].load(std::memory_order_acquire);",
        "std::uint64_t word; std::memcpy(&word, static_cast<const void*>(from + i), 8);",
        "threads",
        "table",
        RACE,
    ),
    "a bucket is counted by plain stores": Fault(
        "metrics.hpp",
        "word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);",
        "*reinterpret_cast<std::uint64_t*>(&word) += n;",
        "threads",
        "histogram",
        RACE,
    ),
    "the tail is published before the record is written": Fault(
        "ring.hpp",
        "const std::uint64_t first = tail_ & (capacity_ - 1);",
        "const std::uint64_t first = tail_ & (capacity_ - 1);"
        " ring_->tail.store(tail_ + count, std::memory_order_release);",
        "kill_steps",
        "push",
        TORN,
    ),
    "a record is committed before it is read": Fault(
        "ring.hpp",
        "copy_record(record, slot(read_), record_bytes_);",
        "ring_->head.store(read_ + 1, std::memory_order_release);"
        " copy_record(record, slot(read_), record_bytes_);",
        "kill_steps",
        "pop, pop, pop, commit",
        LOST,
    ),
    "an observed slot is not marked while it is written": Fault(
        "observer.hpp",
        "slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);",
        "",
        "kill_steps",
        "observer push",
        TORN,
    ),
    "an observed sequence is published before its record": Fault(
        "observer.hpp",
        "slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);",
        "slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);"
        " ring_->tail.store(tail_ + 1, std::memory_order_release);",
        "kill_steps",
        "observer push",
        LOST,
    ),
    "a row is written over its current version": Fault(
        "table.hpp",
        "(version & 1) * (record_bytes / 8)",
        "(version & 0) * (record_bytes / 8)",
        "kill_steps",
        "table write",
        TORN,
    ),
    "a version becomes current before it is written": Fault(
        "table.hpp",
        "stamp.store(2 * version - 1, std::memory_order_relaxed);",
        "stamp.store(2 * version, std::memory_order_relaxed);",
        "kill_steps",
        "table write",
        TORN,
    ),
    "an epoch begins before the last is cleared away": Fault(
        "metrics.hpp",
        "words_->epoch.store(2 * epoch - 1, std::memory_order_relaxed);",
        "words_->epoch.store(2 * epoch, std::memory_order_relaxed);",
        "kill_steps",
        "histogram clear",
        TORN,
    ),
    "clearing is not marked": Fault(
        "metrics.hpp",
        "words_->epoch.store(2 * epoch - 1, std::memory_order_relaxed);",
        "",
        "pause_steps",
        "a histogram is copied, its writer half-way",
        TORN_READ,
    ),
    "the epoch is not looked at after copying": Fault(
        "metrics.hpp",
        "if (words.epoch.load(std::memory_order_relaxed) == before) return;",
        "return;",
        "pause_steps",
        "a histogram is copied, and reset by its writer",
        TORN_READ,
    ),
    "the stamp is not looked at after copying": Fault(
        "observer.hpp",
        "return slot[0].load(std::memory_order_relaxed) == complete;",
        "return true;",
        "pause_steps",
        "an observer reads, a ring is published",
        TORN_READ,
    ),
    "a row's stamp is not looked at after copying": Fault(
        "table.hpp",
        "if (after <= 2 * version + 2)",
        "if (after >= before)",
        "pause_steps",
        "a row is read, two versions are written",
        TORN_READ,
    ),
    "a row's stamp may be one too large after copying": Fault(
        "table.hpp",
        "if (after <= 2 * version + 2)",
        "if (after <= 2 * version + 4)",
        "pause_steps",
        "a row is read, two versions are written",
        TORN_READ,
    ),
    "a follower forgets what may be coming": Fault(
        "ring.hpp",
        "return tail + burst_ - std::min(tail + burst_, capacity_);",
        "return tail - std::min(tail, capacity_);",
        "pause_steps",
        "a follower reads, one record is begun",
        TORN_READ,
    ),
    "a follower does not look at the tail after copying": Fault(
        "ring.hpp",
        "std::min<std::uint64_t>(run, safe - std::min(safe, next_));",
        "safe == ~std::uint64_t{0};",
        "pause_steps",
        "a follower reads, a ring is published",
        TORN_READ,
    ),
    "a burst is published in one": Fault(
        "ring.hpp",
        "for (; left > burst_; left",
        "for (; left > capacity_; left",
        "pause_steps",
        "a burst is pushed, a follower reads",
        TORN_READ,
    ),
    "the tail is not looked at after copying the last": Fault(
        "ring.hpp",
        "if (now == tail || oldest(now) < tail) return true;",
        "if (now >= tail) return true;",
        "pause_steps",
        "the last record is read, a ring is published",
        TORN_READ,
    ),
    "a cell is changed where it is current": Fault(
        "cells.hpp",
        "const unsigned to = 1 - from;",
        "const unsigned to = from;",
        "kill_steps",
        "two batches of changes to cells",
        TORN,
    ),
    "a slot is stamped before it is written": Fault(
        "cells.hpp",
        "cells_->stamps(index)[to].store(CellsHeader::kMark, std::memory_order_relaxed);",
        "cells_->stamps(index)[to].store(cells_->stamps(index)[from].load() + 1,"
        " std::memory_order_relaxed);",
        "kill_steps",
        "two batches of changes to cells",
        TORN,
    ),
    "a stamp that was not committed is left to the next commit": Fault(
        "cells.hpp",
        "other.store(CellsHeader::kMark, std::memory_order_relaxed);",
        "(void)other;",
        "kill_steps",
        "taking over after a stamped batch",
        LOST,
    ),
    "the newer slot is current, committed or not": Fault(
        "cells.hpp",
        "if (second > committed) return 0;",
        "if (second == kMark) return 0;",
        "kill_steps",
        "taking over after a stamped batch",
        LOST,
    ),
    "a slot is not marked while it is written": Fault(
        "cells.hpp",
        "cells_->stamps(index)[to].store(CellsHeader::kMark, std::memory_order_relaxed);",
        "",
        "pause_steps",
        "a cell is copied, the batch after that begins",
        TORN_READ,
    ),
    "a cell's stamp is not looked at after copying": Fault(
        "cells.hpp",
        "return stamp.load(std::memory_order_relaxed) == before;",
        "return true;",
        "pause_steps",
        "a cell is copied, two batches are committed",
        TORN_READ,
    ),
    "a sleeper does not look once more": Fault(
        "doorbell.hpp",
        "const bool found = ready();",
        "const bool found = ready() && false;",
        "pause_steps",
        "the owner falls asleep, a producer publishes",
        "sleeps_on_unread_records",
    ),
    "a blocked producer does not look once more": Fault(
        "doorbell.hpp",
        "const bool found = ready();",
        "const bool found = ready() && false;",
        "pause_steps",
        "a producer falls asleep, the consumer makes room",
        "sleeps_beside_room",
    ),
    "a sleeper does not look at the bell once more": Fault(
        "doorbell.hpp",
        "if (!found && !peek_rung()) return true;",
        "if (!found) return true;",
        "pause_steps",
        "the owner falls asleep, somebody rings",
        "sleeps_through_the_ring",
    ),
    "a sleeper looks before it says that it sleeps": Fault(
        "doorbell.hpp",
        "words_->sleeping.store(where, std::memory_order_seq_cst);\n"
        "    const bool found = ready();",
        "const bool found = ready();\n"
        "    words_->sleeping.store(where, std::memory_order_seq_cst);",
        "pause_steps",
        "the owner falls asleep, a producer publishes",
        "sleeps_on_unread_records",
    ),
    "a producer looks for sleepers before it publishes": Fault(
        "ring.hpp",
        "ring_->tail.store(tail_, std::memory_order_seq_cst);\n    consumer_.ring_if_sleeping();",
        "consumer_.ring_if_sleeping();\n    ring_->tail.store(tail_, std::memory_order_seq_cst);",
        "pause_steps",
        "a producer publishes, the owner falls asleep",
        "sleeps_on_unread_records",
    ),
    "a ringer looks for sleepers before it raises the bell": Fault(
        "doorbell.hpp",
        "words_->bell.fetch_add(1, std::memory_order_seq_cst);\n    ring_if_sleeping();",
        "ring_if_sleeping();\n    words_->bell.fetch_add(1, std::memory_order_seq_cst);",
        "pause_steps",
        "somebody rings, the owner falls asleep",
        "sleeps_through_the_ring",
    ),
    "a ringer wakes without taking the flag down": Fault(
        "doorbell.hpp",
        "words_->sleeping.exchange(DoorbellWords::kAwake, std::memory_order_seq_cst)",
        "words_->sleeping.load(std::memory_order_seq_cst)",
        "pause_steps",
        "a producer publishes, the owner falls asleep",
        "sleeps_on_unread_records",
    ),
    "a ringer takes the flag down and wakes nobody": Fault(
        "doorbell.hpp",
        "case DoorbellWords::kOnFutex: futex_wake(words_->sleeping); break;",
        "case DoorbellWords::kOnFutex: break;",
        "waiting",
        "",
        "false: was_woken",
    ),
    "a signal's handler wakes nobody": Fault(
        "signals.hpp",
        "futex_wake(doorbell->sleeping);",
        "continue;",
        "waiting",
        "",
        "false: was_woken",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    headers = tmp_path / "headers"
    headers.mkdir()
    for header in HEADERS.glob("*.hpp"):
        shutil.copy(header, headers)
    broken = headers / fault.header
    text = broken.read_text(encoding="utf-8")
    assert text.count(fault.right) == 1, f"{fault.header} has changed: adapt the fault to it"
    broken.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")

    done = run(build(fault.program, fault.variant, tmp_path, headers), *fault.tests)
    assert done.returncode != 0, f"{fault.program} did not find it:\n{done.stdout}"
    assert re.search(fault.evidence, done.stdout), done.stdout
