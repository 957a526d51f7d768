// A circuit breaker that all processes share: it lets calls through while they succeed, none after too
// many have failed, and after a pause a few probes, which decide.
//
// Every transition is one compare-and-swap of one word (breaker_word.hpp), so whoever is killed has
// made it or has not. What surrounds the word (who holds a permit, since when, why) may be missing
// after a kill, and the reaper copes with each such gap.
//
// shm/reference/breaker.py is the same in slow, obvious Python.
#pragma once

#include <optional>
#include <string_view>

#include "breaker_events.hpp"

namespace bot4::shm {

inline constexpr unsigned kParticipants = 16;
inline constexpr std::int64_t kOrphanNs = 50'000'000;  // until an unrecorded permit is given up
/// Older permits are refused whatever their generation: by then it may be another of the same number.
inline constexpr std::int64_t kLargestLeaseNs = kTickNs << 22;  // 73 minutes

enum class Rejection : std::uint8_t { kNone = 0, kOpen = 1, kExhausted = 2, kForcedOpen = 3, kUninit = 4 };
enum class Completion : std::uint8_t { kCounted = 1, kStale = 2, kUncounted = 3 };

struct Permit {
  std::uint64_t generation = 0;
  std::int32_t index = -1;  // in HALF_OPEN
  Rejection rejection = Rejection::kNone;
  bool counted = true;
  std::int64_t issued_ns = 0;

  explicit operator bool() const { return rejection == Rejection::kNone; }
};

/// Who holds a permit of HALF_OPEN. Only the reaper reads it.
struct PermitOwner {
  Word tag;  // [generation:20][tick:44]; stored last, 0 while the rest is written
  Word pid, started;
  Word lease_ns;  // until when
};

/// What a participant alone writes of a breaker.
struct alignas(kCacheLine) BreakerShard {
  TimeShard window;
  // On lines that only the reader of the totals takes away, not each evaluation.
  alignas(kCacheLine) Word admitted;
  Word rejected, succeeded, failed, slow, stale, uncounted;
};

struct BreakerWords {
  alignas(kCacheLine) Word control;
  alignas(kCacheLine) Word since;        // Tagged: the tick at which the generation began
  Word consecutive;                      // Tagged: failures in a row
  Word told;                             // Tagged: 1 once METRICS_ONLY has said that it would trip
  Word faults;                           // outcomes, failed or slow, that windows have counted
  Word reaped_ns;                        // when an acquirer last ran the reaper
  alignas(kCacheLine) PermitOwner owner[kPermits];
  alignas(kCacheLine) Word missing[kPermits];  // Tagged: the tick at which the owner was found missing
  BreakerSettingsWords settings;
  CallWindow calls;
  BreakerShard shard[kParticipants];
};

/// What a participant needs to act: its identity, and where it tells of what it does.
struct Participant {
  Owner owner;
  unsigned shard;
  EventWriter events;
  TableWriter last;       // transitions: row breaker * kParticipants + shard
  Word* shards;           // bit i: shard i has been used
  Word* changes;          // counts transitions of all breakers
};

/// The figures of the current generation's window.
struct Counts {
  Tally tally;
  std::uint64_t consecutive = 0;
  RateVerdict verdict = RateVerdict::kMinCallsNotMet;
};

/// Who makes a transition by hand, and why.
struct Reason {
  std::string_view actor, text;
};

/// One participant's hold on a breaker; for one thread, because it remembers what it has seen.
class Breaker {
 public:
  /// `self` may be null for one who only looks.
  Breaker(BreakerWords* words, std::uint32_t index, const Word* shards, Participant* self)
      : words_(words), shards_(shards), self_(self), index_(index) {}

  Control control() const { return {words_->control.load(std::memory_order_acquire)}; }

  // --- calls ----------------------------------------------------------------------------------

