// Kills a process at every instruction of each operation on a breaker, and lets others go on.
//
// As in stage_kill_steps: the victim is stopped, others go on with the memory as a kill would have
// left it, and are judged; then the memory is put back, and the victim executes its next
// instruction. Each memory is judged twice: the owner of a permit is dead, or it lives and never
// answers.
//
// Arguments: the names of the operations; without any, all of them.

#include "breaker_group.hpp"
#include "stepping.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

constexpr std::int64_t kNow = 1'000 * kSecond;
constexpr std::int64_t kReaperTick = 10 * kMs;
constexpr unsigned kElderShard = 0, kVictimShard = 1;
constexpr Owner kElder{11, 1}, kVictim{12, 1}, kSuccessor{13, 1};

Group group;
BreakerSettings old_settings, new_settings;
Permit permit;              // what the victim completes
std::int64_t victim_now;    // the victim's clock

const auto everybody_lives = [](const Owner& owner) { return owner.pid != 0; };
const auto the_victim_is_dead = [](const Owner& owner) { return owner.pid == kElder.pid; };

/// What there is to see from outside.
struct Sight {
  Control control;
  Counts counts;
  std::uint64_t window_version = 0, admitted = 0, tallied = 0;
  std::vector<BreakerEvent> events;  // the victim's
};

Sight look() {
  Sight sight;
  BreakerWords& words = group.words();
  const Breaker breaker(&words, 0, &group->shards, nullptr);
  sight.control = breaker.control();
  sight.counts = breaker.counts(victim_now);
  VersionedSettings rules{};
  words.settings.read(rules);
  sight.window_version = rules.window_version;
  sight.admitted = words.shard[kVictimShard].admitted;
  sight.tallied = words.shard[kVictimShard].succeeded + words.shard[kVictimShard].failed;
  RingConsumer ring(&group->events(kVictimShard)->ring);
  BreakerEvent event;
  while (ring.pop(&event)) sight.events.push_back(event);
  return sight;
}

// --- Preparations ---

void begin_closed(const BreakerSettings& settings = small_settings()) {
  group.lay_out();
  victim_now = kNow;
  old_settings = new_settings = settings;
  Member elder(group, kElderShard, kElder);
  elder.breaker().configure(settings, kNow);
  elder.breaker().by_hand(Breaker::Manual::kInitialise, kNow, {"elder", "first"});
  permit = {elder.breaker().control().generation(), -1, Rejection::kNone, true, kNow};
}
void fail(unsigned times) {
  Member elder(group, kElderShard, kElder);
  for (unsigned i = 0; i < times; ++i) elder.breaker().fail_once(kNow);
}
void begin_open() {
  begin_closed();
  Member elder(group, kElderShard, kElder);
  elder.breaker().by_hand(Breaker::Manual::kTrip, kNow, {"elder", "x"});
  victim_now = kNow + 20 * kSecond;  // longer ago than anybody may stay in HALF_OPEN
}
/// `ended`: probes that are done, of which some have succeeded. The next permit is the victim's.
void begin_half_open(unsigned ended, unsigned succeeded, const BreakerSettings& settings) {
  begin_open();
  Member elder(group, kElderShard, kElder);
  Breaker breaker = elder.breaker();
  breaker.configure(settings, kNow);
  old_settings = new_settings = settings;
  for (unsigned i = 0; i < ended; ++i) {
    const Permit probe = breaker.acquire(victim_now, kElder, everybody_lives);
    breaker.complete(probe, i < succeeded, victim_now, 0);
  }
  permit = breaker.acquire(victim_now, kVictim, everybody_lives);
  CHECK(permit.index == static_cast<int>(ended), permit.index);
}
void begin_half_open(unsigned ended, unsigned succeeded) {
  begin_half_open(ended, succeeded, small_settings());
}
BreakerSettings of_calls() {
  BreakerSettings settings = small_settings();
  settings.window = 1;
  return settings;
}

// --- Victims ---

