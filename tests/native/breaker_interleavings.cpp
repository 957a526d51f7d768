// Every order in which acquirers, completers, the reaper and an operator can meet at one breaker.
//
// The actors run the real headers; interleavings.hpp says what an order is, and why leaving out
// some of them loses nothing. At each change of the control word the table of the states is asked;
// at the end of each run, whether permits, outcomes and events add up.
//
// Arguments: the names of the scenarios; without any, all of them.

#include "interleavings.hpp"

#include "breaker_group.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

constexpr std::int64_t kNow = 1'000 * kSecond;
constexpr unsigned kElder = 15;  // the shard of whoever was there before
constexpr unsigned kActors = 5;

Group group;
BreakerSettings settings;
std::vector<Permit> before;  // the elder's, which are out when a scenario begins
Control at_first;

/// What an actor did, and what it was answered. Of one run.
struct Deed {
  bool by_hand = false;
  const Permit* completing = nullptr;
  Permit permits[4];
  unsigned acquired = 0, released = 0, done_by_hand = 0;
  unsigned counted_ok = 0, counted_failed = 0, stale = 0;
};

/// All that an actor has to itself.
struct Actor {
  std::optional<Member> member;
  std::optional<Breaker> breaker;
  std::optional<Breakers> looking;
  Deed deed;
};
Actor actors[kParticipants];

const auto everybody_lives = [](const Owner&) { return true; };
const auto the_elder_is_dead = [](const Owner& owner) { return owner.pid != kElder; };

Breaker& breaker(unsigned actor) { return *actors[actor].breaker; }
void take_part(unsigned actor, std::uint64_t pid) {
  actors[actor].member.emplace(group, actor, Owner{pid, 1});
  actors[actor].breaker.emplace(actors[actor].member->breaker());
}

void acquire(unsigned me, std::int64_t now = kNow) {
  const Permit permit = breaker(me).acquire(now, actors[me].member->owner(), everybody_lives);
  if (permit) actors[me].deed.permits[actors[me].deed.acquired++] = permit;
}
void complete(unsigned me, const Permit& permit, bool ok, std::int64_t now = kNow) {
  actors[me].deed.completing = &permit;
  const Completion answer = breaker(me).complete(permit, ok, now, 0);
  actors[me].deed.completing = nullptr;
  Deed& deed = actors[me].deed;
  if (answer == Completion::kCounted) ++(ok ? deed.counted_ok : deed.counted_failed);
  if (answer == Completion::kStale) ++actors[me].deed.stale;
}
void acquire_and_complete(unsigned me, bool ok, std::int64_t now = kNow) {
  const unsigned had = actors[me].deed.acquired;
  acquire(me, now);
  if (actors[me].deed.acquired != had) complete(me, actors[me].deed.permits[had], ok, now);
}
template <class Alive>
void reap(unsigned me, std::int64_t now, Alive alive) {
  actors[me].deed.released += breaker(me).reap(now, alive);
}
void by_hand(unsigned me, Breaker::Manual wanted, std::int64_t now = kNow) {
  actors[me].deed.by_hand = true;
  const auto answer = breaker(me).by_hand(wanted, now, {"operator", "to see"});
  actors[me].deed.done_by_hand += answer == Breaker::Answer::kDone;
  actors[me].deed.by_hand = false;
}

// --- What there was before ---