  /// Asks for a permit, for this process or on behalf of another. `alive` is asked about owners of
  /// permits if HALF_OPEN is exhausted.
  template <class Alive>
  Permit acquire(std::int64_t now, const Owner& owner, Alive&& alive) {
    bool reaped = false;
    for (;;) {
      const Control seen = control();
      switch (seen.state()) {
        case BreakerState::kClosed:
        case BreakerState::kMetricsOnly: return admit(seen, -1, now, true);
        case BreakerState::kDisabled: return admit(seen, -1, now, false);
        case BreakerState::kForcedOpen: return reject(Rejection::kForcedOpen, seen, now);
        case BreakerState::kOpen: {
          if (tick_of(now) < seen.payload()) return reject(Rejection::kOpen, seen, now);
          const Control half = seen.next(BreakerState::kHalfOpen, seen.attempt(),
                                         Probes{1, 0, 0, 0}.payload());
          if (!change(seen, half, Cause::kCooldownOver, now, {})) continue;
          record_owner(half, 0, owner, now);
          return admit(half, 0, now, true);
        }
        case BreakerState::kHalfOpen: {
          const VersionedSettings* rules = current();
          if (rules == nullptr) return reject(Rejection::kUninit, seen, now);
          Probes probes = seen.probes();
          if (probes.issued >= kPermits || probes.in_flight() >= rules->settings.probes) {
            if (reaped || !may_reap(now)) return reject(Rejection::kExhausted, seen, now);
            reap(now, alive);
            reaped = true;
            continue;
          }
          const unsigned mine = probes.issued++;
          if (!swap(seen, seen.with(probes))) continue;
          record_owner(seen, mine, owner, now);
          return admit(seen, static_cast<std::int32_t>(mine), now, true);
        }
        default: return reject(Rejection::kUninit, seen, now);
      }
    }
  }

  /// Says how an admitted call ended. It counts only if nothing has changed since it began.
  Completion complete(const Permit& permit, bool ok, std::int64_t now, std::int64_t duration) {
    const Control seen = control();
    const VersionedSettings* rules = current();
    if (!permit || permit.generation != seen.generation() ||
        now - permit.issued_ns > kLargestLeaseNs || rules == nullptr)
      return stale();
    const BreakerSettings& settings = rules->settings;
    const bool slow =
        settings.has_slow_rule() && duration > static_cast<std::int64_t>(settings.slow_ns);
    if (seen.counts() && permit.index < 0) {
      count(seen, *rules, outcome_of(ok, slow), now);
      return Completion::kCounted;
    }
    if (seen.state() == BreakerState::kHalfOpen && permit.index >= 0 &&
        permit.index < static_cast<std::int32_t>(kPermits)) {
      const bool good = ok && !slow;
      if (!finish(permit.generation, static_cast<unsigned>(permit.index),
                  good ? Result::kSucceeded : Result::kFailed, settings, now))
        return stale();
      tally(outcome_of(ok, slow));
      return Completion::kCounted;
    }
    if (seen.state() == BreakerState::kDisabled) {
      add_single_writer(shard().uncounted, 1);
      return Completion::kUncounted;
    }
    return stale();
  }

  /// One failure without a call: a process died.
  Completion fail_once(std::int64_t now) {
    const Control seen = control();
    const VersionedSettings* rules = current();
    if (!seen.counts() || rules == nullptr) {
      add_single_writer(shard().uncounted, 1);
      return Completion::kUncounted;
    }
    count(seen, *rules, Outcome::kFailed, now);
    return Completion::kCounted;
  }

  // --- the reaper -----------------------------------------------------------------------------

  /// One tick of the reaper; returns how many permits it gave back. `alive(owner)` says whether a
  /// process still exists.
  template <class Alive>
  unsigned reap(std::int64_t now, Alive&& alive) {
    const Control seen = control();
    const VersionedSettings* rules = current();
    if (rules == nullptr) return 0;
    const BreakerSettings& settings = rules->settings;
    // Whoever changed the state was killed before it said when: it is now, at the latest.
    if (Tagged::generation(words_->since.load(std::memory_order_relaxed)) != seen.generation())
      words_->since.store(Tagged::make(seen.generation(), tick_of(now)), std::memory_order_relaxed);
    if (seen.counts()) {
      // Whoever counted the outcome that trips it may have been killed before it looked.
      evaluate(seen, *rules, window_number(settings, now), now);
      return 0;
    }
    if (seen.state() != BreakerState::kHalfOpen) return 0;
    unsigned released = 0;
    const Probes probes = seen.probes();
    for (unsigned i = 0; i < probes.issued; ++i) {
      if (probes.is_done(i)) continue;
      const std::optional<Result> result = judge_owner(seen, i, now, alive);
      if (!result) continue;
      // Told only by the one whose swap it was: the owner, or another reaper, may be faster.
      BreakerEvent event = about(*result == Result::kFailed ? EventKind::kLeaseExpired
                                                            : EventKind::kOwnerDied,
                                 Cause::kNone, seen, seen, now, {});
      BreakerEvent* const told = *result == Result::kOrphaned ? nullptr : &event;
      if (finish(seen.generation(), i, *result, settings, now, told)) ++released;
    }
    const Control now_seen = control();
    if (now_seen.generation() != seen.generation()) return released;
    const std::uint64_t since = words_->since.load(std::memory_order_relaxed);
    if (Tagged::generation(since) == seen.generation() &&
        tick_of(now) - Tagged::value(since) > tick_of(static_cast<std::int64_t>(settings.max_stay_ns)) &&
        tick_of(now) > Tagged::value(since))
      open(now_seen, now_seen.attempt() + 1, Cause::kMaxStay, settings, now, {});
    return released;
  }

