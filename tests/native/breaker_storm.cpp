// Processes that are killed at random moments while they and others use one breaker, with the real
// /proc to say who is dead; one that is stopped while it holds a permit; and no wall clock
// anywhere.
//
// Arguments: the names of the tests to run; without any, all of them.

#include <cerrno>
#include <chrono>
#include <set>

#include <sys/syscall.h>

#include "breaker_group.hpp"
#include "processes.hpp"

using namespace bot4::shm;
using namespace bot4::test;

// --- The clocks ---

namespace {
std::atomic<std::uint64_t> monotonic_reads{0}, other_reads{0};
}

// In front of the library's own, for this program and for the libraries that it uses.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  (clock == CLOCK_MONOTONIC ? monotonic_reads : other_reads)
      .fetch_add(1, std::memory_order_relaxed);
  return static_cast<int>(syscall(SYS_clock_gettime, clock, time));
}
extern "C" int gettimeofday(timeval* __restrict time, void* __restrict) noexcept {
  other_reads.fetch_add(1, std::memory_order_relaxed);
  *time = {};
  return 0;
}
extern "C" time_t time(time_t* time) noexcept {
  other_reads.fetch_add(1, std::memory_order_relaxed);
  if (time != nullptr) *time = 0;
  return 0;
}

namespace {

unsigned long long printable(std::uint64_t n) { return n; }

Owner this_process() {
  const auto pid = static_cast<std::uint64_t>(getpid());
  return {pid, process_started(pid)};
}

/// How long somebody lives, or works, is what this test varies; nothing is waited for.
void rest(std::uint64_t ns) {
  const timespec nap{0, static_cast<long>(ns)};
  nanosleep(&nap, nullptr);
}

// --- The storm ---

constexpr unsigned kWorkers = 4;

BreakerSettings storm_settings() {
  BreakerSettings settings = small_settings();
  settings.window_ns = kSecond;
  settings.min_calls = 6;
  settings.cooldown_ns = kMs;
  settings.cooldown_max_ns = 2 * kMs;
  settings.probes = 3;
  settings.successes = 3;
  settings.lease_ns = 100 * kSecond;  // nobody is that slow
  settings.max_stay_ns = 100 * kSecond;
  return settings;
}

struct alignas(kCacheLine) Held {
  // [generation][index + 1:8]; stored after the permit was given, taken down before its end.
  Word token;
  Word pid, started;
};
struct Around {
  Held held[kWorkers];
  Word operations[kWorkers];
  Word permits;
  Word stopping;
};
Shared around_memory(sizeof(Around));
auto* const around = around_memory.as<Around>();

/// No probe is given twice, and no more are out than there may be, as those who hold them see it.
void judge_probe(unsigned me, const Permit& permit) {
  // Looked at twice: what is held both times was held at once, in between. While one is looked at,
  // another may give its probe back to be given to the next.
  std::uint64_t tokens[kWorkers];
  for (unsigned i = 0; i < kWorkers; ++i) tokens[i] = around->held[i].token;
  unsigned others = 0;
  for (unsigned i = 0; i < kWorkers; ++i) {
    if (i == me) continue;
    const std::uint64_t token = tokens[i];
    if (token >> 8 != permit.generation || token == 0) continue;
    const Owner owner{around->held[i].pid, around->held[i].started};
    // What a dead one held is given back, and given to others.
    if (!IsAlive()(owner) || around->held[i].token != token) continue;
    ++others;
    const bool twice = (token & 0xff) == static_cast<std::uint64_t>(permit.index) + 1;
    CHECK(!twice, permit.generation, permit.index);
  }
  CHECK(others < storm_settings().probes, others, permit.generation);
}

void work(const Group& group, unsigned me, std::uint64_t seed) {
  using Manual = Breaker::Manual;
  Member member(group, me, this_process());
  Breaker breaker = member.breaker();
  Breakers all(group.get());
  Random random(seed);
  Held& held = around->held[me];
  held.token = 0;
  held.pid = member.owner().pid;
  held.started = member.owner().started;
  while (around->stopping == 0 && failures == 0) {
    add_single_writer(around->operations[me], 1);
    const std::uint64_t choice = random.below(1'000);
    if (choice < 10) {
      breaker.reap(monotonic_ns(), IsAlive());
    } else if (choice < 12) {
      breaker.by_hand(choice == 10 ? Manual::kTrip : Manual::kReset, monotonic_ns(), {"x", "y"});
    } else if (choice < 30) {
      all.derive(monotonic_ns(), &member.self());
    } else {
      const Permit permit = breaker.acquire(monotonic_ns(), member.owner(), IsAlive());
      if (!permit) {
        sched_yield();
        continue;
      }
      if (permit.index >= 0) {
        held.token = permit.generation << 8 | (static_cast<std::uint64_t>(permit.index) + 1);
        around->permits.fetch_add(1);
        judge_probe(me, permit);
        rest(random.below(300'000));  // its work
        held.token = 0;
      }
      // Somebody fails a lot in CLOSED, so that it does not stay there.
      const bool ok = permit.index >= 0 ? random.below(4) != 0 : random.below(2) != 0;
      breaker.complete(permit, ok, monotonic_ns(), 0);
    }
  }
}

struct Follower {
  std::uint64_t next[kParticipants] = {};
  std::set<std::uint64_t> generations;

  void take(const Group& group) {
    for (unsigned shard = 0; shard < kParticipants; ++shard) {
      RingConsumer ring(&group->events(shard)->ring);
      BreakerEvent event;
      while (ring.pop(&event)) {
        CHECK(is_sound(event), event.before, event.after);
        CHECK(event.sequence >= next[shard], shard, event.sequence, next[shard]);
        next[shard] = event.sequence + 1;
        if (event.kind != EventKind::kTransition) continue;
        CHECK(may_follow({event.before}, {event.after}, event.actor[0] != 0), event.before,
              event.after);
        const bool is_first = generations.insert(Control{event.after}.generation()).second;
        CHECK(is_first, event.after);
      }
      CHECK(!ring.is_corrupt(), shard);
      ring.commit(ring.pending());
    }
  }
  std::uint64_t dropped(const Group& group) const {
    std::uint64_t sum = 0;
    for (unsigned shard = 0; shard < kParticipants; ++shard)
      sum += group->events(shard)->dropped[static_cast<unsigned>(EventKind::kTransition)];
    return sum;
  }
};

void storm() {
  constexpr unsigned kKills = 400;
  const Group group;
  Member supervisor(group, kWorkers, this_process());
  Breaker breaker = supervisor.breaker();
  breaker.configure(storm_settings(), monotonic_ns());
  breaker.by_hand(Breaker::Manual::kInitialise, monotonic_ns(), {"a", "b"});
  std::uint64_t seed = 0;
  const auto start = [&](unsigned worker) {
    return Child([&group, worker, s = ++seed] { work(group, worker, s); });
  };
  Child workers[kWorkers];
  for (unsigned i = 0; i < kWorkers; ++i) workers[i] = start(i);
  Follower follower;
  Random random(9);
  std::uint64_t holding = 0;
  for (unsigned kill = 0; kill < kKills && failures == 0; ++kill) {
    const auto victim = static_cast<unsigned>(random.below(kWorkers));
    Patience patience(HERE);
    const std::uint64_t before = around->operations[victim];
    while (around->operations[victim] == before) patience.rest();
    // Half of them while they hold a probe, if they come to hold one.
    const std::int64_t patient_until = monotonic_ns() + (kill % 2 == 0 ? 20 * kMs : 0);
    while (around->held[victim].token == 0 && monotonic_ns() < patient_until) sched_yield();
    rest(random.below(kill % 2 == 0 ? 100'000 : 2'000'000));
    workers[victim].kill();
    holding += around->held[victim].token != 0;
    CHECK(is_legal(breaker.control(), storm_settings()), breaker.control().word);
    BreakerSettings settings;
    CHECK(breaker.read(settings) && is_same(settings, storm_settings()));
    CHECK(group.is_sound());
    follower.take(group);
    breaker.fail_once(monotonic_ns());
    breaker.reap(monotonic_ns(), IsAlive());
    workers[victim] = start(victim);
  }
  around->stopping = 1;
  for (Child& worker : workers) CHECK(worker.succeeds());

  // All permits come back, in two ticks of the reaper and the time for those who were not recorded.
  const std::int64_t begun = monotonic_ns();
  Patience patience(HERE);
  while (breaker.control().state() == BreakerState::kHalfOpen &&
         breaker.control().probes().in_flight() != 0) {
    breaker.reap(monotonic_ns(), IsAlive());
    patience.rest();
  }
  CHECK(holding > kKills / 20, holding);
  const std::int64_t took = monotonic_ns() - begun;
  follower.take(group);
  const std::uint64_t generations = breaker.control().generation();
  const std::uint64_t seen = follower.generations.size() + follower.dropped(group);
  CHECK(seen <= generations && generations - seen <= kKills, generations, seen);
  // And it does what it is for.
  for (int round = 0; round < 3; ++round) {
    breaker.by_hand(Breaker::Manual::kReset, monotonic_ns(), {"a", "b"});
    for (std::uint64_t i = 0; i < storm_settings().min_calls; ++i) {
      CHECK(breaker.control().state() == BreakerState::kClosed, i, breaker.control().word);
      breaker.complete(breaker.acquire(monotonic_ns(), supervisor.owner(), IsAlive()), false,
                       monotonic_ns(), 0);
    }
    CHECK(breaker.control().state() == BreakerState::kOpen, breaker.control().word);
    CHECK(Breakers(group.get()).derive(monotonic_ns()) == GlobalState::kOpen);
    const auto deadline = static_cast<std::int64_t>(breaker.control().payload()) * kTickNs;
    for (int i = 0; i < 3; ++i)
      breaker.complete(breaker.acquire(deadline, supervisor.owner(), IsAlive()), true, deadline, 0);
    CHECK(breaker.control().state() == BreakerState::kClosed, breaker.control().word);
  }
  std::printf("storm: %u kills, %llu of them with a probe, %llu probes, %llu generations, last "
              "ones back after %llu us\n",
              kKills, printable(holding), printable(around->permits), printable(generations),
              printable(static_cast<std::uint64_t>(took) / 1'000));
}

// --- One that is stopped ---

void stopped() {
  const Group group;
  struct Told {
    Word has_permit, answer;
  };
  const Shared memory(sizeof(Told));
  auto* const told = memory.as<Told>();
  Member supervisor(group, 0, this_process());
  Breaker breaker = supervisor.breaker();
  BreakerSettings settings = storm_settings();
  settings.lease_ns = 30 * kMs;
  settings.failures = 0;
  breaker.configure(settings, monotonic_ns());
  breaker.by_hand(Breaker::Manual::kInitialise, monotonic_ns(), {"a", "b"});
  breaker.by_hand(Breaker::Manual::kTrip, monotonic_ns(), {"a", "b"});
  const auto deadline = static_cast<std::int64_t>(breaker.control().payload()) * kTickNs;
  Child owner([&] {
    Member member(group, 1, this_process());
    Breaker mine = member.breaker();
    const std::int64_t now = std::max(deadline, monotonic_ns());
    const Permit permit = mine.acquire(now, member.owner(), IsAlive());
    told->has_permit = permit && permit.index == 0;
    raise(SIGSTOP);
    told->answer = static_cast<std::uint64_t>(mine.complete(permit, true, monotonic_ns(), 0));
  });
  int status = 0;
  CHECK(waitpid(owner.pid(), &status, WUNTRACED) == owner.pid() && WIFSTOPPED(status), status);
  CHECK(told->has_permit == 1 && breaker.control().state() == BreakerState::kHalfOpen);
  take_events(group);
  const auto lease = static_cast<std::int64_t>(group.words().owner[0].lease_ns);
  Patience patience(HERE);
  for (; breaker.control().state() == BreakerState::kHalfOpen; patience.rest()) {
    const std::int64_t now = monotonic_ns();
    const unsigned released = breaker.reap(now, IsAlive());
    CHECK(released == 0 || now > lease, now, lease);
  }
  // It lives, so it has failed; and that was one too many.
  const Control open = breaker.control();
  CHECK(open.state() == BreakerState::kOpen && open.attempt() == 1, open.word);
  const std::vector<BreakerEvent> events = take_events(group);
  CHECK(events.size() == 2 && events[0].kind == EventKind::kLeaseExpired &&
            events[1].cause == Cause::kProbesFailed,
        events.size());
  kill(owner.pid(), SIGCONT);
  CHECK(owner.succeeds());
  CHECK(told->answer == static_cast<std::uint64_t>(Completion::kStale), told->answer.load());
  CHECK(breaker.control().word == open.word, breaker.control().word);
  std::printf("stopped: the lease passed, and the late answer was stale\n");
}

// --- Generations come again ---

/// A permit so old that its generation may be another of the same number.
void old_permit() {
  const Group group;
  Member member(group, 0, this_process());
  Breaker breaker = member.breaker();
  const std::int64_t now = 10'000 * kSecond;
  breaker.configure(storm_settings(), now);
  breaker.by_hand(Breaker::Manual::kInitialise, now, {"a", "b"});
  const Permit permit = breaker.acquire(now, member.owner(), IsAlive());
  for (std::uint64_t i = 0; i < Control::kGenerations; ++i) {
    breaker.by_hand(Breaker::Manual::kReset, now, {"a", "b"});
    CHECK(breaker.control().state() == BreakerState::kClosed, breaker.control().word);
  }
  CHECK(breaker.control().generation() == permit.generation, breaker.control().generation());
  CHECK(breaker.complete(permit, false, now + kLargestLeaseNs + 1, 0) == Completion::kStale);
  CHECK(breaker.counts(now + kLargestLeaseNs + 1).tally.calls == 0);
  CHECK(breaker.complete(permit, false, now + kLargestLeaseNs, 0) == Completion::kCounted);
  std::printf("an old permit: refused by its age\n");
}

// --- No clock ---

void no_clock() {
  const Group group(2);
  Member member(group, 0, {1, 1});
  Member other(group, 1, {2, 1});
  Breakers all(group.get());
  const auto alive = [](const Owner& owner) { return owner.pid == 1; };
  monotonic_reads = other_reads = 0;
  std::int64_t now = 1'000 * kSecond;
  for (const std::uint64_t window : {0, 1}) {
    for (const std::uint32_t index : {0u, 1u}) {
      Breaker breaker = member.breaker(index);
      BreakerSettings settings = small_settings();
      settings.window = window;
      breaker.configure(settings, now);
      breaker.by_hand(Breaker::Manual::kReset, now, {"a", "b"});
      for (const auto wanted : {Breaker::Manual::kMetricsOnly, Breaker::Manual::kDisable,
                                Breaker::Manual::kForceOpen, Breaker::Manual::kReset}) {
        breaker.by_hand(wanted, now, {"a", "b"});
        for (int i = 0; i < 6; ++i) {
          breaker.complete(breaker.acquire(now, member.owner(), alive), i % 2 == 0, now, 1);
          breaker.fail_once(now);
          now += 10 * kMs;
        }
      }
      CHECK(breaker.control().state() == BreakerState::kOpen, breaker.control().word);
      now += kSecond;
      Breaker strange = other.breaker(index);
      for (int i = 0; i < 3; ++i) strange.acquire(now, other.owner(), alive);
      breaker.reap(now + kMs, alive);
      CHECK(breaker.control().probes().in_flight() == 0, breaker.control().word);
      for (int i = 0; i < 2; ++i)
        breaker.complete(breaker.acquire(now, member.owner(), alive), true, now, 1);
      CHECK(breaker.control().state() == BreakerState::kClosed, breaker.control().word);
      all.derive(now, &member.self());
      all.state(now);
      CHECK(all.view(now).global != 0);
      breaker.counts(now);
      take_events(group);
    }
  }
  CHECK(monotonic_reads == 0 && other_reads == 0, monotonic_reads.load(), other_reads.load());
  // This program does see who reads a clock, and which.
  monotonic_ns();
  CHECK(monotonic_reads == 1 && other_reads == 0, monotonic_reads.load(), other_reads.load());
  const auto wall = std::chrono::system_clock::now();
  CHECK(wall.time_since_epoch().count() != 0 && other_reads == 1, other_reads.load());
  // What a process asks the system about another has no time of day in it either.
  other_reads = 0;
  CHECK(IsAlive()(this_process()) && other_reads == 0, other_reads.load());
  std::printf("no clock: none was read\n");
}

}  // namespace

int main(int count, char** arguments) {
  Choice chosen(count, arguments);
  if (chosen.has("storm")) storm();
  if (chosen.has("stopped")) stopped();
  if (chosen.has("old permit")) old_permit();
  if (chosen.has("no clock")) no_clock();
  return verdict();
}