void begin_closed(const BreakerSettings& with = small_settings()) {
  settings = with;
  group.lay_out();
  before.clear();
  for (Actor& actor : actors) actor.member.reset();
  take_part(kElder, kElder);
  breaker(kElder).configure(settings, kNow);
  breaker(kElder).by_hand(Breaker::Manual::kInitialise, kNow, {"elder", "first"});
}
void fail(unsigned times, std::int64_t now = kNow) {
  for (unsigned i = 0; i < times; ++i) breaker(kElder).fail_once(now);
}
/// In OPEN, for which the cooldown is over.
void begin_open(const BreakerSettings& with = small_settings()) {
  begin_closed(with);
  breaker(kElder).by_hand(Breaker::Manual::kTrip, kNow - kSecond, {"elder", "first"});
}
/// In HALF_OPEN, with permits of the elder out, some time after they were issued.
void begin_half_open(unsigned permits, std::int64_t age, unsigned succeeded = 0,
                     unsigned failed = 0, const BreakerSettings& with = small_settings()) {
  begin_open(with);
  const std::int64_t then = kNow - age;
  for (unsigned i = 0; i < succeeded + failed; ++i) {
    const Permit permit = breaker(kElder).acquire(then, {kElder, 1}, everybody_lives);
    breaker(kElder).complete(permit, i < succeeded, then, 0);
  }
  for (unsigned i = 0; i < permits; ++i)
    before.push_back(breaker(kElder).acquire(then, {kElder, 1}, everybody_lives));
  CHECK(before.empty() || before.back(), permits);
}

// --- What must hold ---

void observe(const ScheduledWord* word, std::uint64_t was, std::uint64_t is, unsigned actor) {
  if (word != &group.words().control) return;
  const Control from{was}, to{is};
  const Deed& deed = actors[actor].deed;
  CHECK(is_legal(to, settings), is);
  CHECK(may_follow(from, to, deed.by_hand), was, is);
  if (deed.completing == nullptr) return;
  // A completion changes nothing but its own generation, and marks nothing but its own permit.
  const Permit& permit = *deed.completing;
  CHECK(from.generation() == permit.generation, was, permit.generation);
  if (from.generation() != to.generation()) return;
  CHECK((from.probes().done ^ to.probes().done) == 1u << permit.index, was, is, permit.index);
}

struct Sums {
  std::vector<Permit> permits;  // of HALF_OPEN
  unsigned released = 0, by_hand = 0, counted_ok = 0, counted_failed = 0;
};

/// True of every scenario.
Sums judge_all() {
  const Control control = breaker(kElder).control();
  Sums sums;
  for (const Permit& permit : before)
    if (permit.index >= 0) sums.permits.push_back(permit);
  for (const Actor& actor : actors) {
    const Deed& deed = actor.deed;
    for (unsigned i = 0; i < deed.acquired; ++i)
      if (deed.permits[i].index >= 0) sums.permits.push_back(deed.permits[i]);
    sums.released += deed.released;
    sums.by_hand += deed.done_by_hand;
    sums.counted_ok += deed.counted_ok;
    sums.counted_failed += deed.counted_failed;
  }
  for (std::size_t i = 0; i < sums.permits.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const bool twice = sums.permits[i].generation == sums.permits[j].generation &&
                         sums.permits[i].index == sums.permits[j].index;
      CHECK(!twice, sums.permits[i].generation, sums.permits[i].index);
    }
  // One event for each change of the state, each going on where another ended; one for each
  // release.
  unsigned transitions = 0, releases = 0, missing = 0;
  const std::vector<BreakerEvent> events = take_events(group);
  for (const BreakerEvent& event : events) {
    CHECK(is_sound(event), event.before, event.after);
    releases += event.kind == EventKind::kLeaseExpired || event.kind == EventKind::kOwnerDied;
    if (event.kind != EventKind::kTransition) continue;
    ++transitions;
    unsigned from_there = 0;
    for (const BreakerEvent& other : events)
      from_there += other.kind == EventKind::kTransition &&
                    Control{other.before}.generation() == Control{event.after}.generation();
    missing += from_there == 0;
    CHECK(from_there <= 1, event.after);
  }
  const std::uint64_t generations = control.generation() - at_first.generation();
  CHECK(transitions == generations, transitions, generations);
  CHECK(missing == (generations != 0), missing);
  CHECK(releases >= sums.released, releases, sums.released);  // acquirers reap, too
  sums.released = releases;
  if (control.state() == BreakerState::kHalfOpen && generations == 0 &&
      at_first.state() == BreakerState::kHalfOpen) {
    // All that was answered is in the word, and nothing else is.
    const Probes probes = control.probes(), first = at_first.probes();
    const auto done = static_cast<unsigned>(std::popcount(probes.done & ~first.done));
    CHECK(probes.succeeded - first.succeeded == sums.counted_ok, control.word, sums.counted_ok);
    CHECK(probes.failed - first.failed >= sums.counted_failed, control.word, sums.counted_failed);
    CHECK(done == sums.counted_ok + sums.counted_failed + sums.released, control.word, done);
  }
  return sums;
}