  // --- by hand --------------------------------------------------------------------------------

  enum class Manual : std::uint8_t { kReset, kTrip, kForceOpen, kDisable, kMetricsOnly, kInitialise };
  enum class Answer : std::uint8_t { kDone, kNothingToDo, kIllegal, kNoSettings };

  /// Carries out what an operator, or the supervisor, wants; the table is in the reference.
  Answer by_hand(Manual wanted, std::int64_t now, const Reason& reason) {
    BreakerSettings settings{};
    if (!read(settings) && wanted != Manual::kForceOpen) return Answer::kNoSettings;
    for (;;) {
      const Control seen = control();
      const BreakerState state = seen.state();
      const bool uninit = state == BreakerState::kUninit || state == BreakerState::kInvalid;
      const bool forced = state == BreakerState::kForcedOpen;
      Control to;
      Cause cause;
      switch (wanted) {
        case Manual::kInitialise:
          if (!uninit) return Answer::kNothingToDo;
          to = seen.next(BreakerState::kClosed, 0, tick_of(now));
          cause = Cause::kInitialised;
          break;
        case Manual::kReset:
          to = seen.next(BreakerState::kClosed, 0, tick_of(now));
          cause = Cause::kReset;
          break;
        case Manual::kTrip: {
          if (uninit || forced) return Answer::kIllegal;
          const bool half = state == BreakerState::kHalfOpen;
          const unsigned attempt = half || state == BreakerState::kOpen ? seen.attempt() + half : 0;
          to = opened(seen, attempt, settings, now);
          if (state == BreakerState::kOpen && to.payload() <= seen.payload())
            return Answer::kNothingToDo;
          cause = Cause::kTripped;
          break;
        }
        case Manual::kForceOpen:
          if (forced) return Answer::kNothingToDo;
          to = seen.next(BreakerState::kForcedOpen, 0, tick_of(now));
          cause = Cause::kForcedOpen;
          break;
        case Manual::kDisable:
          if (uninit || forced) return Answer::kIllegal;
          if (state == BreakerState::kDisabled) return Answer::kNothingToDo;
          to = seen.next(BreakerState::kDisabled, 0, tick_of(now));
          cause = Cause::kDisabled;
          break;
        default:
          if (uninit || forced) return Answer::kIllegal;
          if (state == BreakerState::kMetricsOnly) return Answer::kNothingToDo;
          to = seen.next(BreakerState::kMetricsOnly, 0, tick_of(now));
          cause = Cause::kMetricsOnly;
      }
      if (change(seen, to, cause, now, counts(now), reason)) return Answer::kDone;
    }
  }

  /// Replaces the settings; one process at a time.
  void configure(const BreakerSettings& settings, std::int64_t now) {
    words_->settings.write(settings);
    const Control seen = control();
    BreakerEvent event = about(EventKind::kReloaded, Cause::kReloaded, seen, seen, now, {});
    self_->events.push(event);
  }

  // --- looking --------------------------------------------------------------------------------

  Counts counts(std::int64_t now) const {
    VersionedSettings rules;
    if (words_->settings.read(rules) == 0) return {};
    return count_up(control(), rules, window_number(rules.settings, now));
  }

  bool read(BreakerSettings& settings) const {
    VersionedSettings rules;
    if (words_->settings.read(rules) == 0) return false;
    settings = rules.settings;
    return true;
  }

  std::uint32_t index() const { return index_; }
  const BreakerWords& words() const { return *words_; }

 private:
  /// The last two are neutral: a dead owner, and one that was never recorded.
  enum class Result : std::uint8_t { kSucceeded, kFailed, kDied, kOrphaned };

  BreakerShard& shard() const { return words_->shard[self_->shard]; }

  /// The settings in force, copied only when there are others than the last time; null if there are
  /// none.
  const VersionedSettings* current() {
    // Acquire: what is remembered of this version stays true, what is newer is read after it.
    if (words_->settings.version.load(std::memory_order_acquire) != version_) [[unlikely]]
      version_ = words_->settings.read(rules_);
    return version_ != 0 ? &rules_ : nullptr;
  }

