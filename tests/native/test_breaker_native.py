"""The circuit breaker's headers: in every order, under kills, under sanitizers, and with faults.

Built and run like the programs of `test_native`. Whoever is killed, and wherever, leaves a control
word that the rules lead to; no permit is given twice or kept for ever, and no outcome counts twice.
"""

from pathlib import Path

import pytest

from tests.native.faults import Fault, expect_found
from tests.native.programs import (
    ROOT,
    build,
    executed_lines,
    expect_covered,
    expect_success,
    figures,
)


@pytest.mark.parametrize("variant", ["thread", "address"])
def test_threads_are_answered_what_adds_up(variant: str, tmp_path: Path) -> None:
    output = expect_success(build("breaker_threads", variant, tmp_path))
    assert all(permits >= 100 for permits in figures(output, "permits"))


def test_a_process_may_be_killed_at_any_instruction(tmp_path: Path) -> None:
    output = expect_success(build("breaker_kill_steps", "release", tmp_path))
    instructions = figures(output, "instructions")
    memories = figures(output, "memories")
    assert len(instructions) == len(memories) == 28
    assert all(steps > kills > 2 for steps, kills in zip(instructions, memories, strict=True))


def test_accesses_may_come_in_any_order(tmp_path: Path) -> None:
    output = expect_success(build("breaker_interleavings", "release", tmp_path))
    assert len(figures(output, "states")) == 19
    assert sum(figures(output, "states")) > 5_000_000


def test_a_storm_of_kills_gives_no_probe_twice_and_leaves_none_out(tmp_path: Path) -> None:
    storm = build("breaker_storm", "release", tmp_path)
    output = expect_success(storm)
    assert figures(output, "kills") >= [400]
    assert figures(output, "of them with a probe") >= [20]


def test_the_headers_are_covered(tmp_path: Path) -> None:
    expect_success(build("breaker_threads", "coverage", tmp_path))
    expect_success(
        build("breaker_storm", "coverage", tmp_path), "stopped", "old permit", "no clock"
    )
    executed = executed_lines(tmp_path, r"shm/native/breaker[^/]*\.hpp")
    assert set(executed) == {
        f"shm/native/{header.name}" for header in (ROOT / "shm" / "native").glob("breaker*.hpp")
    }
    expect_covered(executed)


# --- Faults ---


def of_orders(header: str, right: str, wrong: str, test: str, evidence: str) -> Fault:
    edits = {right: wrong}
    return Fault(f"shm/native/{header}", edits, "breaker_interleavings", (test,), evidence)


def of_kills(header: str, edits: dict[str, str], test: str, evidence: str) -> Fault:
    return Fault(f"shm/native/{header}", edits, "breaker_kill_steps", (test,), evidence)


SWAP = (
    "return words_->control.compare_exchange_strong(from.word, to.word, std::memory_order_seq_cst);"
)
SINCE = (
    "if (Tagged::generation(words_->since.load(std::memory_order_relaxed)) != seen.generation())"
)
TAG = "entry.tag.store(Tagged::make(seen.generation(), tick_of(now)), std::memory_order_release);"

