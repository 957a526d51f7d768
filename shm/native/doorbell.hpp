// A doorbell: how one consumer waits for many producers.
//
// One process owns it and waits; any process may ring. A producer that has published something
// looks at one flag and makes a system call only if the owner has gone to sleep.
//
// No wake-up is lost, because each side stores its own word and then reads the other's, all four
// with sequentially consistent order (Dekker's pair):
//
//     producer:  tail = n + 1          (seq_cst)     owner:  sleeping = futex     (seq_cst)
//                if sleeping: wake it  (seq_cst)             if tail != read: stay awake (seq_cst)
//
// In the single total order of these operations one store comes first, so at least one side sees
// the other's. With anything weaker both stores could still sit in their cores' store buffers while
// both loads read the old values: the producer sees nobody asleep, the owner sees nothing to read,
// and it sleeps on a full ring. tests/model proves it, and finds that failure when an order is
// taken away.
//
// Between the owner's last look and the kernel's, the flag itself closes the gap: it is the futex.
// A ringer takes the flag down before it wakes, so the kernel refuses to put the owner to sleep on
// it. (An epoch that ringers bump *before* they take the flag down loses wake-ups: a ringer that is
// preempted between the two takes down the flag of the owner's next sleep, and wakes nobody.)
//
// `bell` counts rings that mean "wake up, whether or not there is anything to read". It is raised
// before the flag is looked at, and the owner looks at it where it looks at its sources, so it is a
// third word under the same rule.
//
// What no ordering covers is a producer killed after publishing and before ringing: hence every
// sleep is timed (kLongestSleep), and whoever watches the processes rings for the dead.
#pragma once

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.hpp"

namespace bot4::shm {

inline constexpr std::int64_t kLongestSleep = 100'000'000;  // ns

struct DoorbellWords {
  enum Sleep : std::uint32_t { kAwake = 0, kOnFutex = 1, kOnEventFd = 2 };

  // One line: ringers read it at every publication and find it shared in their cache, because it
  // is written only when the owner goes to sleep or is woken.
  alignas(kCacheLine) std::atomic<std::uint32_t> sleeping;  // a Sleep, and the futex
  std::atomic<std::uint32_t> bell;                          // rings with nothing to read
  // The owner's alone, for whoever wants to see how often it sleeps.
  alignas(kCacheLine) Word sleeps;
};

inline long futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t ns) {
  timespec limit{ns / 1'000'000'000, ns % 1'000'000'000};
  return syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0);
}