  Permit admit(Control seen, std::int32_t index, std::int64_t now, bool counted) {
    add_single_writer(shard().admitted, 1);
    return {seen.generation(), index, Rejection::kNone, counted, now};
  }
  Permit reject(Rejection why, Control seen, std::int64_t now) {
    add_single_writer(shard().rejected, 1);
    return {seen.generation(), -1, why, false, now};
  }
  Completion stale() {
    add_single_writer(shard().stale, 1);
    return Completion::kStale;
  }
  void tally(Outcome outcome) {
    const auto bits = static_cast<unsigned>(outcome);
    add_single_writer(bits & 1 ? shard().failed : shard().succeeded, 1);
    if (bits & 2) add_single_writer(shard().slow, 1);
  }

  /// The one place where the control word changes. Sequentially consistent, which is a release of all
  /// that led to it and an acquire of what others did before.
  bool swap(Control from, Control to) {
    return words_->control.compare_exchange_strong(from.word, to.word, std::memory_order_seq_cst);
  }

  /// A change of state; tells of it if it was this one that made it, and of what led to it first.
  bool change(Control from, Control to, Cause cause, std::int64_t now, const Counts& counts,
              const Reason& reason = {}, BreakerEvent* first = nullptr) {
    if (!swap(from, to)) return false;
    if (control().generation() == to.generation())
      words_->since.store(Tagged::make(to.generation(), tick_of(now)), std::memory_order_relaxed);
    self_->changes->fetch_add(1, std::memory_order_release);
    if (first != nullptr) self_->events.push(*first);
    BreakerEvent event = about(EventKind::kTransition, cause, from, to, now, counts);
    copy_text(event.actor, reason.actor);
    copy_text(event.reason, reason.text);
    self_->events.push(event);
    self_->last.write(index_ * kParticipants + self_->shard, &event);
    return true;
  }

  Control opened(Control seen, unsigned attempt, const BreakerSettings& settings,
                 std::int64_t now) const {
    attempt = std::min(attempt, Control::kMostAttempts);
    const std::uint64_t generation = (seen.generation() + 1) & (Control::kGenerations - 1);
    return seen.next(BreakerState::kOpen, attempt,
                     tick_after(now + cooldown_ns(settings, attempt, generation)));
  }
  bool open(Control seen, unsigned attempt, Cause cause, const BreakerSettings& settings,
            std::int64_t now, const Counts& counts, BreakerEvent* first = nullptr) {
    return change(seen, opened(seen, attempt, settings, now), cause, now, counts, {}, first);
  }

  // In CLOSED and METRICS_ONLY.

  void count(Control seen, const VersionedSettings& rules, Outcome outcome, std::int64_t now) {
    const WindowTag tag{seen.generation(), rules.window_version};
    const std::uint64_t number = window_number(rules.settings, now);
    const bool failed = (static_cast<unsigned>(outcome) & 1) != 0;
    count_consecutive(seen.generation(), failed);
    if (rules.settings.counts_calls()) words_->calls.count(tag, outcome);
    else shard().window.count(tag, number, outcome);
    // Behind the window's store: whoever has seen the number of faults finds all of them counted.
    if (outcome != Outcome::kOk) words_->faults.fetch_add(1, std::memory_order_seq_cst);
    tally(outcome);
    // Where nothing but successes has come since an evaluation passed, and nothing has gone because
    // time went on, the rates are lower than they were then: another would find the same. (A fault
    // of one who was killed before it said so waits for the reaper, which always evaluates.)
    const Passed passing{seen.generation(), version_, number,
                         words_->faults.load(std::memory_order_seq_cst)};
    if (passing == passed_) return;
    passed_ = evaluate(seen, rules, number, now) ? passing : Passed{};
  }

  void count_consecutive(std::uint64_t generation, bool failed) {
    // Acquire: whether this generation has ended is looked at after the count that it would go to.
    std::uint64_t seen = words_->consecutive.load(std::memory_order_acquire);
    for (;;) {
      // A late outcome must not begin another generation's count anew. If one begins after this
      // look, its count is another word, and the swap fails.
      if (control().generation() != generation) return;
      const std::uint64_t so_far =
          Tagged::generation(seen) == generation ? Tagged::value(seen) : 0;
      const std::uint64_t wanted = Tagged::make(generation, failed ? so_far + 1 : 0);
      // A success after a success leaves the line shared.
      if (wanted == seen ||
          words_->consecutive.compare_exchange_weak(seen, wanted, std::memory_order_seq_cst))
        return;
    }
  }