FAULTS = {
    "a completion does not look at its generation": of_orders(
        "breaker.hpp",
        "permit.generation != seen.generation() ||",
        "",
        "failures in a row, and one of an earlier time",
        r"false: from\.generation\(\) == permit\.generation",
    ),
    "a completion does not look whether its permit is done": of_orders(
        "breaker.hpp",
        "|| probes.is_done(index)) return false;",
        ") return false;",
        "a permit is given back twice, and taken",
        r"false: may_follow|false: times == 1",
    ),
    "a transition is stored over what others have done": of_orders(
        "breaker.hpp",
        SWAP,
        "words_->control.store(to.word); return from.word != to.word;",
        "a trip and a late completion",
        r"false: may_follow",
    ),
    "a transition keeps the generation": of_orders(
        "breaker_word.hpp",
        "generation() + 1, payload);",
        "generation(), payload);",
        "a trip and a late completion",
        r"false: may_follow",
    ),
    "one probe more than there may be": of_orders(
        "breaker.hpp",
        "probes.in_flight() >= rules->settings.probes",
        "probes.in_flight() > rules->settings.probes",
        "two acquirers, a completer, a reaper, a trip",
        r"false: is_legal",
    ),
    "the reaper tells before it has taken": of_orders(
        "breaker.hpp",
        "if (finish(seen.generation(), i, *result, settings, now, told)) ++released;",
        "if (told != nullptr) self_->events.push(*told);\n"
        "      if (finish(seen.generation(), i, *result, settings, now)) ++released;",
        "a permit is given back twice, and taken",
        r"false: times == 1",
    ),
    "a late failure begins another generation's count anew": of_orders(
        "breaker.hpp",
        "if (control().generation() != generation) return;",
        "",
        "failures in a row, and one of an earlier time",
        r"false: state_now\(\) == BreakerState::kOpen",
    ),
    "a view takes the changes for seen that came while it looked": of_orders(
        "breakers.hpp",
        "view_.global = static_cast<std::uint64_t>(derive(now));",
        "view_.global = static_cast<std::uint64_t>(derive(now));\n"
        "    seen_changes_ = group_->changes.load(std::memory_order_acquire);",
        "the global state",
        r"false: seen\.blocked == 1",
    ),
    "an owner's tag is stored first": of_kills(
        "breaker.hpp",
        {TAG: "", "entry.tag.store(0, std::memory_order_relaxed);": TAG},
        "acquire a probe",
        r"false: !is_recorded",
    ),
    "the beginning of a stay is another generation's": of_kills(
        "breaker.hpp",
        {SINCE: "if (false)", "if (Tagged::generation(since) == seen.generation() &&": "if ("},
        "acquire, the cooldown is over",
        r"false: \(last\.cause == Cause::kMaxStay\)",
    ),
    "a permit that nobody has recorded is taken at once": of_kills(
        "breaker.hpp",
        {"tick_of(now) <= Tagged::value(missing) + tick_of(kOrphanNs)": "false"},
        "acquire a probe",
        r"now >= soonest",
    ),
    "a bucket is tagged before it is cleared": of_kills(
        "breaker_window.hpp",
        {
            "at.tag.store(0, std::memory_order_relaxed);": (
                "at.tag.store(wanted, std::memory_order_relaxed);"
            )
        },
        "complete, closed, over an old bucket",
        r"false: calls <= operation\.outcomes",
    ),
    "the windows of other generations count": of_kills(
        "breaker_window.hpp",
        {"if (before == 0 || (before ^ newest) >> WindowTag::kRestBits != 0) continue;": ""},
        "complete, which trips",
        r"false: seen\.counts\.tally\.calls == 0|false: watched\.control\(\)\.state\(\)",
    ),
    "settings are current before they are complete": of_kills(
        "breaker_settings.hpp",
        {
            "    store_record(slot[(before + 1) & 1], &next, sizeof next);\n": (
                "    version.store(before + 1, std::memory_order_release);\n"
                "    store_record(slot[(before + 1) & 1], &next, sizeof next);\n"
            ),
        },
        "configure",
        r"false: is_same\(settings, old_settings\)",
    ),
    "all processes count in one shard": Fault(
        "shm/native/breaker.hpp",
        {"{ return words_->shard[self_->shard]; }": "{ return words_->shard[0]; }"},
        "breaker_threads",
        ("time",),
        r"false: shard\.admitted == account\.admitted",
    ),
    "a lease ends at once": Fault(
        "shm/native/breaker.hpp",
        {"if (now <= lease) return std::nullopt;": "(void)lease;"},
        "breaker_storm",
        ("stopped",),
        r"false: released == 0 \|\| now > lease",
    ),
    "a permit may be as old as it likes": Fault(
        "shm/native/breaker.hpp",
        {"now - permit.issued_ns > kLargestLeaseNs ||": ""},
        "breaker_storm",
        ("old permit",),
        r"== Completion::kStale",
    ),
    "time is the wall clock's": Fault(
        "shm/native/memory.hpp",
        {"clock_gettime(CLOCK_MONOTONIC, &now);": "clock_gettime(CLOCK_REALTIME, &now);"},
        "breaker_storm",
        ("no clock",),
        r"false: monotonic_reads == 1",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name: str, tmp_path: Path) -> None:
    expect_found(FAULTS[name], tmp_path)