struct Scenario {
  const char* name;
  void (*prepare)();
  std::vector<void (*)()> actors;
  void (*judge)(const Sums&);
  bool looks_at_changes = false;
  std::optional<unsigned> interruptions = {};  // the most; without it, all orders
};

void explore(const Scenario& scenario) {
  scenario.prepare();
  take_events(group);
  at_first = breaker(kElder).control();
  const std::int64_t start = monotonic_ns();
  Search search(reinterpret_cast<ScheduledWord*>(group.memory().data()),
                group.memory().size() / sizeof(ScheduledWord));
  for (unsigned i = 0; i < scenario.actors.size(); ++i)
    search.add(scenario.actors[i], {reinterpret_cast<unsigned char*>(&actors[i]), sizeof(Actor)});
  if (scenario.interruptions) search.allow_interruptions(*scenario.interruptions);
  if (!scenario.looks_at_changes) search.only_adds_up(group->changes);
  const Search::Size size = search.explore(
      [&] {
        for (unsigned i = 0; i < scenario.actors.size(); ++i) {
          take_part(i, 100 + i);
          actors[i].deed = {};
        }
        take_part(kElder, kElder);
      },
      observe, [&] { scenario.judge(judge_all()); }, [] { return failures != 0; });
  std::printf("%-44s %zu actors %3u shared words %8llu states %8llu choices %7llu ends %6.2f s\n",
              scenario.name, scenario.actors.size(), size.shared_words,
              static_cast<unsigned long long>(size.states),
              static_cast<unsigned long long>(size.choices),
              static_cast<unsigned long long>(size.ends),
              static_cast<double>(monotonic_ns() - start) / 1e9);
}

// --- Scenarios ---

using Manual = Breaker::Manual;
BreakerState state_now() { return breaker(kElder).control().state(); }

BreakerSettings with_consecutive(std::uint64_t failures) {
  BreakerSettings some = small_settings();
  some.min_calls = 100;
  some.consecutive = failures;
  return some;
}
BreakerSettings of_calls() {
  BreakerSettings some = small_settings();
  some.window = 1;
  return some;
}

Permit closed_permit() { return {at_first.generation(), -1, Rejection::kNone, true, kNow}; }

/// It is open by hand, or not at all: one failure is not enough.
void judge_one_failure(const Sums& sums) {
  CHECK(sums.by_hand == 1 && state_now() == BreakerState::kOpen, sums.by_hand);
  CHECK(breaker(kElder).control().attempt() == 1);
}