  /// Which stretch of time it is; 0 always where calls are counted.
  static std::uint64_t window_number(const BreakerSettings& settings, std::int64_t now) {
    if (settings.counts_calls()) return 0;
    return static_cast<std::uint64_t>(now) / (settings.window_ns / TimeShard::kBuckets);
  }

  Counts count_up(Control seen, const VersionedSettings& rules, std::uint64_t number) const {
    Counts counts;
    const WindowTag tag{seen.generation(), rules.window_version};
    if (rules.settings.counts_calls()) {
      words_->calls.add_to(counts.tally, tag, rules.settings.window_calls);
    } else {
      for (std::uint64_t left = shards_->load(std::memory_order_seq_cst); left != 0; left &= left - 1)
        words_->shard[std::countr_zero(left)].window.add_to(counts.tally, tag, number);
    }
    const std::uint64_t consecutive = words_->consecutive.load(std::memory_order_seq_cst);
    if (Tagged::generation(consecutive) == seen.generation())
      counts.consecutive = Tagged::value(consecutive);
    counts.verdict = judge(counts.tally, rules.settings);
    return counts;
  }

  /// Applies the rules to what the window holds. True if they passed, and will for as long as only
  /// successes are added.
  bool evaluate(Control seen, const VersionedSettings& rules, std::uint64_t number,
                std::int64_t now) {
    const BreakerSettings& settings = rules.settings;
    const Counts counts = count_up(seen, rules, number);
    Cause cause = Cause::kNone;
    if (settings.consecutive != 0 && counts.consecutive >= settings.consecutive)
      cause = Cause::kConsecutive;
    else if (counts.verdict == RateVerdict::kFailureRate) cause = Cause::kFailureRate;
    else if (counts.verdict == RateVerdict::kSlowRate) cause = Cause::kSlowRate;
    if (cause == Cause::kNone) {
      // With fewer calls than have a rate, the next success may be the one that gives it one.
      return counts.verdict == RateVerdict::kPassed ||
             (counts.tally.failures == 0 && counts.tally.slow == 0);
    }
    // If the word has changed since, somebody else has decided, and these outcomes are history.
    if (seen.state() == BreakerState::kClosed) open(seen, 0, cause, settings, now, counts);
    else tell_once(seen, cause, now, counts);
    return false;
  }

  void tell_once(Control seen, Cause cause, std::int64_t now, const Counts& counts) {
    std::uint64_t told = words_->told.load(std::memory_order_acquire);
    const std::uint64_t wanted = Tagged::make(seen.generation(), 1);
    // As for consecutive failures: not over the mark of a later generation.
    if (told == wanted || control().generation() != seen.generation() ||
        !words_->told.compare_exchange_strong(told, wanted))
      return;
    BreakerEvent event = about(EventKind::kWouldTrip, cause, seen, seen, now, counts);
    self_->events.push(event);
  }

  // In HALF_OPEN.

  /// Records who was given a permit. Killed before the tag, it has recorded nobody.
  void record_owner(Control seen, unsigned index, const Owner& owner, std::int64_t now) {
    const VersionedSettings* rules = current();
    const std::uint64_t lease_ns = rules == nullptr ? 0 : rules->settings.lease_ns;
    PermitOwner& entry = words_->owner[index];
    // One that was held up for long would write over the owner of another episode. (Held up right
    // behind this look it still would: that permit is then given back early. Only a pause does that,
    // not a kill, and the word itself never has more permits out than it may.)
    if (control().generation() != seen.generation()) return;
    entry.tag.store(0, std::memory_order_relaxed);
    // Releases, so that none of them passes the tag's going; see store_record.
    entry.pid.store(owner.pid, std::memory_order_release);
    entry.started.store(owner.started, std::memory_order_release);
    entry.lease_ns.store(static_cast<std::uint64_t>(now) + lease_ns, std::memory_order_release);
    entry.tag.store(Tagged::make(seen.generation(), tick_of(now)), std::memory_order_release);
  }