template <class Operation>
void step_through(Operation operation) {
  Member victim(group, kVictimShard, kVictim);
  Breaker breaker = victim.breaker();
  mark();
  operation(victim, breaker);
  mark();
}
void acquire() {
  step_through([](Member&, Breaker& breaker) {
    breaker.acquire(victim_now, kVictim, everybody_lives);
  });
}
template <bool Ok>
void complete() {
  step_through([](Member&, Breaker& breaker) { breaker.complete(permit, Ok, victim_now, 0); });
}
void reap() {
  step_through([](Member&, Breaker& breaker) { breaker.reap(victim_now, the_victim_is_dead); });
}
void reap_the_living() {
  step_through([](Member&, Breaker& breaker) { breaker.reap(victim_now, everybody_lives); });
}
template <Breaker::Manual Wanted>
void by_hand() {
  step_through([](Member&, Breaker& breaker) {
    breaker.by_hand(Wanted, victim_now, {"operator", "because it is a test"});
  });
}
void configure() {
  step_through([](Member&, Breaker& breaker) { breaker.configure(new_settings, victim_now); });
}
void derive() {
  step_through([](Member& victim, Breaker&) {
    Breakers(group.get()).derive(victim_now, &victim.self());
  });
}

struct Operation {
  const char* name;
  void (*prepare)();
  void (*victim)();
  unsigned outcomes;  // that it counts in the window
  bool by_hand = false;
};

// --- Those who go on ---

/// Nobody sees more probes in flight than there may be, nor a change that the table does not have.
class Watched {
 public:
  Watched(Member& member, const BreakerSettings& settings)
      : breaker_(member.breaker()), settings_(settings), last_(breaker_.control()) {}

  template <class Act>
  auto act(Act operation, bool by_hand = false) {
    const auto result = operation(breaker_);
    const Control now = breaker_.control();
    CHECK(is_legal(now, settings_), now.word);
    if (now.word != last_.word) CHECK(may_follow(last_, now, by_hand), last_.word, now.word);
    last_ = now;
    return result;
  }
  Permit acquire(std::int64_t now) {
    return act([&](Breaker& it) { return it.acquire(now, kSuccessor, everybody_lives); });
  }
  Completion complete(const Permit& given, bool ok, std::int64_t now) {
    return act([&](Breaker& it) { return it.complete(given, ok, now, 0); });
  }
  Control control() const { return last_; }

 private:
  Breaker breaker_;
  BreakerSettings settings_;
  Control last_;
};

/// The victim's permits come back in time, neither earlier than they may nor later than they must.
std::int64_t release_all(Member& reaper, bool owner_is_dead, const BreakerSettings& settings) {
  Breaker breaker = reaper.breaker();
  std::int64_t now = victim_now;
  const Control first = breaker.control();
  if (first.state() != BreakerState::kHalfOpen) return now;
  const unsigned out = first.probes().in_flight();
  unsigned recorded = 0, outlived = 0;
  for (unsigned i = 0; i < first.probes().issued; ++i) {
    if (first.probes().is_done(i)) continue;
    const PermitOwner& owner = group.words().owner[i];
    const bool is_recorded = Tagged::generation(owner.tag) == first.generation();
    recorded += is_recorded;
    CHECK(!is_recorded || (owner.pid == kVictim.pid && owner.started == kVictim.started), i);
    const std::uint64_t missing = group.words().missing[i];
    outlived += is_recorded ? static_cast<std::int64_t>(owner.lease_ns) < now
                            : Tagged::generation(missing) == first.generation();
  }
  const auto lease = static_cast<std::int64_t>(settings.lease_ns);
  const std::int64_t soonest =
      owner_is_dead && recorded != 0 ? now : now + std::min(kOrphanNs, lease);
  const std::int64_t latest =
      kReaperTick * 2 + now + (recorded == out ? (owner_is_dead ? 0 : lease) : kOrphanNs + lease);
  const std::uint64_t since = group.words().since;
  const bool is_known = Tagged::generation(since) == first.generation();
  const bool has_stayed =
      is_known && now - static_cast<std::int64_t>(Tagged::value(since)) * kTickNs >
                      static_cast<std::int64_t>(settings.max_stay_ns);
  const auto tick = [&] {
    return owner_is_dead ? breaker.reap(now, the_victim_is_dead)
                         : breaker.reap(now, everybody_lives);
  };
  for (;; now += kReaperTick) {
    const unsigned released = tick();
    const Control control = breaker.control();
    CHECK(released == 0 || outlived != 0 || now >= soonest, now - victim_now);
    if (control.generation() != first.generation()) {
      // A live owner has failed, and that was one too many; or there were no probes left.
      BreakerEvent last{};
      CHECK(TableReader(group->last()).read(kElderShard, &last).version != 0);
      CHECK(last.after == control.word, control.word);
      CHECK(is_next_generation(first, control), first.word, control.word);
      CHECK((last.cause == Cause::kMaxStay) == has_stayed || last.cause == Cause::kProbesFailed ||
                last.cause == Cause::kNoProbesLeft,
            last.cause);
      return now;
    }
    if (control.probes().in_flight() == 0) {
      const unsigned failed = control.probes().failed - first.probes().failed;
      CHECK(failed == (owner_is_dead ? 0 : recorded), failed, recorded);
      return now;
    }
    CHECK(now <= latest, now - victim_now, control.word);
    if (now > latest) return now;
  }
}

