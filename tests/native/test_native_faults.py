"""Faults in the headers of shm: each is found by the program in charge of it."""

from pathlib import Path

import pytest

from tests.native.faults import Fault, expect_found

RACE = "WARNING: ThreadSanitizer: data race"
TORN = r"[1-9]\d* torn"
LOST = r"[1-9]\d* lost"
TORN_READ = "false: !torn"


def of_threads(header: str, right: str, wrong: str, test: str) -> Fault:
    return Fault(f"shm/native/{header}", {right: wrong}, "threads", (test,), RACE, "thread")


def of_kills(header: str, right: str, wrong: str, test: str, evidence: str) -> Fault:
    return Fault(f"shm/native/{header}", {right: wrong}, "kill_steps", (test,), evidence)


def of_meetings(header: str, right: str, wrong: str, test: str, evidence: str = TORN_READ) -> Fault:
    return Fault(f"shm/native/{header}", {right: wrong}, "pause_steps", (test,), evidence)


def of_waiting(header: str, right: str, wrong: str) -> Fault:
    return Fault(f"shm/native/{header}", {right: wrong}, "waiting", (), "false: was_woken")


FAULTS = {
    "the tail is published without a release": of_threads(
        "ring.hpp",
        "ring_->tail.store(tail_, std::memory_order_release);",
        "ring_->tail.store(tail_, std::memory_order_relaxed);",
        "ring",
    ),
    "the head is published without a release": of_threads(
        "ring.hpp",
        "ring_->head.store(committed_, std::memory_order_release);",
        "ring_->head.store(committed_, std::memory_order_relaxed);",
        "ring",
    ),
    "the tail is read without an acquire": of_threads(
        "ring.hpp",
        "tail_seen_ = ring_->tail.load(std::memory_order_acquire);",
        "tail_seen_ = ring_->tail.load(std::memory_order_relaxed);",
        "ring",
    ),
    "the head is read without an acquire": of_threads(
        "ring.hpp",
        "head_seen_ = ring_->head.load(std::memory_order_acquire);",
        "head_seen_ = ring_->head.load(std::memory_order_relaxed);",
        "ring",
    ),
    "the tail is published relaxed to a sleeper": of_threads(
        "ring.hpp",
        "ring_->tail.store(tail_, std::memory_order_seq_cst);",
        "ring_->tail.store(tail_, std::memory_order_relaxed);",
        "doorbell",
    ),
    "the head is published relaxed to a sleeper": of_threads(
        "ring.hpp",
        "ring_->head.store(committed_, std::memory_order_seq_cst);",
        "ring_->head.store(committed_, std::memory_order_relaxed);",
        "doorbell",
    ),
    "an observed record is written by plain stores": of_threads(
        "memory.hpp",
        "to[i].store(word, std::memory_order_release);",
        "std::memcpy(static_cast<void*>(to + i), &word, 8);",
        "observers",
    ),
    "a row is written by plain stores": of_threads(
        "memory.hpp",
        "to[i].store(word, std::memory_order_release);",
        "std::memcpy(static_cast<void*>(to + i), &word, 8);",
        "table",
    ),
    "a row is read by plain loads": of_threads(
        "memory.hpp",
        "const std::uint64_t word = from[i].load(std::memory_order_acquire);",
        "std::uint64_t word; std::memcpy(&word, static_cast<const void*>(from + i), 8);",
        "table",
    ),
    "a bucket is counted by plain stores": of_threads(
        "metrics.hpp",
        "word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);",
        "*reinterpret_cast<std::uint64_t*>(&word) += n;",
        "histogram",
    ),
    "the tail is published before the record is written": of_kills(
        "ring.hpp",
        "const std::uint64_t first = tail_ & (capacity_ - 1);",
        "const std::uint64_t first = tail_ & (capacity_ - 1);"
        " ring_->tail.store(tail_ + count, std::memory_order_release);",
        "push",
        TORN,
    ),
    "a record is committed before it is read": of_kills(
        "ring.hpp",
        "copy_record(record, slot(read_), record_bytes_);",
        "ring_->head.store(read_ + 1, std::memory_order_release);"
        " copy_record(record, slot(read_), record_bytes_);",
        "pop, pop, pop, commit",
        LOST,
    ),
    "an observed slot is not marked while it is written": of_kills(
        "observer.hpp",
        "slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);",
        "",
        "observer push",
        TORN,
    ),
    "an observed sequence is published before its record": of_kills(
        "observer.hpp",
        "slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);",
        "slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);"
        " ring_->tail.store(tail_ + 1, std::memory_order_release);",
        "observer push",
        LOST,
    ),
    "a row is written over its current version": of_kills(
        "table.hpp",
        "(version & 1) * (record_bytes / 8)",
        "(version & 0) * (record_bytes / 8)",
        "table write",
        TORN,
    ),
    "a version becomes current before it is written": of_kills(
        "table.hpp",
        "stamp.store(2 * version - 1, std::memory_order_relaxed);",
        "stamp.store(2 * version, std::memory_order_relaxed);",
        "table write",
        TORN,
    ),
    "an epoch begins before the last is cleared away": of_kills(
        "metrics.hpp",
        "words_->epoch.store(2 * epoch - 1, std::memory_order_relaxed);",
        "words_->epoch.store(2 * epoch, std::memory_order_relaxed);",
        "histogram clear",
        TORN,
    ),
    "clearing is not marked": of_meetings(
        "metrics.hpp",
        "words_->epoch.store(2 * epoch - 1, std::memory_order_relaxed);",
        "",
        "a histogram is copied, its writer half-way",
    ),
    "the epoch is not looked at after copying": of_meetings(
        "metrics.hpp",
        "if (words.epoch.load(std::memory_order_relaxed) == before) return;",
        "return;",
        "a histogram is copied, and reset by its writer",
    ),
    "the stamp is not looked at after copying": of_meetings(
        "observer.hpp",
        "return slot[0].load(std::memory_order_relaxed) == complete;",
        "return true;",
        "an observer reads, a ring is published",
    ),
    "a row's stamp is not looked at after copying": of_meetings(
        "table.hpp",
        "if (after <= 2 * version + 2)",
        "if (after >= before)",
        "a row is read, two versions are written",
    ),
    "a row's stamp may be one too large after copying": of_meetings(
        "table.hpp",
        "if (after <= 2 * version + 2)",
        "if (after <= 2 * version + 4)",
        "a row is read, two versions are written",
    ),
    "a follower forgets what may be coming": of_meetings(
        "ring.hpp",
        "return tail + burst_ - std::min(tail + burst_, capacity_);",
        "return tail - std::min(tail, capacity_);",
        "a follower reads, one record is begun",
    ),
    "a follower does not look at the tail after copying": of_meetings(
        "ring.hpp",
        "std::min<std::uint64_t>(run, safe - std::min(safe, next_));",
        "safe == ~std::uint64_t{0};",
        "a follower reads, a ring is published",
    ),
    "a burst is published in one": of_meetings(
        "ring.hpp",
        "for (; left > burst_; left",
        "for (; left > capacity_; left",
        "a burst is pushed, a follower reads",
    ),
    "the tail is not looked at after copying the last": of_meetings(
        "ring.hpp",
        "if (now == tail || oldest(now) < tail) return true;",
        "if (now >= tail) return true;",
        "the last record is read, a ring is published",
    ),
    "a cell is changed where it is current": of_kills(
        "cells.hpp",
        "const unsigned to = 1 - from;",
        "const unsigned to = from;",
        "two batches of changes to cells",
        TORN,
    ),
    "a slot is stamped before it is written": of_kills(
        "cells.hpp",
        "cells_->stamps(index)[to].store(CellsHeader::kMark, std::memory_order_relaxed);",
        "cells_->stamps(index)[to].store(cells_->stamps(index)[from].load() + 1,"
        " std::memory_order_relaxed);",
        "two batches of changes to cells",
        TORN,
    ),
    "a stamp that was not committed is left to the next commit": of_kills(
        "cells.hpp",
        "other.store(CellsHeader::kMark, std::memory_order_relaxed);",
        "(void)other;",
        "taking over after a stamped batch",
        LOST,
    ),
    "the newer slot is current, committed or not": of_kills(
        "cells.hpp",
        "if (second > committed) return 0;",
        "if (second == kMark) return 0;",
        "taking over after a stamped batch",
        LOST,
    ),
    "a slot is not marked while it is written": of_meetings(
        "cells.hpp",
        "cells_->stamps(index)[to].store(CellsHeader::kMark, std::memory_order_relaxed);",
        "",
        "a cell is copied, the batch after that begins",
    ),
    "a cell's stamp is not looked at after copying": of_meetings(
        "cells.hpp",
        "return stamp.load(std::memory_order_relaxed) == before;",
        "return true;",
        "a cell is copied, two batches are committed",
    ),
    "a sleeper does not look once more": of_meetings(
        "doorbell.hpp",
        "const bool found = ready();",
        "const bool found = ready() && false;",
        "the owner falls asleep, a producer publishes",
        "sleeps_on_unread_records",
    ),
    "a blocked producer does not look once more": of_meetings(
        "doorbell.hpp",
        "const bool found = ready();",
        "const bool found = ready() && false;",
        "a producer falls asleep, the consumer makes room",
        "sleeps_beside_room",
    ),
    "a sleeper does not look at the bell once more": of_meetings(
        "doorbell.hpp",
        "if (!found && !peek_rung()) return true;",
        "if (!found) return true;",
        "the owner falls asleep, somebody rings",
        "sleeps_through_the_ring",
    ),
    "a sleeper looks before it says that it sleeps": of_meetings(
        "doorbell.hpp",
        "words_->sleeping.store(where, std::memory_order_seq_cst);\n"
        "    const bool found = ready();",
        "const bool found = ready();\n"
        "    words_->sleeping.store(where, std::memory_order_seq_cst);",
        "the owner falls asleep, a producer publishes",
        "sleeps_on_unread_records",
    ),
    "a producer looks for sleepers before it publishes": of_meetings(
        "ring.hpp",
        "ring_->tail.store(tail_, std::memory_order_seq_cst);\n    consumer_.ring_if_sleeping();",
        "consumer_.ring_if_sleeping();\n    ring_->tail.store(tail_, std::memory_order_seq_cst);",
        "a producer publishes, the owner falls asleep",
        "sleeps_on_unread_records",
    ),
    "a ringer looks for sleepers before it raises the bell": of_meetings(
        "doorbell.hpp",
        "words_->bell.fetch_add(1, std::memory_order_seq_cst);\n    ring_if_sleeping();",
        "ring_if_sleeping();\n    words_->bell.fetch_add(1, std::memory_order_seq_cst);",
        "somebody rings, the owner falls asleep",
        "sleeps_through_the_ring",
    ),
    "a ringer wakes without taking the flag down": of_meetings(
        "doorbell.hpp",
        "words_->sleeping.exchange(DoorbellWords::kAwake, std::memory_order_seq_cst)",
        "words_->sleeping.load(std::memory_order_seq_cst)",
        "a producer publishes, the owner falls asleep",
        "sleeps_on_unread_records",
    ),
    "a ringer takes the flag down and wakes nobody": of_waiting(
        "doorbell.hpp",
        "case DoorbellWords::kOnFutex: futex_wake(words_->sleeping); break;",
        "case DoorbellWords::kOnFutex: break;",
    ),
    "a signal's handler wakes nobody": of_waiting(
        "signals.hpp", "futex_wake(doorbell->sleeping);", "continue;"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name: str, tmp_path: Path) -> None:
    expect_found(FAULTS[name], tmp_path)
