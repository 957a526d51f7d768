// What happened to circuit breakers, and why: a bounded ring of events for each participant, and the
// last transition of each breaker.
//
// Whoever makes a transition tells of it afterwards, so one that is killed in between has not told.
// The state words are the truth: a reader that finds a generation missing looks there.
#pragma once

#include "breaker_window.hpp"
#include "metrics.hpp"
#include "ring.hpp"
#include "table.hpp"

namespace bot4::shm {

enum class EventKind : std::uint16_t {
  kTransition = 1,
  kWouldTrip = 2,
  kLeaseExpired = 3,
  kOwnerDied = 4,
  kReloaded = 5,
  kGlobal = 6,
};

struct BreakerEvent {
  static constexpr std::uint32_t kGlobal = 0xffffffff;
  std::int64_t time_ns;
  std::uint64_t before, after;  // control words; of kGlobal, global states
  std::uint32_t breaker;        // index, or kGlobal
  EventKind kind;
  Cause cause;
  std::uint32_t pid;            // who made it so
  std::uint32_t spare;
  std::uint32_t calls, failures, slow, consecutive;  // of the window, when it happened
  std::uint64_t settings_version;
  std::uint64_t sequence;       // among its author's events
  char actor[32];
  char reason[96];
  unsigned char padding[56];
};
static_assert(sizeof(BreakerEvent) == 256);

/// Who acts: a process, and its shard.
struct Owner {
  std::uint64_t pid = 0;
  std::uint64_t started = 0;  // /proc/<pid>/stat's start time: pids are used again
};

/// One participant's events, and the counts of those that found no room (the newest are dropped).
struct EventWords {
  static constexpr std::uint64_t kCapacity = 64;
  static constexpr std::size_t kKinds = 8;
  alignas(kCacheLine) Word dropped[kKinds];  // by EventKind
  Word sequence;
  alignas(kCacheLine) RingHeader ring;
  unsigned char slots[kCapacity * sizeof(BreakerEvent)];

  void lay_out() {
    ring.capacity = kCapacity;
    ring.record_bytes = sizeof(BreakerEvent);
  }
};
static_assert(offsetof(EventWords, slots) == offsetof(EventWords, ring) + sizeof(RingHeader));

class EventWriter {
 public:
  explicit EventWriter(EventWords* words) : words_(words), ring_(&words->ring) {}

  /// Fills in the sequence. Never waits.
  void push(BreakerEvent& event) {
    event.sequence = words_->sequence.load(std::memory_order_relaxed);
    words_->sequence.store(event.sequence + 1, std::memory_order_relaxed);
    if (ring_.push(&event)) return;
    Word& dropped = words_->dropped[static_cast<std::size_t>(event.kind) % EventWords::kKinds];
    dropped.store(dropped.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

 private:
  EventWords* words_;
  RingProducer ring_;
};

}  // namespace bot4::shm
