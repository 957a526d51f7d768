// What a circuit breaker has seen lately: a window of time, or one of calls.
//
// Each outcome raises exactly one of four counts, so whoever is killed has counted it or has not, and
// a rate never has a numerator without its denominator.
//
// The window of time has a shard for each process, of which it is the only writer; a reader adds them
// up. A bucket's tag says which stretch of time and which generation it counts: those of others are
// skipped, and nobody needs to clear anything when the state changes.
//
// The window of calls is a ring for all: a writer takes a sequence, then stores a slot. Killed between
// the two, it leaves one call of the window uncounted until the window has moved on.
#pragma once

#include "breaker_settings.hpp"

namespace bot4::shm {

/// What one call came to: bit 0 failed, bit 1 slow.
enum class Outcome : std::uint8_t { kOk = 0, kFailed = 1, kSlow = 2, kSlowFailed = 3 };

constexpr Outcome outcome_of(bool ok, bool slow) {
  return static_cast<Outcome>((ok ? 0 : 1) | (slow ? 2 : 0));
}

struct Tally {
  std::uint64_t calls = 0, failures = 0, slow = 0;

  constexpr void add(Outcome outcome, std::uint64_t n) {
    const auto bits = static_cast<unsigned>(outcome);
    calls += n;
    if (bits & 1) failures += n;
    if (bits & 2) slow += n;
  }
};

/// Which window an outcome belongs to.
struct WindowTag {
  static constexpr int kVersionBits = 6;
  std::uint64_t generation, version;

  /// [generation:20][version:6][rest:38]
  constexpr std::uint64_t with(std::uint64_t rest) const {
    return (generation << kVersionBits | (version & ((1u << kVersionBits) - 1))) << kRestBits |
           (rest & kRestMask);
  }
  static constexpr int kRestBits = 64 - Control::kGenerationBits - kVersionBits;
  static constexpr std::uint64_t kRestMask = (std::uint64_t{1} << kRestBits) - 1;
};

/// One process's part of a window of time.
struct TimeShard {
  static constexpr std::uint64_t kBuckets = 10;
  // A cache line each: who adds them up misses one line of each process that counts, not two.
  struct alignas(kCacheLine) Bucket {
    Word tag;  // 0: being cleared
    Word count[4];  // by Outcome
  };
  Bucket bucket[kBuckets];

  /// Single writer.
  void count(WindowTag tag, std::uint64_t number, Outcome outcome) {
    Bucket& at = bucket[number % kBuckets];
    const std::uint64_t wanted = tag.with(number);
    if (at.tag.load(std::memory_order_relaxed) != wanted) {
      // Readers that copy across this see the tag gone (the stores are releases, so none passes it).
      at.tag.store(0, std::memory_order_relaxed);
      for (Word& each : at.count) each.store(0, std::memory_order_release);
      at.tag.store(wanted, std::memory_order_release);
    }
    Word& counted = at.count[static_cast<std::size_t>(outcome)];
    // Sequentially consistent, as are the reads of the other shards that follow: of two processes that
    // each count a failure, at least one sees both.
    counted.store(counted.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  }

  void add_to(Tally& tally, WindowTag tag, std::uint64_t number) const {
    const std::uint64_t newest = tag.with(number);
    for (const Bucket& each : bucket) {
      const std::uint64_t before = each.tag.load(std::memory_order_seq_cst);
      // In the same generation and window, and one of the last kBuckets; a bucket that is ahead
      // was begun by a clock that read a little later, and belongs to the window too.
      if (before == 0 || (before ^ newest) >> WindowTag::kRestBits != 0) continue;
      const std::uint64_t age = (newest - before) & WindowTag::kRestMask;
      if (age >= kBuckets && age < WindowTag::kRestMask - kBuckets) continue;
      Tally counted;
      for (unsigned i = 0; i < 4; ++i)
        counted.add(static_cast<Outcome>(i), each.count[i].load(std::memory_order_seq_cst));
      if (each.tag.load(std::memory_order_relaxed) != before) continue;  // cleared: too old by now
      tally.calls += counted.calls;
      tally.failures += counted.failures;
      tally.slow += counted.slow;
    }
  }
};

/// The last calls of all processes.
struct CallWindow {
  static constexpr std::uint64_t kSlots = 1024;
  alignas(kCacheLine) Word head;  // calls so far
  alignas(kCacheLine) Word slot[kSlots];  // [generation:20][version:6][sequence:36][outcome:2]

  static constexpr std::uint64_t kSequenceMask = WindowTag::kRestMask >> 2;

  void count(WindowTag tag, Outcome outcome) {
    // Both sequentially consistent, as for the window of time: who misses the slot misses the head.
    const std::uint64_t sequence = head.fetch_add(1, std::memory_order_seq_cst) + 1;
    slot[sequence % kSlots].store(
        tag.with((sequence & kSequenceMask) << 2 | static_cast<std::uint64_t>(outcome)),
        std::memory_order_seq_cst);
  }

  void add_to(Tally& tally, WindowTag tag, std::uint64_t calls) const {
    const std::uint64_t last = head.load(std::memory_order_seq_cst);
    const std::uint64_t owner = tag.with(0);
    std::uint64_t counts[4] = {};
    for (std::uint64_t i = 0; i < calls && i < last; ++i) {
      const std::uint64_t sequence = last - i;
      const std::uint64_t seen = slot[sequence % kSlots].load(std::memory_order_seq_cst);
      // A slot that was taken and not stored has an older sequence.
      if ((seen ^ owner) >> WindowTag::kRestBits != 0 ||
          ((seen >> 2) & kSequenceMask) != (sequence & kSequenceMask))
        continue;
      ++counts[seen & 3];
    }
    for (unsigned i = 0; i < 4; ++i) tally.add(static_cast<Outcome>(i), counts[i]);
  }
};

/// A rate is a number only with enough calls.
enum class RateVerdict : std::uint8_t {
  kMinCallsNotMet = 0,
  kPassed = 1,
  kFailureRate = 2,
  kSlowRate = 3,
};

constexpr RateVerdict judge(const Tally& tally, const BreakerSettings& settings) {
  if (tally.calls < settings.min_calls) return RateVerdict::kMinCallsNotMet;
  if (settings.failure_bp != 0 && tally.failures * 10'000 >= settings.failure_bp * tally.calls)
    return RateVerdict::kFailureRate;
  if (settings.slow_bp != 0 && tally.slow * 10'000 >= settings.slow_bp * tally.calls)
    return RateVerdict::kSlowRate;
  return RateVerdict::kPassed;
}

}  // namespace bot4::shm
