// A group of circuit breakers, one a component, and the global state that follows from them by rule.
//
// The global state is cached in a word, with the time at which it was derived. A reader that finds it
// older than 50 ms derives it itself, so it is never later than that, even if whoever caused the
// change was killed right then.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <memory>

#include "breaker.hpp"

namespace bot4::shm {

enum class GlobalState : std::uint8_t { kUnknown = 0, kClosed = 1, kDegraded = 2, kOpen = 3 };

inline constexpr std::int64_t kGlobalAgeNs = 50'000'000;
/// Whoever judges the components, once there is one, may be silent for so long.
inline constexpr std::int64_t kSilentNs = 2'000'000'000;

/// When the global state is open, packed into one word so that a reload is one store.
struct GlobalLimits {
  std::uint64_t min_components = 1;  // enabled ones, for the ratio to mean something
  std::uint64_t open_bp = 5'000;     // of the weight: opens
  std::uint64_t close_bp = 3'500;    // closes again
  bool live = false;                 // critical components can be neither disabled nor only watched

  static constexpr GlobalLimits of(std::uint64_t word) {
    if (word == 0) return {};
    return {word & 0xffff, word >> 16 & 0xffff, word >> 32 & 0xffff, (word >> 48 & 1) != 0};
  }
  constexpr std::uint64_t word() const {
    return min_components | open_bp << 16 | close_bp << 32 | std::uint64_t{live} << 48;
  }
};

struct BreakersHeader {
  alignas(kCacheLine) std::uint64_t count;
  alignas(kCacheLine) Word global;   // [state:3][derived at, in ns:61]
  alignas(kCacheLine) Word changes;  // transitions of all of them
  alignas(kCacheLine) Word latch;    // not 0: open until it is taken away
  Word limits;                       // GlobalLimits
  Word shards;                       // bit i: shard i has been used
  alignas(kCacheLine) Word fed_ns;   // when the components were last judged; 0: nobody does that

  BreakerWords* breaker(std::uint64_t index) {
    return reinterpret_cast<BreakerWords*>(this + 1) + index;
  }
  /// The last transition that each participant made of each breaker.
  TableHeader* last() { return reinterpret_cast<TableHeader*>(breaker(count)); }
  EventWords* events(unsigned shard) {
    return reinterpret_cast<EventWords*>(reinterpret_cast<unsigned char*>(last()) +
                                         TableHeader::bytes(count * kParticipants,
                                                            sizeof(BreakerEvent))) +
           shard;
  }
  bool is_sound(std::uint64_t expected) {
    if (count != expected || !last()->is_sound(count * kParticipants, sizeof(BreakerEvent)))
      return false;
    for (unsigned i = 0; i < kParticipants; ++i)
      if (!events(i)->ring.is_sound(EventWords::kCapacity, sizeof(BreakerEvent))) return false;
    return true;
  }
  /// Once, when the segment is created. All else is zero: breakers that admit nobody.
  void lay_out(std::uint64_t breakers) {
    count = breakers;
    last()->rows = count * kParticipants;
    last()->record_bytes = sizeof(BreakerEvent);
    for (unsigned i = 0; i < kParticipants; ++i) events(i)->lay_out();
  }
  static constexpr std::size_t bytes(std::uint64_t count) {
    return sizeof(BreakersHeader) + count * sizeof(BreakerWords) +
           TableHeader::bytes(count * kParticipants, sizeof(BreakerEvent)) +
           kParticipants * sizeof(EventWords);
  }
};
static_assert(TableHeader::row_bytes(sizeof(BreakerEvent)) % kCacheLine == 0);

/// What the components come to: a function of their words, the latch, the state before, and whether
/// there is still somebody who judges them: words that nobody changes any more say nothing.
inline GlobalState global_state(BreakersHeader& group, GlobalState before, std::int64_t now) {
  const GlobalLimits limits = GlobalLimits::of(group.limits.load(std::memory_order_acquire));
  std::uint64_t enabled = 0, open = 0, components = 0;
  const auto fed = static_cast<std::int64_t>(group.fed_ns.load(std::memory_order_acquire));
  bool critical = group.latch.load(std::memory_order_acquire) != 0 ||
                  (fed != 0 && now - fed > kSilentNs);
  bool degraded = false;
  for (std::uint64_t i = 0; i < group.count; ++i) {
    const BreakerWords& words = *group.breaker(i);
    const Control control{words.control.load(std::memory_order_acquire)};
    if (control.state() == BreakerState::kDisabled) continue;
    VersionedSettings current;
    // One that nobody has configured may be the one that matters most.
    const bool known = words.settings.read(current) != 0;
    const std::uint64_t weight = known ? current.settings.weight : 1;
    ++components;
    enabled += weight;
    degraded = degraded || control.is_blocked();
    if (!control.is_open()) continue;
    open += weight;
    critical = critical || !known || current.settings.critical != 0;
  }
  if (critical) return GlobalState::kOpen;
  if (components >= limits.min_components && enabled != 0) {
    const bool was_open = before == GlobalState::kOpen;
    const std::uint64_t share = open * 10'000;
    if (share >= limits.open_bp * enabled) return GlobalState::kOpen;
    if (was_open && share > limits.close_bp * enabled) return GlobalState::kOpen;
  }
  return degraded ? GlobalState::kDegraded : GlobalState::kClosed;
}

/// What a stage sees of all breakers in one step.
struct BreakersView {
  std::uint64_t global = 0;   // GlobalState
  std::uint64_t blocked = 0;  // bit i: breaker i admits nobody, or only probes
  std::uint64_t forced = 0;   // bit i: breaker i is FORCED_OPEN
};

/// Reads the global state, and derives it where it has to be. Anyone may; telling of a change is for
/// participants.
class Breakers {
 public:
  explicit Breakers(BreakersHeader* group) : group_(group) {}

