// The circuit breaker's control word: one u64, every transition of which is one compare-and-swap.
//
//   [state:3][attempt:4][generation:20][payload:37]
//
// The generation rises with each change of state, so a permit that was given in another generation is
// known by its number: nothing that began before a change can decide anything after it.
//
//   CLOSED, METRICS_ONLY   payload: the tick at which it began
//   OPEN                   payload: the tick from which probes are let through
//   HALF_OPEN              payload: [issued:5][done:16][succeeded:5][failed:5][spare:6]
//
// A tick is 2^20 ns of CLOCK_MONOTONIC; 37 bits of them are 4.5 years. The indices of permits are not
// used again within an episode of HALF_OPEN, so a permit cannot be given back twice.
#pragma once

#include <bit>

#include "memory.hpp"

namespace bot4::shm {

enum class BreakerState : std::uint8_t {
  kUninit = 0,  // what zero memory is; admits nobody
  kClosed = 1,
  kOpen = 2,
  kHalfOpen = 3,
  kForcedOpen = 4,
  kDisabled = 5,
  kMetricsOnly = 6,
  kInvalid = 7,  // never stored; admits nobody
};

enum class Cause : std::uint16_t {
  kNone = 0,
  kInitialised = 1,
  kFailureRate = 2,
  kSlowRate = 3,
  kConsecutive = 4,
  kCooldownOver = 5,
  kProbesSucceeded = 6,
  kProbesFailed = 7,
  kMaxStay = 8,
  kNoProbesLeft = 9,
  kTripped = 10,
  kForcedOpen = 11,
  kReset = 12,
  kDisabled = 13,
  kMetricsOnly = 14,
  kReloaded = 15,
  kComponents = 16,  // of the global state: what its components are
};

inline constexpr int kTickBits = 20;
inline constexpr std::int64_t kTickNs = std::int64_t{1} << kTickBits;
inline constexpr unsigned kPermits = 16;  // indices of one episode of HALF_OPEN

constexpr std::uint64_t tick_of(std::int64_t ns) { return static_cast<std::uint64_t>(ns) >> kTickBits; }
constexpr std::uint64_t tick_after(std::int64_t ns) { return tick_of(ns + kTickNs - 1); }

/// A generation and 44 bits of something that belongs to it, in one word: whoever is killed between
/// two stores cannot leave the one with a stranger's other.
struct Tagged {
  static constexpr int kBits = 44;
  static constexpr std::uint64_t make(std::uint64_t generation, std::uint64_t value) {
    return generation << kBits | (value & ((std::uint64_t{1} << kBits) - 1));
  }
  static constexpr std::uint64_t generation(std::uint64_t word) { return word >> kBits; }
  static constexpr std::uint64_t value(std::uint64_t word) {
    return word & ((std::uint64_t{1} << kBits) - 1);
  }
};

/// The payload of HALF_OPEN.
struct Probes {
  std::uint32_t issued = 0, done = 0, succeeded = 0, failed = 0;

  static constexpr Probes of(std::uint64_t payload) {
    return {static_cast<std::uint32_t>(payload >> 32 & 0x1f),
            static_cast<std::uint32_t>(payload >> 16 & 0xffff),
            static_cast<std::uint32_t>(payload >> 11 & 0x1f),
            static_cast<std::uint32_t>(payload >> 6 & 0x1f)};
  }
  constexpr std::uint64_t payload() const {
    return std::uint64_t{issued} << 32 | std::uint64_t{done} << 16 | std::uint64_t{succeeded} << 11 |
           std::uint64_t{failed} << 6;
  }
  constexpr unsigned in_flight() const {
    return issued - static_cast<unsigned>(std::popcount(done));
  }
  constexpr bool is_done(unsigned index) const { return (done >> index & 1) != 0; }
};

/// The control word, taken apart.
struct Control {
  static constexpr int kPayloadBits = 37, kGenerationBits = 20, kAttemptBits = 4;
  static constexpr std::uint64_t kGenerations = std::uint64_t{1} << kGenerationBits;
  static constexpr unsigned kMostAttempts = (1u << kAttemptBits) - 1;

  std::uint64_t word = 0;

  static constexpr Control make(BreakerState state, unsigned attempt, std::uint64_t generation,
                                std::uint64_t payload) {
    return {static_cast<std::uint64_t>(state) << (kPayloadBits + kGenerationBits + kAttemptBits) |
            std::uint64_t{attempt} << (kPayloadBits + kGenerationBits) |
            (generation & (kGenerations - 1)) << kPayloadBits |
            (payload & ((std::uint64_t{1} << kPayloadBits) - 1))};
  }

  constexpr BreakerState state() const {
    return static_cast<BreakerState>(word >> (kPayloadBits + kGenerationBits + kAttemptBits));
  }
  constexpr unsigned attempt() const {
    return static_cast<unsigned>(word >> (kPayloadBits + kGenerationBits)) & kMostAttempts;
  }
  constexpr std::uint64_t generation() const {
    return word >> kPayloadBits & (kGenerations - 1);
  }
  constexpr std::uint64_t payload() const {
    return word & ((std::uint64_t{1} << kPayloadBits) - 1);
  }
  constexpr Probes probes() const { return Probes::of(payload()); }

  /// The word after a change of state; `attempt` saturates.
  constexpr Control next(BreakerState state, unsigned attempt, std::uint64_t payload) const {
    return make(state, attempt < kMostAttempts ? attempt : kMostAttempts, generation() + 1, payload);
  }
  /// The word with other probes: the same episode of HALF_OPEN.
  constexpr Control with(const Probes& probes) const {
    return make(BreakerState::kHalfOpen, attempt(), generation(), probes.payload());
  }

  /// Whether outcomes are counted in a window.
  constexpr bool counts() const {
    return state() == BreakerState::kClosed || state() == BreakerState::kMetricsOnly;
  }
  /// Whether nobody is admitted but, perhaps, probes.
  constexpr bool is_blocked() const {
    return !counts() && state() != BreakerState::kDisabled;
  }
  /// Whether it weighs as open in the global state.
  constexpr bool is_open() const {
    return is_blocked() && state() != BreakerState::kHalfOpen;
  }
};

}  // namespace bot4::shm