inline long futex_wake(std::atomic<std::uint32_t>& word) {
  return syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

/// The ringer's end. Any number of them, in any process.
class Bell {
 public:
  Bell() = default;
  explicit Bell(DoorbellWords* words, int event_fd = -1) : words_(words), event_fd_(event_fd) {}

  explicit operator bool() const { return words_ != nullptr; }

  /// To be called after a sequentially consistent store of what was published.
  void ring_if_sleeping() {
    // The load alone decides nearly always, and leaves the line shared.
    if (words_->sleeping.load(std::memory_order_seq_cst) == DoorbellWords::kAwake) return;
    // Taking the flag down lets one ringer of many pay for the system call. If it is killed between
    // here and the wake-up, the timed sleep ends the wait.
    switch (words_->sleeping.exchange(DoorbellWords::kAwake, std::memory_order_seq_cst)) {
      case DoorbellWords::kOnFutex: futex_wake(words_->sleeping); break;
      case DoorbellWords::kOnEventFd: wake_event_loop(); break;
      default: break;
    }
  }

  /// Wakes the owner, or keeps it from falling asleep, whether or not there is anything to read.
  void ring() {
    words_->bell.fetch_add(1, std::memory_order_seq_cst);
    ring_if_sleeping();
  }

 private:
  void wake_event_loop() {
    const std::uint64_t one = 1;
    // The counter of an eventfd that is full is already readable, so EAGAIN is as good as success.
    [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof one);
  }

  DoorbellWords* words_ = nullptr;
  int event_fd_ = -1;
};

/// How to wait: `spins` looks with a pause between them, then `yields` looks with a sched_yield
/// between them, then as `finally` says until something comes.
struct WaitStrategy {
  enum Finally : std::uint32_t { kSpin, kYield, kSleep };
  std::uint32_t spins = 0;
  std::uint32_t yields = 0;
  Finally finally = kSleep;
};

enum class Wake : int {
  kReady = 0,    // there is something to read
  kRung = 1,     // somebody rang
  kTimeout = 2,
  kSignal = 3,   // a signal interrupted the wait
};

/// The owner's end. One per doorbell at any time; the binding sees to that with a lock.
class Sleeper {
 public:
  Sleeper() = default;
  explicit Sleeper(DoorbellWords* words)
      : words_(words), heard_(words->bell.load(std::memory_order_relaxed)) {
    // A predecessor may have been killed in its sleep.
    words_->sleeping.store(DoorbellWords::kAwake, std::memory_order_relaxed);
  }

  /// Waits until `ready()`, a ring, a signal or the time-out, in ns.
  ///
  /// `ready` must read what producers publish with sequentially consistent loads. `idle` is called
  /// once, when the wait turns out to be longer than a microsecond or two: the place for what
  /// should not delay a short one.
  template <class Ready, class Idle>
  Wake wait(const WaitStrategy& how, std::int64_t timeout, Ready&& ready, Idle&& idle) {
    if (ready()) return Wake::kReady;
    if (rung()) return Wake::kRung;
    if (timeout <= 0) return Wake::kTimeout;
    const std::int64_t deadline = monotonic_ns() + timeout;
    const std::uint32_t spins = how.finally == WaitStrategy::kSpin ? kForever : how.spins;
    const std::uint32_t yields = how.finally == WaitStrategy::kYield ? kForever : how.yields;
    const std::uint32_t first_spins = std::min(spins, kClockEvery);
    Wake outcome;
    if (look(first_spins, kClockEvery, cpu_pause, deadline, ready, outcome)) return outcome;
    idle();
    const std::uint32_t more_spins = spins == kForever ? kForever : spins - first_spins;
    if (look(more_spins, kClockEvery, cpu_pause, deadline, ready, outcome)) return outcome;
    if (look(yields, 1, [] { sched_yield(); }, deadline, ready, outcome)) return outcome;
    for (;;) {
      const std::int64_t left = deadline - monotonic_ns();
      if (left <= 0) return Wake::kTimeout;
      if (!arm(DoorbellWords::kOnFutex, ready, outcome)) return outcome;
      words_->sleeps.store(words_->sleeps.load(std::memory_order_relaxed) + 1,
                           std::memory_order_relaxed);
      const long slept = futex_wait(words_->sleeping, DoorbellWords::kOnFutex,
                                    std::min(left, kLongestSleep));
      const bool interrupted = slept != 0 && errno == EINTR;
      disarm();
      if (ready()) return Wake::kReady;
      if (rung()) return Wake::kRung;
      if (interrupted) return Wake::kSignal;
    }
  }

  template <class Ready>
  Wake wait(const WaitStrategy& how, std::int64_t timeout, Ready&& ready) {
    return wait(how, timeout, ready, [] {});
  }

  /// Says "asleep" and looks once more. False: something is there (`outcome`), and it is awake.
  template <class Ready>
  bool arm(DoorbellWords::Sleep where, Ready&& ready, Wake& outcome) {
    words_->sleeping.store(where, std::memory_order_seq_cst);
    const bool found = ready();
    if (!found && !peek_rung()) return true;
    disarm();
    if (!found) rung();
    outcome = found ? Wake::kReady : Wake::kRung;
    return false;
  }

  void disarm() { words_->sleeping.store(DoorbellWords::kAwake, std::memory_order_relaxed); }

  /// True once for any number of rings since the last wait ended.
  bool rung() {
    const std::uint32_t bell = words_->bell.load(std::memory_order_seq_cst);
    const bool changed = bell != heard_;
    heard_ = bell;
    return changed;
  }

 private:
  bool peek_rung() const { return words_->bell.load(std::memory_order_seq_cst) != heard_; }

  static constexpr std::uint32_t kForever = UINT32_MAX;
  // The clock costs as much as a look, so a spin reads it at every 64th (a yield may last
  // milliseconds, so that reads it each time).
  static constexpr std::uint32_t kClockEvery = 64;

  template <class Relax, class Ready>
  bool look(std::uint32_t times, std::uint32_t clock_every, Relax&& relax, std::int64_t deadline,
            Ready&& ready, Wake& outcome) {
    for (std::uint32_t i = 1; i <= times || times == kForever; ++i) {
      relax();
      if (ready()) return outcome = Wake::kReady, true;
      if (rung()) return outcome = Wake::kRung, true;
      if (i % clock_every == 0 && monotonic_ns() >= deadline)
        return outcome = Wake::kTimeout, true;
    }
    return false;
  }

  DoorbellWords* words_ = nullptr;
  std::uint32_t heard_ = 0;  // `bell` when it last ended a wait
};

}  // namespace bot4::shm