void reset(Watched& watched, std::int64_t now) {
  watched.act([&](Breaker& it) { return it.by_hand(Breaker::Manual::kReset, now, {"a", "b"}); },
              true);
}

/// From wherever it is, through its own rules or a reset.
std::int64_t close(Watched& watched, std::int64_t now) {
  for (int i = 0; i < 40 && watched.control().state() != BreakerState::kClosed; ++i) {
    switch (watched.control().state()) {
      case BreakerState::kOpen:
        now = std::max(now, static_cast<std::int64_t>(watched.control().payload()) * kTickNs);
        [[fallthrough]];
      case BreakerState::kHalfOpen: {
        const Permit probe = watched.acquire(now);
        CHECK(probe, watched.control().word);
        CHECK(watched.complete(probe, true, now) == Completion::kCounted, watched.control().word);
        break;
      }
      default:
        reset(watched, now);
    }
  }
  CHECK(watched.control().state() == BreakerState::kClosed, watched.control().word);
  return now;
}

/// And it still does what it is for.
std::int64_t trip(Watched& watched, std::int64_t now, std::uint64_t calls) {
  for (std::uint64_t i = 0; i < calls; ++i) {
    CHECK(watched.control().state() == BreakerState::kClosed, i, watched.control().word);
    const Permit call = watched.acquire(now);
    CHECK(call && watched.complete(call, false, now) == Completion::kCounted, i);
  }
  CHECK(watched.control().state() == BreakerState::kOpen, watched.control().word);
  CHECK(!watched.acquire(now));
  return now;
}

/// An author's events have growing numbers; those of the successor are beyond the victim's.
void judge_events() {
  for (unsigned shard = 0; shard < kParticipants; ++shard) {
    RingConsumer ring(&group->events(shard)->ring);
    BreakerEvent event;
    std::uint64_t next = 0;
    while (ring.pop(&event)) {
      CHECK(is_sound(event) && event.sequence >= next, shard, event.sequence, next);
      next = event.sequence + 1;
    }
    CHECK(!ring.is_corrupt() && next <= group->events(shard)->sequence, shard);
    ring.commit(ring.pending());
  }
}

/// Who looks after the cached one has become old is given what follows from the word.
void judge_global() {
  const Control control{group.words().control};
  const std::uint64_t derived = group->global & Breakers::kTimeMask;
  const auto since = std::max(static_cast<std::int64_t>(derived), victim_now);
  const GlobalState is = Breakers(group.get()).state(since + kGlobalAgeNs + 1);
  const GlobalState expected = control.is_open()     ? GlobalState::kOpen
                               : control.is_blocked() ? GlobalState::kDegraded
                                                      : GlobalState::kClosed;
  CHECK(is == expected, is, control.word);
}