  /// Marks a permit as done, with its result and whatever that decides, in one swap, and tells of
  /// it by `event`. False if it was done already, or belongs to another generation.
  bool finish(std::uint64_t generation, unsigned index, Result result,
              const BreakerSettings& settings, std::int64_t now, BreakerEvent* event = nullptr) {
    for (;;) {
      const Control seen = control();
      if (seen.state() != BreakerState::kHalfOpen || seen.generation() != generation) return false;
      Probes probes = seen.probes();
      if (index >= probes.issued || probes.is_done(index)) return false;
      probes.done |= 1u << index;
      if (result == Result::kSucceeded) ++probes.succeeded;
      if (result == Result::kFailed) ++probes.failed;
      Counts counts;
      counts.tally = {probes.succeeded + probes.failed, probes.failed, 0};
      if (probes.succeeded >= settings.successes) {
        if (change(seen, seen.next(BreakerState::kClosed, 0, tick_of(now)), Cause::kProbesSucceeded,
                   now, counts, {}, event))
          return true;
      } else if (probes.failed > settings.failures) {
        if (open(seen, seen.attempt() + 1, Cause::kProbesFailed, settings, now, counts, event))
          return true;
      } else if (probes.issued == kPermits && probes.in_flight() == 0) {
        if (open(seen, seen.attempt() + 1, Cause::kNoProbesLeft, settings, now, counts, event))
          return true;
      } else if (swap(seen, seen.with(probes))) {
        if (event != nullptr) self_->events.push(*event);
        return true;
      }
    }
  }

  /// What the reaper makes of a permit that is out; nothing while its owner may still answer.
  template <class Alive>
  std::optional<Result> judge_owner(Control seen, unsigned index, std::int64_t now, Alive&& alive) {
    PermitOwner& entry = words_->owner[index];
    const std::uint64_t tag = entry.tag.load(std::memory_order_acquire);
    if (tag == 0 || Tagged::generation(tag) != seen.generation()) {
      // It was killed before it could say who it is, or is about to.
      const std::uint64_t missing = words_->missing[index].load(std::memory_order_relaxed);
      if (Tagged::generation(missing) != seen.generation() || missing == 0) {
        words_->missing[index].store(Tagged::make(seen.generation(), tick_of(now)),
                                     std::memory_order_relaxed);
        return std::nullopt;
      }
      if (tick_of(now) <= Tagged::value(missing) + tick_of(kOrphanNs)) return std::nullopt;
      return Result::kOrphaned;
    }
    const Owner owner{entry.pid.load(std::memory_order_acquire),
                      entry.started.load(std::memory_order_acquire)};
    const auto lease = static_cast<std::int64_t>(entry.lease_ns.load(std::memory_order_acquire));
    if (entry.tag.load(std::memory_order_relaxed) != tag) return std::nullopt;
    if (!alive(owner)) return Result::kDied;
    if (now <= lease) return std::nullopt;
    return Result::kFailed;
  }

  /// Acquirers that find HALF_OPEN exhausted run the reaper, but not each of them each time.
  bool may_reap(std::int64_t now) {
    std::uint64_t last = words_->reaped_ns.load(std::memory_order_relaxed);
    return static_cast<std::uint64_t>(now) - last >= static_cast<std::uint64_t>(kOrphanNs) &&
           words_->reaped_ns.compare_exchange_strong(last, static_cast<std::uint64_t>(now));
  }

  BreakerEvent about(EventKind kind, Cause cause, Control from, Control to, std::int64_t now,
                     const Counts& counts) const {
    BreakerEvent event{};
    event.time_ns = now;
    event.before = from.word;
    event.after = to.word;
    event.breaker = index_;
    event.kind = kind;
    event.cause = cause;
    event.pid = static_cast<std::uint32_t>(self_->owner.pid);
    event.calls = static_cast<std::uint32_t>(counts.tally.calls);
    event.failures = static_cast<std::uint32_t>(counts.tally.failures);
    event.slow = static_cast<std::uint32_t>(counts.tally.slow);
    event.consecutive = static_cast<std::uint32_t>(counts.consecutive);
    event.settings_version = words_->settings.version.load(std::memory_order_relaxed);
    return event;
  }

  template <std::size_t N>
  static void copy_text(char (&to)[N], std::string_view text) {
    text.copy(to, N);
  }

  /// When an evaluation passed: it does so again while all of this is the same.
  struct Passed {
    std::uint64_t generation = Control::kGenerations;  // of nobody
    std::uint64_t settings_version = 0, window_number = 0, faults = 0;

    friend bool operator==(const Passed&, const Passed&) = default;
  };

  BreakerWords* words_;
  const Word* shards_;
  Participant* self_;
  std::uint32_t index_;
  std::uint64_t version_ = 0;  // of rules_
  VersionedSettings rules_{};
  Passed passed_;
};

}  // namespace bot4::shm
