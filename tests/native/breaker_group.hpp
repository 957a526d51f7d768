// Circuit breakers in shared memory, those who take part in them, and what must hold of them
// always.
#pragma once

#include <span>
#include <vector>

#include "breakers.hpp"
#include "check.hpp"
#include "samples.hpp"

namespace bot4::test {

inline constexpr std::int64_t kMs = 1'000'000;
inline constexpr std::int64_t kSecond = 1'000 * kMs;

/// A group as it lies in a segment.
class Group {
 public:
  explicit Group(std::uint64_t breakers = 1)
      : bytes_(shm::BreakersHeader::bytes(breakers)), memory_(bytes_), breakers_(breakers) {
    lay_out();
  }

  void lay_out() {
    memory_.clear();
    get()->lay_out(breakers_);
  }
  shm::BreakersHeader* get() const { return memory_.as<shm::BreakersHeader>(); }
  shm::BreakersHeader* operator->() const { return get(); }
  shm::BreakerWords& words(std::uint64_t breaker = 0) const { return *get()->breaker(breaker); }
  bool is_sound() const { return get()->is_sound(breakers_); }
  std::span<unsigned char> memory() const { return {memory_.as<unsigned char>(), bytes_}; }

 private:
  std::size_t bytes_;
  Shared memory_;
  std::uint64_t breakers_;
};

/// A process that takes part.
class Member {
 public:
  Member(const Group& group, unsigned shard, shm::Owner owner)
      : group_(group.get()),
        self_{owner, shard, shm::EventWriter(group_->events(shard)),
              shm::TableWriter(group_->last()), &group_->shards, &group_->changes} {
    group_->shards.fetch_or(std::uint64_t{1} << shard);
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  shm::Breaker breaker(std::uint32_t index = 0) {
    return {group_->breaker(index), index, &group_->shards, &self_};
  }
  const shm::Owner& owner() const { return self_.owner; }
  shm::Participant& self() { return self_; }

 private:
  shm::BreakersHeader* group_;
  shm::Participant self_;
};

/// Takes the events of all participants, in the order of their shards.
inline std::vector<shm::BreakerEvent> take_events(const Group& group) {
  std::vector<shm::BreakerEvent> events;
  for (unsigned shard = 0; shard < shm::kParticipants; ++shard) {
    shm::RingConsumer ring(&group->events(shard)->ring);
    shm::BreakerEvent event;
    while (ring.pop(&event)) events.push_back(event);
    CHECK(!ring.is_corrupt(), shard);
    ring.commit(ring.pending());
  }
  return events;
}

/// 2 probes at once; 2 successes close, 2 failures open. 4 calls make a rate, half of them trip.
inline shm::BreakerSettings small_settings() {
  shm::BreakerSettings settings{};
  settings.window_ns = 10 * kSecond;
  settings.window_calls = 8;
  settings.min_calls = 4;
  settings.failure_bp = 5'000;
  settings.cooldown_ns = 100 * kMs;
  settings.cooldown_factor_bp = 20'000;
  settings.cooldown_max_ns = kSecond;
  settings.probes = 2;
  settings.successes = 2;
  settings.failures = 1;
  settings.max_stay_ns = 10 * kSecond;
  settings.lease_ns = 300 * kMs;
  settings.weight = 1;
  settings.seed = 7;
  return settings;
}

inline bool is_same(const shm::BreakerSettings& a, const shm::BreakerSettings& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// Whether a control word is one that the rules can lead to.
inline bool is_legal(shm::Control control, const shm::BreakerSettings& settings) {
  if (control.state() == shm::BreakerState::kInvalid) return false;
  if (control.state() == shm::BreakerState::kUninit) return control.word == 0;
  if (control.state() != shm::BreakerState::kHalfOpen) return true;
  const shm::Probes probes = control.probes();
  const auto done = static_cast<unsigned>(std::popcount(probes.done));
  return control.with(probes).word == control.word && probes.issued >= 1 &&
         probes.issued <= shm::kPermits && (probes.done >> probes.issued) == 0 &&
         probes.succeeded + probes.failed <= done && probes.in_flight() <= settings.probes &&
         probes.succeeded < settings.successes && probes.failed <= settings.failures;
}

inline bool is_next_generation(shm::Control before, shm::Control after) {
  return after.generation() == ((before.generation() + 1) & (shm::Control::kGenerations - 1));
}

/// Whether one compare-and-swap may lead from one control word to the other: the table of the
/// states. `by_hand`: somebody wants it so.
inline bool may_follow(shm::Control before, shm::Control after, bool by_hand) {
  using enum shm::BreakerState;
  const shm::BreakerState from = before.state(), to = after.state();
  if (before.generation() == after.generation()) {
    // One more permit, or one more that is done.
    if (from != kHalfOpen || to != kHalfOpen || before.attempt() != after.attempt()) return false;
    const shm::Probes was = before.probes(), is = after.probes();
    const int results = static_cast<int>(is.succeeded - was.succeeded + is.failed - was.failed);
    if (is.done == was.done) return is.issued == was.issued + 1 && results == 0;
    const std::uint32_t bit = is.done & ~was.done;
    return (was.done & ~is.done) == 0 && std::has_single_bit(bit) && bit >> was.issued == 0 &&
           is.issued == was.issued && is.succeeded >= was.succeeded && is.failed >= was.failed &&
           results <= 1;
  }
  if (!is_next_generation(before, after)) return false;
  const unsigned grown = std::min(before.attempt() + 1, shm::Control::kMostAttempts);
  const bool by_itself = (from == kClosed && to == kOpen && after.attempt() == 0) ||
                         (from == kOpen && to == kHalfOpen && after.attempt() == before.attempt() &&
                          after.probes().issued == 1 && after.probes().done == 0) ||
                         (from == kHalfOpen && to == kClosed && after.attempt() == 0) ||
                         (from == kHalfOpen && to == kOpen && after.attempt() == grown);
  if (by_itself) return true;
  if (!by_hand || to == kHalfOpen || to == kUninit || to == kInvalid) return false;
  if (from == kForcedOpen) return to == kClosed;
  if (from == kUninit) return to == kClosed || to == kForcedOpen;
  if (from == kOpen && to == kOpen)
    return after.payload() > before.payload() && after.attempt() == before.attempt();
  return true;
}

/// What an event says must fit itself.
inline bool is_sound(const shm::BreakerEvent& event) {
  const bool known =
      event.kind >= shm::EventKind::kTransition && event.kind <= shm::EventKind::kGlobal;
  if (!known || event.failures > event.calls || event.slow > event.calls) return false;
  if (event.kind == shm::EventKind::kGlobal) return event.before != event.after && event.after <= 3;
  if (event.kind != shm::EventKind::kTransition) return event.before == event.after;
  return is_next_generation({event.before}, {event.after});
}

}  // namespace bot4::test
