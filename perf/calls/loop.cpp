// Calls behind a circuit breaker, one behind the other, each timed: what perf/breaker.py compiles and
// loads into its processes, to run on the breakers that these share.

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "breakers.hpp"

using namespace bot4::shm;

extern "C" {

/// Makes calls until `end_ns`, at least one; every `fail_every`th fails. `ns[i & mask]` is what call
/// i took: from the reading of the clock that acquire is given, over the one that complete is given,
/// to one behind both, which begins the next call. Returns how many calls there were; 0 if one did
/// not count.
std::uint64_t time_calls(BreakersHeader* group, std::uint32_t index, unsigned shard,
                         std::uint64_t fail_every, std::int64_t end_ns, std::uint32_t* ns,
                         std::uint64_t mask) {
  const auto pid = static_cast<std::uint64_t>(getpid());
  const Owner owner{pid, process_started(pid)};
  Participant self{owner, shard, EventWriter(group->events(shard)), TableWriter(group->last()),
                   &group->shards, &group->changes};
  Breaker breaker(group->breaker(index), index, &group->shards, &self);
  std::uint64_t calls = 0, until_failure = fail_every;
  std::int64_t before = monotonic_ns();
  do {
    const bool ok = --until_failure != 0;
    if (!ok) until_failure = fail_every;
    const Permit permit = breaker.acquire(before, owner, IsAlive());
    const std::int64_t ended = monotonic_ns();
    if (breaker.complete(permit, ok, ended, ended - before) != Completion::kCounted) return 0;
    const std::int64_t after = monotonic_ns();
    ns[calls++ & mask] = static_cast<std::uint32_t>(std::min(after - before, std::int64_t{1} << 31));
    before = after;
  } while (before < end_ns);
  return calls;
}

/// Reads the clock so many times; returns how long that took.
std::int64_t time_clock(std::uint64_t readings) {
  const std::int64_t start = monotonic_ns();
  for (std::uint64_t i = 1; i < readings; ++i) monotonic_ns();
  return monotonic_ns() - start;
}

/// For the caller to see that its breakers are those of the headers that this was compiled from.
std::uint64_t group_bytes(std::uint64_t breakers) { return BreakersHeader::bytes(breakers); }
}