  static constexpr int kTimeBits = 61;
  static constexpr std::uint64_t kTimeMask = (std::uint64_t{1} << kTimeBits) - 1;

  /// The cached state, unless it is old.
  GlobalState state(std::int64_t now, Participant* self = nullptr) {
    const std::uint64_t seen = group_->global.load(std::memory_order_acquire);
    if (seen != 0 && now - static_cast<std::int64_t>(seen & kTimeMask) <= kGlobalAgeNs)
      return static_cast<GlobalState>(seen >> kTimeBits);
    return derive(now, self);
  }

  GlobalState derive(std::int64_t now, Participant* self = nullptr) {
    // Acquire: the words of the components are read after the state that the new one follows.
    std::uint64_t before = group_->global.load(std::memory_order_acquire);
    for (;;) {
      const auto was = static_cast<GlobalState>(before >> kTimeBits);
      const GlobalState is = global_state(*group_, was, now);
      const std::uint64_t after = static_cast<std::uint64_t>(is) << kTimeBits |
                                  (static_cast<std::uint64_t>(now) & kTimeMask);
      // If another has derived it meanwhile, it may have seen what this one has not, or the other
      // way round: once more, from its result.
      if (!group_->global.compare_exchange_strong(before, after, std::memory_order_acq_rel)) continue;
      if (is != was) {
        group_->changes.fetch_add(1, std::memory_order_release);
        if (self != nullptr) tell(*self, was, is, now);
      }
      return is;
    }
  }

  /// Everything a stage needs, for one load as long as nothing changes.
  const BreakersView& view(std::int64_t now) {
    const std::uint64_t changes = group_->changes.load(std::memory_order_acquire);
    if (changes == seen_changes_ && now - seen_ns_ <= kGlobalAgeNs && view_.global != 0) return view_;
    seen_changes_ = changes;
    seen_ns_ = now;
    view_ = {};
    for (std::uint64_t i = 0; i < group_->count && i < 64; ++i) {
      const Control control{group_->breaker(i)->control.load(std::memory_order_acquire)};
      if (control.is_blocked()) view_.blocked |= std::uint64_t{1} << i;
      if (control.state() == BreakerState::kForcedOpen) view_.forced |= std::uint64_t{1} << i;
    }
    // Its own derivation may count as a change, like that of a breaker meanwhile: looked at again.
    view_.global = static_cast<std::uint64_t>(derive(now));
    return view_;
  }

  bool has_group() const { return group_ != nullptr; }
  BreakersHeader& group() { return *group_; }

 private:
  void tell(Participant& self, GlobalState was, GlobalState is, std::int64_t now) {
    BreakerEvent event{};
    event.time_ns = now;
    event.before = static_cast<std::uint64_t>(was);
    event.after = static_cast<std::uint64_t>(is);
    event.breaker = BreakerEvent::kGlobal;
    event.kind = EventKind::kGlobal;
    event.cause = group_->latch.load(std::memory_order_relaxed) != 0 ? Cause::kTripped : Cause::kComponents;
    event.pid = static_cast<std::uint32_t>(self.owner.pid);
    self.events.push(event);
  }

  BreakersHeader* group_;
  BreakersView view_;
  std::uint64_t seen_changes_ = 0;
  std::int64_t seen_ns_ = 0;
};

/// When a process started, in clock ticks since boot; 0 if there is none, or only what is left of one.
inline std::uint64_t process_started(std::uint64_t pid) {
  char path[32], text[1024];
  std::snprintf(path, sizeof path, "/proc/%llu/stat", static_cast<unsigned long long>(pid));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "re"), &std::fclose);
  if (!file) return 0;
  text[std::fread(text, 1, sizeof text - 1, file.get())] = 0;
  // The program's name, in parentheses, may hold blanks and parentheses itself.
  const char* field = std::strrchr(text, ')');
  if (field == nullptr || field[1] == 0) return 0;
  field += 2;
  if (*field == 'Z' || *field == 'X') return 0;
  for (int i = 3; i < 22; ++i) {
    field = std::strchr(field, ' ');
    if (field == nullptr) return 0;
    ++field;
  }
  unsigned long long started = 0;
  return std::sscanf(field, "%llu", &started) == 1 ? started : 0;
}

struct IsAlive {
  bool operator()(const Owner& owner) const {
    return owner.started != 0 && process_started(owner.pid) == owner.started;
  }
};

}  // namespace bot4::shm
