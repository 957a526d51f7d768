// Threads that use one breaker as processes do, each with a shard of its own, at full speed. Meant
// for ThreadSanitizer, which knows what the memory orders promise; and what they were answered must
// add up.
//
// Arguments: the names of the tests to run; without any, all of them.

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "breaker_group.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

constexpr unsigned kThreads = 4, kOnlooker = 5;

/// A clock that all share and that orders nothing among them.
std::atomic<std::int64_t> clock_ns;
std::int64_t tick() { return clock_ns.fetch_add(200'000, std::memory_order_relaxed); }

const auto everybody_lives = [](const Owner&) { return true; };

struct Account {
  std::uint64_t admitted = 0, rejected = 0, counted = 0, stale = 0, uncounted = 0, alone = 0;
  std::vector<std::uint64_t> tokens;
};

BreakerSettings quick_settings(std::uint64_t window) {
  BreakerSettings settings = small_settings();
  settings.window = window;
  settings.window_ns = 1'000 * kSecond;
  settings.window_calls = CallWindow::kSlots;
  settings.cooldown_ns = 2 * kMs;
  settings.cooldown_max_ns = 4 * kMs;
  settings.slow_bp = 8'000;
  settings.slow_ns = 1'000;
  settings.max_stay_ns = 50 * kMs;
  settings.lease_ns = 20 * kMs;
  return settings;
}

void add(Account& account, Completion answer) {
  ++(answer == Completion::kCounted ? account.counted
     : answer == Completion::kStale ? account.stale
                                    : account.uncounted);
}

void hammer(Group& group, unsigned me, std::uint64_t operations, std::uint64_t window,
            Account& account) {
  using Manual = Breaker::Manual;
  Member member(group, me, {100 + me, 1});
  Breaker breaker = member.breaker();
  Breakers all(group.get());
  Random random(me + 1);
  std::vector<Permit> open;
  const auto complete_one = [&] {
    const Permit permit = open[random.below(open.size())];
    std::erase_if(open, [&](const Permit& each) { return each.issued_ns == permit.issued_ns; });
    add(account, breaker.complete(permit, random.below(3) != 0, tick(),
                                  static_cast<std::int64_t>(random.below(1'500))));
  };
  for (std::uint64_t i = 0; i < operations; ++i) {
    const std::uint64_t choice = random.below(100);
    if (choice < 50) {
      const Permit permit = breaker.acquire(tick(), member.owner(), everybody_lives);
      if (permit) open.push_back(permit);
      ++(permit ? account.admitted : account.rejected);
      if (permit && permit.index >= 0)
        account.tokens.push_back(permit.generation << 8 | static_cast<std::uint64_t>(permit.index));
      if (open.size() > 3 || (permit && choice < 40)) complete_one();
    } else if (choice < 60) {
      if (!open.empty()) complete_one();
    } else if (choice < 65) {
      const Completion answer = breaker.fail_once(tick());
      ++account.alone;
      add(account, answer);
    } else if (choice < 75) {
      breaker.reap(tick(), everybody_lives);
    } else if (choice < 78) {
      constexpr Manual kWanted[] = {Manual::kTrip,    Manual::kReset,       Manual::kReset,
                                    Manual::kDisable, Manual::kMetricsOnly, Manual::kForceOpen};
      const Manual wanted = kWanted[random.below(std::size(kWanted))];
      breaker.by_hand(wanted, tick(), {"thread", "hammers"});
    } else if (choice < 88) {
      all.derive(tick(), &member.self());
    } else if (choice < 98) {
      const BreakersView view = all.view(tick());
      CHECK(view.global != 0 && (view.forced & ~view.blocked) == 0, view.global, view.blocked);
    } else if (me == 0) {  // one writer at a time
      BreakerSettings settings = quick_settings(window);
      settings.cooldown_ns += random.below(2) * kMs;
      settings.probes += settings.cooldown_ns == 2 * kMs ? 0 : 1;
      breaker.configure(settings, tick());
    } else {
      BreakerSettings settings;
      CHECK(breaker.read(settings));
      CHECK((settings.cooldown_ns == 2 * kMs) == (settings.probes == 2), settings.probes);
      const Counts counts = breaker.counts(tick());
      CHECK(counts.tally.failures <= counts.tally.calls, counts.tally.calls);
      BreakerSettings roomy = quick_settings(window);
      roomy.probes = 3;
      const Control control = breaker.control();
      CHECK(is_legal(control, roomy), control.word);
    }
    if (i % 64 == 0) sched_yield();
  }
  while (!open.empty()) complete_one();
}

/// Takes the events while they come; returns how many transitions were told.
std::uint64_t follow(Group& group, const std::atomic<bool>& over) {
  std::uint64_t next[kParticipants] = {}, transitions = 0;
  for (bool last = false; !last; sched_yield()) {
    last = over.load(std::memory_order_acquire);
    for (unsigned shard = 0; shard < kParticipants; ++shard) {
      RingConsumer ring(&group->events(shard)->ring);
      BreakerEvent event;
      while (ring.pop(&event)) {
        CHECK(is_sound(event), event.before, event.after);
        CHECK(event.sequence >= next[shard], shard, event.sequence, next[shard]);
        next[shard] = event.sequence + 1;
        transitions += event.kind == EventKind::kTransition;
      }
      CHECK(!ring.is_corrupt(), shard);
      ring.commit(ring.pending());
    }
  }
  return transitions;
}

template <class Body>
void in_threads(Body body) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back([&, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

void hammer_all(std::uint64_t window) {
  constexpr std::uint64_t kOperations = 30'000, kCalls = 100;
  Group group;
  clock_ns = 1'000 * kSecond;
  Account accounts[kThreads];
  std::uint64_t told = 0;
  std::atomic<bool> over{false};
  Member onlooker(group, kOnlooker, {200, 1});
  Breaker breaker = onlooker.breaker();
  breaker.configure(quick_settings(window), tick());
  breaker.by_hand(Breaker::Manual::kInitialise, tick(), {"a", "b"});
  std::thread follower([&] { told = follow(group, over); });
  in_threads([&](unsigned i) { hammer(group, i, kOperations, window, accounts[i]); });

  // Each answer is in the shard of the one who was given it.
  std::vector<std::uint64_t> tokens;
  std::uint64_t stale = 0, rejected = 0;
  for (unsigned i = 0; i < kThreads; ++i) {
    const BreakerShard& shard = group.words().shard[i];
    const Account& account = accounts[i];
    CHECK(shard.admitted == account.admitted, i, shard.admitted.load(), account.admitted);
    CHECK(shard.rejected == account.rejected, i, shard.rejected.load(), account.rejected);
    CHECK(shard.succeeded + shard.failed == account.counted, i, account.counted);
    CHECK(shard.stale == account.stale && shard.uncounted == account.uncounted, i, account.stale);
    CHECK(account.admitted + account.alone == account.counted + account.stale + account.uncounted,
          i, account.admitted);
    tokens.insert(tokens.end(), account.tokens.begin(), account.tokens.end());
    stale += account.stale;
    rejected += account.rejected;
  }
  std::sort(tokens.begin(), tokens.end());
  CHECK(std::adjacent_find(tokens.begin(), tokens.end()) == tokens.end());
  CHECK(tokens.size() > 100 && stale > 100 && rejected > 100, tokens.size(), stale, rejected);

  // And each outcome of a generation is in its window. (A quarter fails: never half of them.)
  breaker.configure(quick_settings(window), tick());
  breaker.by_hand(Breaker::Manual::kReset, tick(), {"a", "b"});
  in_threads([&](unsigned i) {
    Member member(group, i, {300 + i, 1});
    Breaker mine = member.breaker();
    for (std::uint64_t call = 0; call < kCalls; ++call) {
      const Permit permit = mine.acquire(tick(), member.owner(), everybody_lives);
      mine.complete(permit, call % 4 != 3, tick(), call % 8 == 1 ? 2'000 : 0);
      if (call % 16 == 0) sched_yield();
    }
  });
  const Counts counts = breaker.counts(tick());
  CHECK(counts.tally.calls == kThreads * kCalls, counts.tally.calls);
  CHECK(counts.tally.failures == kThreads * kCalls / 4, counts.tally.failures);
  over.store(true, std::memory_order_release);
  follower.join();
  // One event for each generation, told or counted as dropped.
  for (unsigned shard = 0; shard < kParticipants; ++shard)
    told += group->events(shard)->dropped[static_cast<unsigned>(EventKind::kTransition)];
  CHECK(told == breaker.control().generation(), told, breaker.control().generation());
  std::printf("%llu permits in %llu generations, %llu stale, %llu rejected\n",
              static_cast<unsigned long long>(tokens.size()),
              static_cast<unsigned long long>(told), static_cast<unsigned long long>(stale),
              static_cast<unsigned long long>(rejected));
}

}  // namespace

int main(int count, char** arguments) {
  Choice chosen(count, arguments);
  if (chosen.has("time")) hammer_all(0);
  if (chosen.has("calls")) hammer_all(1);
  return verdict();
}