void judge(const Operation& operation, const Sight& before, const Sight& after, bool complete,
           bool owner_is_dead) {
  // The settings: the old or the new.
  VersionedSettings rules{};
  CHECK(group.words().settings.read(rules) != 0);
  const BreakerSettings& settings = rules.settings;
  CHECK(is_same(settings, old_settings) || is_same(settings, new_settings));
  CHECK(!complete || is_same(settings, new_settings));
  if (failures != 0) return;  // whoever goes on with them divides by what may be 0
  const Sight seen = look();
  CHECK(group.is_sound());
  // The word: as it was, or as the operation makes it. Only a reaper makes it so by several steps.
  const bool is_either =
      seen.control.word == before.control.word || seen.control.word == after.control.word;
  CHECK(is_either || may_follow(before.control, seen.control, operation.by_hand),
        before.control.word, seen.control.word);
  CHECK(!complete || seen.control.word == after.control.word, seen.control.word);
  // An outcome is counted once or not at all, and never in another generation.
  if (seen.control.generation() != before.control.generation()) {
    CHECK(seen.counts.tally.calls == 0, seen.counts.tally.calls);
  } else if (seen.window_version == before.window_version) {
    const std::uint64_t calls = seen.counts.tally.calls - before.counts.tally.calls;
    const std::uint64_t failed = seen.counts.tally.failures - before.counts.tally.failures;
    CHECK(calls <= operation.outcomes && failed <= calls, calls, failed);
    CHECK(!complete || calls == operation.outcomes, calls);
    const std::uint64_t in_a_row = seen.counts.consecutive;
    CHECK(in_a_row == before.counts.consecutive || in_a_row == 0 ||
              in_a_row == before.counts.consecutive + operation.outcomes,
          in_a_row);
  }
  CHECK(seen.admitted - before.admitted <= after.admitted - before.admitted, seen.admitted);
  CHECK(seen.tallied - before.tallied <= after.tallied - before.tallied, seen.tallied);
  // Its events are the first of those that it would have told. Only the settings' number may lag.
  CHECK(seen.events.size() <= after.events.size(), seen.events.size());
  for (std::size_t i = 0; i < seen.events.size() && i < after.events.size(); ++i)
    CHECK(std::memcmp(&seen.events[i], &after.events[i], sizeof(BreakerEvent)) == 0, i);
  CHECK(!complete || seen.events.size() == after.events.size(), seen.events.size());
  BreakerEvent last;
  const auto row = TableReader(group->last()).read(kVictimShard, &last);
  CHECK(row.version == 0 || is_sound(last), last.before, last.after);
  judge_global();

  // The world goes on, with a new process in the victim's place.
  Member reaper(group, kElderShard, kElder);
  Member successor(group, kVictimShard, kSuccessor);
  std::int64_t now = release_all(reaper, owner_is_dead, settings);
  if (permit.index >= 0) {
    // A late answer of the victim's, if it lived: its permit is done by now, however it came about.
    const Control then = reaper.breaker().control();
    CHECK(reaper.breaker().complete(permit, true, now, 0) == Completion::kStale, then.word);
    CHECK(reaper.breaker().control().word == then.word, then.word);
  }
  Watched watched(successor, settings);
  now = close(watched, now);
  reset(watched, now);
  const std::uint64_t calls = settings.consecutive != 0 ? settings.consecutive : settings.min_calls;
  for (int i = 0; i < 2; ++i) {
    now = trip(watched, now, calls);
    judge_global();
    now = close(watched, now);
    judge_global();
  }
  judge_events();
}

using Memory = std::vector<unsigned char>;
Memory memory_now() { return {group.memory().begin(), group.memory().end()}; }
bool is_unchanged(const Memory& memory) {
  return std::memcmp(group.memory().data(), memory.data(), memory.size()) == 0;
}
void put_back(const Memory& memory) {
  std::memcpy(group.memory().data(), memory.data(), memory.size());
}

void kill_at_every_instruction(const Operation& operation) {
  operation.prepare();
  take_events(group);
  const Memory at_first = memory_now();
  const Sight before = look();
  {
    Stepped whole(operation.victim);
    whole.finish();
  }
  const Sight after = look();
  put_back(at_first);

  std::uint64_t instructions = 0, memories = 0;
  Memory left;
  Stepped victim(operation.victim);
  for (bool complete = false; failures == 0; complete = !victim.step(), ++instructions) {
    if (complete || left.empty() || !is_unchanged(left)) {
      left = memory_now();
      ++memories;
      for (const bool owner_is_dead : {true, false}) {
        judge(operation, before, after, complete, owner_is_dead);
        put_back(left);
      }
    }
    if (complete) break;
  }
  std::printf("%-40s %6llu instructions %4llu memories\n", operation.name,
              static_cast<unsigned long long>(instructions),
              static_cast<unsigned long long>(memories));
  if (failures != 0) std::fprintf(stderr, "after a kill in: %s\n", operation.name);
}

// --- Operations ---

using Manual = Breaker::Manual;

