// Signals that end a wait at once, without a gap.
//
// A signal that arrives just before the futex goes to sleep would be noticed only when the sleep
// ends. So the handler here rings the doorbells of this process: the futex then finds the flag
// taken down, and spinning loops, which no signal interrupts, see the ring. It hands on to the
// handler that was there before (Python's, usually), which it does not replace in any other sense.
#pragma once

#include <array>
#include <csignal>

#include "doorbell.hpp"

namespace bot4::shm {

class WaitSignals {
  using Entry = std::atomic<DoorbellWords*>;
  static_assert(Entry::is_always_lock_free, "used in a signal handler");

 public:
  static constexpr int kDoorbells = 64;

  /// Lets `signal` end the waits of this process. A signal with the default or no action is left
  /// alone: what it does ends more than a wait. To be repeated now and then, because whoever sets
  /// a handler later (signal.signal, say) takes ours away. A handler other than the one we know is
  /// then left in place: it may call ours, and the two would call each other for ever.
  static void watch(int signal) {
    struct sigaction now;
    if (sigaction(signal, nullptr, &now) != 0 || is_ours(now) || !has_handler(now)) return;
    struct sigaction& known = previous_[signal];
    if (has_handler(known) && known.sa_sigaction != now.sa_sigaction) return;
    known = now;
    struct sigaction ours = now;
    ours.sa_flags = (now.sa_flags | SA_SIGINFO) & ~SA_RESTART;
    ours.sa_sigaction = &handle;
    sigaction(signal, &ours, nullptr);
  }

  /// How many signals have been seen; a wait that finds it changed was ended by one.
  static std::uint64_t seen() { return seen_.load(std::memory_order_acquire); }

  /// Rings this doorbell when a signal comes. False if kDoorbells are rung already.
  static bool add(DoorbellWords* doorbell) {
    for (auto& entry : doorbells_) {
      DoorbellWords* none = nullptr;
      if (entry.compare_exchange_strong(none, doorbell)) return true;
    }
    return false;
  }

  /// After this, no handler touches the doorbell any more.
  static void remove(DoorbellWords* doorbell) {
    for (auto& entry : doorbells_) {
      DoorbellWords* mine = doorbell;
      if (entry.compare_exchange_strong(mine, nullptr)) break;
    }
    // The kernel may have run the handler in another thread, which has read the entry just before.
    while (handling_.load() != 0) cpu_pause();
  }

  /// In the child of a fork, where no other thread goes on with what it did.
  static void forget_other_threads() { handling_.store(0); }

 private:
  // Only atomics, sigaction's own structs and the futex call: all allowed in a handler.
  static void handle(int signal, siginfo_t* info, void* context) {
    const int saved_errno = errno;
    seen_.fetch_add(1, std::memory_order_release);
    handling_.fetch_add(1);
    for (auto& entry : doorbells_)
      if (DoorbellWords* doorbell = entry.load()) {
        doorbell->bell.fetch_add(1, std::memory_order_seq_cst);
        // Not one that sleeps in an event loop, which has its own way to hear of signals.
        std::uint32_t asleep = DoorbellWords::kOnFutex;
        if (doorbell->sleeping.compare_exchange_strong(asleep, DoorbellWords::kAwake))
          futex_wake(doorbell->sleeping);
      }
    handling_.fetch_sub(1);
    const struct sigaction& next = previous_[signal];
    if (next.sa_flags & SA_SIGINFO) next.sa_sigaction(signal, info, context);
    else next.sa_handler(signal);
    errno = saved_errno;
  }

  static bool is_ours(const struct sigaction& action) {
    return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == &handle;
  }
  static bool has_handler(const struct sigaction& action) {
    return (action.sa_flags & SA_SIGINFO) ||
           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  }

  static inline std::atomic<std::uint64_t> seen_{0};
  static inline std::atomic<int> handling_{0};
  static inline struct sigaction previous_[NSIG] = {};  // SIG_DFL is 0: no handler known yet
  static inline std::array<Entry, kDoorbells> doorbells_{};
};

}  // namespace bot4::shm
