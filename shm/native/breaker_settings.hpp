// What a circuit breaker decides by. The settings lie in two slots: a reload fills the one that is not
// current and then makes it so, and reaches every process with its next call.
#pragma once

#include "breaker_word.hpp"

namespace bot4::shm {

/// All integers, so that no comparison can meet a NaN. shm/breaker_settings.py validates them, and
/// writes them in this order.
struct BreakerSettings {
  std::uint64_t window;              // 0: of time, 1: of calls
  std::uint64_t window_ns;
  std::uint64_t window_calls;
  std::uint64_t min_calls;           // fewer have no rate
  std::uint64_t failure_bp;          // rates in basis points, 0: no such rule
  std::uint64_t slow_bp;
  std::uint64_t slow_ns;             // longer is slow
  std::uint64_t consecutive;         // failures, 0: no such rule
  std::uint64_t cooldown_ns;
  std::uint64_t cooldown_factor_bp;  // by which it grows with each attempt
  std::uint64_t cooldown_max_ns;
  std::uint64_t jitter_bp;
  std::uint64_t probes;              // in flight at once in HALF_OPEN
  std::uint64_t successes;           // that close it
  std::uint64_t failures;            // that it allows; one more opens it
  std::uint64_t max_stay_ns;         // in HALF_OPEN
  std::uint64_t lease_ns;            // of a permit in HALF_OPEN
  std::uint64_t weight;              // in the global state
  std::uint64_t critical;            // 1: its being open makes the global state open
  std::uint64_t seed;                // of the jitter

  bool counts_calls() const { return window == 1; }
  bool has_slow_rule() const { return slow_bp != 0; }
};

/// The length of stay in OPEN: min(max, base * factor^attempt), then the jitter, which depends on the
/// generation alone, so that a test or a replay has it again.
constexpr std::int64_t cooldown_ns(const BreakerSettings& settings, unsigned attempt,
                                   std::uint64_t generation) {
  __extension__ using Wide = unsigned __int128;
  Wide pause = settings.cooldown_ns;
  for (unsigned i = 0; i < attempt && pause < settings.cooldown_max_ns; ++i)
    pause = pause * settings.cooldown_factor_bp / 10'000;
  if (pause > settings.cooldown_max_ns) pause = settings.cooldown_max_ns;
  // SplitMix64 (Steele, Lea, Flood 2014).
  std::uint64_t r = (settings.seed ^ generation) + 0x9e3779b97f4a7c15u;
  r = (r ^ r >> 30) * 0xbf58476d1ce4e5b9u;
  r = (r ^ r >> 27) * 0x94d049bb133111ebu;
  r ^= r >> 31;
  const std::uint64_t factor = 10'000 - settings.jitter_bp + r % (2 * settings.jitter_bp + 1);
  return static_cast<std::int64_t>(pause * factor / 10'000);
}

/// Settings, and a number that rises when what a window is has changed, so that what was counted
/// before is not counted any more.
struct VersionedSettings {
  BreakerSettings settings;
  std::uint64_t window_version;
};

/// Where the settings lie.
struct BreakerSettingsWords {
  static constexpr std::size_t kWords = sizeof(BreakerSettings) / 8;

  alignas(kCacheLine) Word version;  // 0: there are none yet
  alignas(kCacheLine) Word slot[2][sizeof(VersionedSettings) / 8];

  /// Returns the version of what it has read, 0 if there is nothing. Repeats only if they were
  /// replaced meanwhile.
  std::uint64_t read(VersionedSettings& current) const {
    for (;;) {
      // Acquire: the settings are read after the version that vouches for them.
      const std::uint64_t before = version.load(std::memory_order_acquire);
      if (before == 0) return 0;
      load_record(&current, slot[before & 1], sizeof current);
      // Relaxed: load_record's acquires keep this load after them. The slot is written again only
      // after the next version was published.
      if (version.load(std::memory_order_relaxed) == before) return before;
    }
  }

  /// One writer at a time, which a lock of the segment sees to.
  void write(const BreakerSettings& settings) {
    VersionedSettings old{};
    const std::uint64_t before = read(old);
    VersionedSettings next{settings, old.window_version};
    if (before == 0 || old.settings.window != settings.window ||
        old.settings.window_ns != settings.window_ns ||
        old.settings.window_calls != settings.window_calls)
      ++next.window_version;
    store_record(slot[(before + 1) & 1], &next, sizeof next);
    // Release: complete before they are current.
    version.store(before + 1, std::memory_order_release);
  }
};

}  // namespace bot4::shm