const Operation kOperations[] = {
    {"acquire, closed", [] { begin_closed(); }, acquire, 0},
    {"complete, closed",
     [] {
       begin_closed();
       fail(1);
     },
     complete<true>, 1},
    {"complete, closed, over an old bucket",
     [] {
       begin_closed();
       Member victim(group, kVictimShard, kVictim);
       for (int i = 0; i < 3; ++i) victim.breaker().fail_once(kNow);
       victim_now = kNow + 10 * kSecond;
     },
     complete<false>, 1},
    {"complete, which trips",
     [] {
       begin_closed();
       fail(3);
     },
     complete<false>, 1},
    {"complete, which trips a window of calls",
     [] {
       begin_closed(of_calls());
       fail(3);
     },
     complete<false>, 1},
    {"complete, which trips by failures in a row",
     [] {
       BreakerSettings settings = small_settings();
       settings.min_calls = 50;
       settings.consecutive = 3;
       begin_closed(settings);
       fail(2);
     },
     complete<false>, 1},
    {"complete, only watched",
     [] {
       begin_closed();
       Member elder(group, kElderShard, kElder);
       elder.breaker().by_hand(Manual::kMetricsOnly, kNow, {"elder", "x"});
       permit.generation = elder.breaker().control().generation();
       fail(3);
     },
     complete<false>, 1},
    {"acquire, the cooldown is over", [] { begin_open(); }, acquire, 0},
    {"acquire a probe",
     [] {
       begin_half_open(1, 1);
       Member elder(group, kElderShard, kElder);
       elder.breaker().complete(permit, false, victim_now, 0);
     },
     acquire, 0},
    {"acquire, exhausted",
     [] {
       begin_half_open(0, 0);
       Member elder(group, kElderShard, kElder);
       elder.breaker().acquire(victim_now, kVictim, everybody_lives);
       victim_now += 400 * kMs;
     },
     acquire, 0},
    {"complete a probe", [] { begin_half_open(0, 0); }, complete<true>, 0},
    {"a probe's success decides", [] { begin_half_open(1, 1); }, complete<true>, 0},
    {"a probe's failure decides", [] { begin_half_open(1, 0); }, complete<false>, 0},
    {"reap the dead", [] { begin_half_open(1, 1); }, reap, 0},
    {"reap those beyond their lease",
     [] {
       begin_half_open(1, 0);
       victim_now += 400 * kMs;
     },
     reap_the_living, 0},
    {"reap who has never said who it is",
     [] {
       begin_half_open(1, 1);
       group.words().owner[permit.index].tag.store(0);
     },
     reap_the_living, 0},
    {"reap after too long a stay",
     [] {
       begin_half_open(1, 1);
       Member elder(group, kElderShard, kElder);
       elder.breaker().reap(victim_now, the_victim_is_dead);
       victim_now += 11 * kSecond;
     },
     reap, 0},
    {"reap without a beginning",
     [] {
       begin_half_open(1, 1);
       group.words().since.store(Tagged::make(1, 1));
     },
     reap_the_living, 0},
    {"reap a window that trips",
     [] {
       begin_closed();
       BreakerSettings patient = small_settings();
       patient.min_calls = 50;
       Member elder(group, kElderShard, kElder);
       elder.breaker().configure(patient, kNow);
       fail(4);
       elder.breaker().configure(small_settings(), kNow);
     },
     reap, 0},
    {"trip", [] { begin_closed(); }, by_hand<Manual::kTrip>, 0, true},
    {"trip, half-open", [] { begin_half_open(1, 1); }, by_hand<Manual::kTrip>, 0, true},
    {"reset", [] { begin_half_open(1, 1); }, by_hand<Manual::kReset>, 0, true},
    {"force open", [] { begin_half_open(1, 1); }, by_hand<Manual::kForceOpen>, 0, true},
    {"disable", [] { begin_closed(); }, by_hand<Manual::kDisable>, 0, true},
    {"configure",
     [] {
       begin_closed();
       fail(2);
       new_settings.cooldown_ns = 200 * kMs;
       new_settings.min_calls = 6;
     },
     configure, 0},
    {"configure, another window",
     [] {
       begin_closed();
       fail(2);
       new_settings = of_calls();
       new_settings.min_calls = 5;
     },
     configure, 0},
    {"tell, and there is no room",
     [] {
       begin_closed();
       Member victim(group, kVictimShard, kVictim);
       for (std::uint64_t i = 0; i < EventWords::kCapacity; ++i)
         victim.breaker().configure(small_settings(), kNow);
     },
     by_hand<Manual::kTrip>, 0, true},
    {"derive the global state",
     [] {
       begin_closed();
       Breakers(group.get()).derive(kNow);
       Member elder(group, kElderShard, kElder);
       elder.breaker().by_hand(Manual::kTrip, kNow, {"elder", "x"});
     },
     derive, 0},
};

}  // namespace

int main(int count, char** arguments) {
  Choice chosen(count, arguments);
  share_one_core();
  for (const Operation& operation : kOperations)
    if (failures == 0 && chosen.has(operation.name)) kill_at_every_instruction(operation);
  return verdict();
}