const Scenario kScenarios[] = {
    {"the cooldown is over",
     [] { begin_open(); },
     {[] { acquire(0); }, [] { acquire(1); }, [] { reap(2, kNow, everybody_lives); },
      [] { by_hand(3, Manual::kTrip, kNow + kMs); }},
     [](const Sums& sums) {
       CHECK(sums.by_hand == 1 && sums.permits.size() <= 2, sums.by_hand, sums.permits.size());
     }},
    {"the cooldown is over, and probes are quick",
     [] { begin_open(); },
     {[] { acquire_and_complete(0, true); }, [] { acquire_and_complete(1, false); },
      [] { acquire(2); }},
     [](const Sums& sums) {
       CHECK(sums.permits.size() >= 2 && sums.permits.size() <= 3, sums.permits.size());
     }},
    {"two acquirers, a completer, a trip",
     [] {
       BreakerSettings roomy = small_settings();
       roomy.probes = 3;
       begin_half_open(1, 350 * kMs, 0, 0, roomy);
     },
     {[] { acquire(0); }, [] { acquire(1); }, [] { complete(2, before[0], false); },
      [] { by_hand(3, Manual::kTrip); }},
     judge_one_failure},
    {"an acquirer, a completer, a reaper, a trip",
     [] { begin_half_open(1, 350 * kMs); },
     {[] { acquire(0); }, [] { complete(1, before[0], false); },
      [] { reap(2, kNow, everybody_lives); }, [] { by_hand(3, Manual::kTrip); }},
     judge_one_failure},
    {"two acquirers, a completer, a reaper, a trip",
     [] { begin_half_open(1, 350 * kMs); },
     {[] { acquire(0); }, [] { acquire(1); }, [] { complete(2, before[0], false); },
      [] { reap(3, kNow, everybody_lives); }, [] { by_hand(4, Manual::kTrip); }},
     judge_one_failure, false, 3},
    {"a success and a failure decide",
     [] { begin_half_open(2, 10 * kMs, 1, 1); },
     {[] { complete(0, before[0], true); }, [] { complete(1, before[1], false); },
      [] { acquire(2); }, [] { reap(3, kNow + kMs, the_elder_is_dead); }},
     [](const Sums& sums) {
       // A success closes and a failure opens; what comes later finds another generation.
       CHECK(sums.counted_ok + sums.counted_failed <= 2, sums.counted_ok, sums.counted_failed);
       if (sums.released == 0) CHECK(state_now() != BreakerState::kHalfOpen);
     }},
    {"a trip and a late completion",
     [] { begin_half_open(2, 10 * kMs, 1); },
     {[] { complete(0, before[0], true); }, [] { complete(1, before[1], true); },
      [] { by_hand(2, Manual::kTrip); }, [] { by_hand(3, Manual::kReset, kNow + kMs); }},
     [](const Sums& sums) {
       CHECK(sums.by_hand == 2 || actors[2].deed.done_by_hand == 1, sums.by_hand);
       const BreakerState last = state_now();
       CHECK(last == BreakerState::kOpen || last == BreakerState::kClosed, last);
     }},
    {"a permit is given back twice, and taken",
     [] { begin_half_open(1, 400 * kMs); },
     {[] { complete(0, before[0], true); }, [] { complete(1, before[0], false); },
      [] { reap(2, kNow, everybody_lives); }, [] { reap(3, kNow, the_elder_is_dead); }},
     [](const Sums& sums) {
       const unsigned times = sums.counted_ok + sums.counted_failed + sums.released;
       CHECK(times == 1, sums.counted_ok, sums.counted_failed, sums.released);
     }},
    {"exhausted: acquirers reap",
     [] { begin_half_open(2, 400 * kMs); },
     {[] { acquire(0); }, [] { acquire(1); }, [] { complete(2, before[0], true); }},
     [](const Sums& sums) {
       const unsigned times = sums.counted_ok + sums.released;
       CHECK(times >= 1, times);
     }},
    {"an owner that says nothing",
     [] {
       begin_half_open(1, 10 * kMs);
       // As if it had been killed before it could.
       group.words().owner[0].tag.store(0);
     },
     {[] {
        reap(0, kNow, everybody_lives);
        // Releases of the unrecorded are not told.
        CHECK(actors[0].deed.released == 0, actors[0].deed.released);
      },
      [] { acquire_and_complete(1, true); }, [] { complete(2, before[0], true); }},
     [](const Sums& sums) { CHECK(sums.counted_ok >= 1, sums.counted_ok); }},
    {"failures trip it",
     [] {
       begin_closed();
       fail(2);
     },
     {[] { complete(0, closed_permit(), false); }, [] { complete(1, closed_permit(), false); },
      [] { reap(2, kNow, everybody_lives); }},
     [](const Sums& sums) {
       CHECK(state_now() == BreakerState::kOpen && sums.counted_failed == 2, sums.counted_failed);
     }},
    {"failures trip it, beside a success",
     [] {
       begin_closed();
       fail(2);
     },
     {[] { complete(0, closed_permit(), false); }, [] { complete(1, closed_permit(), true); }},
     [](const Sums& sums) {
       CHECK(state_now() == BreakerState::kOpen && sums.counted_failed == 1, sums.counted_failed);
       CHECK(sums.counted_ok == 1, sums.counted_ok);
     }},
    {"failures trip it, in a window of calls",
     [] {
       begin_closed(of_calls());
       fail(2);
     },
     {[] { complete(0, closed_permit(), false); }, [] { complete(1, closed_permit(), false); },
      [] { by_hand(2, Manual::kForceOpen); }},
     [](const Sums& sums) {
       CHECK(state_now() == BreakerState::kForcedOpen && sums.by_hand == 1, sums.by_hand);
       CHECK(Control{group.words().control}.generation() <= at_first.generation() + 2);
     }},
    {"failures trip it, a reset and a trip undo and do",
     [] {
       begin_closed();
       fail(3);
     },
     {[] { complete(0, closed_permit(), false); }, [] { by_hand(1, Manual::kReset); },
      [] { by_hand(2, Manual::kTrip); }},
     [](const Sums& sums) {
       const BreakerState last = state_now();
       CHECK(last == BreakerState::kOpen || last == BreakerState::kClosed, last);
       CHECK(sums.by_hand >= 1, sums.by_hand);
     }},
    {"failures in a row, and one of an earlier time",
     [] {
       begin_closed(with_consecutive(2));
       fail(1);
     },
     {[] { complete(0, closed_permit(), false); },
      [] {
        by_hand(1, Manual::kReset);
        acquire_and_complete(1, false);
        acquire_and_complete(1, false);
      }},
     [](const Sums&) { CHECK(state_now() == BreakerState::kOpen); }},
    {"failures in a row, by two",
     [] { begin_closed(with_consecutive(2)); },
     {[] { complete(0, closed_permit(), false); }, [] { complete(1, closed_permit(), false); },
      [] { reap(2, kNow, everybody_lives); }},
     [](const Sums&) { CHECK(state_now() == BreakerState::kOpen); }},
    {"only watched, it would trip once",
     [] {
       begin_closed();
       breaker(kElder).by_hand(Manual::kMetricsOnly, kNow, {"elder", "first"});
       fail(3);
     },
     {[] { complete(0, closed_permit(), false); }, [] { complete(1, closed_permit(), false); },
      [] { reap(2, kNow, everybody_lives); }},
     [](const Sums&) {
       CHECK(state_now() == BreakerState::kMetricsOnly);
       const std::uint64_t told = group->events(0)->sequence + group->events(1)->sequence +
                                  group->events(2)->sequence;
       CHECK(told == 1, told);
     }},
    {"the settings change meanwhile",
     [] {
       begin_closed();
       fail(2);
     },
     {[] {
        BreakerSettings other = of_calls();
        other.window_calls = 6;
        other.min_calls = 5;
        breaker(0).configure(other, kNow);
      },
      [] { complete(1, closed_permit(), false); },
      [] {
        BreakerSettings read{};
        CHECK(breaker(2).read(read));
        const bool is_new = read.window == 1;
        CHECK((read.window_calls == 6) == is_new && (read.min_calls == 5) == is_new,
              read.window, read.window_calls);
      }},
     [](const Sums&) { CHECK(state_now() == BreakerState::kClosed); }},
    {"the global state",
     [] { begin_closed(); },
     {[] { Breakers(group.get()).derive(kNow, &actors[0].member->self()); },
      [] { Breakers(group.get()).derive(kNow, &actors[1].member->self()); },
      [] { by_hand(2, Manual::kTrip); },
      [] { actors[3].looking.emplace(group.get()).view(kNow); }},
     [](const Sums&) {
       // What it has kept is what there is now, as soon as it is told that something changed.
       Breakers looking = *actors[3].looking;
       const BreakersView seen = looking.view(kNow);
       CHECK(seen.blocked == 1, seen.blocked);
       CHECK(seen.global == static_cast<std::uint64_t>(GlobalState::kOpen), seen.global);
     },
     true},
};

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Choice chosen(count, arguments);
  for (const Scenario& scenario : kScenarios)
    if (chosen.has(scenario.name)) explore(scenario);
  return verdict();
}
