// The doorbell, as one process and its threads see it: how waits end, who wakes whom, and what a
// signal does.

#include <climits>
#include <cstring>
#include <thread>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.hpp"
#include "doorbell.hpp"
#include "samples.hpp"
#include "signals.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kMinute = 60'000 * kMillisecond;  // a wait that is not to end by itself

constexpr WaitStrategy kSpin{0, 0, WaitStrategy::kSpin};
constexpr WaitStrategy kYield{0, 0, WaitStrategy::kYield};
constexpr WaitStrategy kSleep{0, 0, WaitStrategy::kSleep};
constexpr WaitStrategy kAllThree{100, 10, WaitStrategy::kSleep};
constexpr WaitStrategy kStrategies[] = {kSpin, kYield, kSleep, kAllThree};

constexpr auto kNothing = [] { return false; };

/// A doorbell and its owner.
struct Owned {
  Shared memory{sizeof(DoorbellWords)};
  DoorbellWords& words{*memory.as<DoorbellWords>()};
  Sleeper sleeper{&words};
  Bell bell{&words};

  std::uint32_t sleeping() const { return words.sleeping.load(); }
};

/// True if a thread of this process is blocked in the kernel.
bool is_blocked(pid_t thread) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", static_cast<int>(thread));
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return false;
  char state = '?';  // after the name, in parentheses
  const bool found = std::fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
  std::fclose(file);
  return found && state == 'S';
}

/// Another thread that waits at a doorbell, and what came of it.
class Waiter {
 public:
  Waiter(Owned& owned, const Word* source)
      : owned_(owned), thread_([&owned, source, this] {
          id_ = static_cast<pid_t>(syscall(SYS_gettid));
          wake_ = owned.sleeper.wait(kSleep, kMinute, [source] { return source->load() != 0; });
        }) {}

  void until_it_sleeps() {
    Patience patience(HERE);
    // The flag alone would do for what follows, but then the kernel may yet refuse the sleep.
    while (owned_.sleeping() == DoorbellWords::kAwake || !is_blocked(id_)) patience.rest();
  }
  void signal(int number) { pthread_kill(thread_.native_handle(), number); }
  Wake outcome() {
    thread_.join();
    return wake_;
  }

 private:
  Owned& owned_;
  std::atomic<pid_t> id_{0};
  Wake wake_ = Wake::kTimeout;
  std::thread thread_;
};

void a_wait_ends_at_once_if_there_is_something() {
  Owned owned;
  for (const WaitStrategy& how : kStrategies) {
    CHECK(owned.sleeper.wait(how, 0, [] { return true; }) == Wake::kReady, how.finally);
    CHECK(owned.sleeper.wait(how, kMinute, [] { return true; }) == Wake::kReady, how.finally);
    owned.bell.ring();
    CHECK(owned.sleeper.wait(how, kMinute, kNothing) == Wake::kRung, how.finally);
    CHECK(owned.sleeper.wait(how, 0, kNothing) == Wake::kTimeout, how.finally);
    CHECK(owned.sleeper.wait(how, -1, kNothing) == Wake::kTimeout, how.finally);
  }
  CHECK(owned.words.sleeps == 0, owned.words.sleeps.load());
}

void any_number_of_rings_is_heard_once() {
  Owned owned;
  owned.bell.ring();
  owned.bell.ring();
  CHECK(owned.sleeper.rung());
  CHECK(!owned.sleeper.rung());
}

void a_wait_ends_at_its_time_out() {
  for (const WaitStrategy& how : kStrategies) {
    Owned owned;
    const std::int64_t start = monotonic_ns();
    CHECK(owned.sleeper.wait(how, 2 * kMillisecond, kNothing) == Wake::kTimeout, how.finally);
    const std::int64_t waited = monotonic_ns() - start;
    CHECK(waited >= 2 * kMillisecond, how.finally, waited);
    CHECK(owned.sleeping() == DoorbellWords::kAwake, owned.sleeping());
    // A sleeper may have been off its core until the deadline, before it slept at all.
    CHECK(owned.words.sleeps == 0 || how.finally == WaitStrategy::kSleep, how.finally);
  }
}

/// Found by the `look`-th look, whatever the strategy does between them.
void a_wait_ends_when_something_comes() {
  for (const WaitStrategy& how : kStrategies) {
    for (const int look : {2, 90, 105, 111, 112, 113}) {
      if (how.finally == WaitStrategy::kSleep && how.spins == 0 && look > 3) continue;
      Owned owned;
      int looks = 0;
      const auto comes = [&] { return ++looks == look; };
      CHECK(owned.sleeper.wait(how, kMinute, comes) == Wake::kReady, how.finally, look);
      looks = 0;
      const auto rings = [&] {
        if (++looks == look) owned.bell.ring();
        return false;
      };
      CHECK(owned.sleeper.wait(how, kMinute, rings) == Wake::kRung, how.finally, look);
      CHECK(!owned.sleeper.rung(), how.finally, look);
      CHECK(owned.sleeping() == DoorbellWords::kAwake, how.finally, look);
    }
  }
}

void only_a_long_wait_is_announced_and_once() {
  for (const WaitStrategy& how : kStrategies) {
    const bool spins = how.finally == WaitStrategy::kSpin || how.spins != 0;
    for (const int look : {1, 2, 60, 90, 112}) {
      if (how.finally == WaitStrategy::kSleep && !spins && look > 2) continue;
      Owned owned;
      int looks = 0;
      int announced = 0;
      const Wake wake =
          owned.sleeper.wait(how, kMinute, [&] { return ++looks == look; }, [&] { ++announced; });
      const bool is_long = look > (spins ? 60 : 1);
      CHECK(wake == Wake::kReady && announced == is_long, how.finally, look, announced);
    }
    Owned owned;
    int announced = 0;
    owned.sleeper.wait(how, kMillisecond, kNothing, [&] { ++announced; });
    CHECK(announced <= 1, how.finally, announced);
  }
}

void arming_looks_once_more() {
  Owned owned;
  Wake outcome;
  CHECK(owned.sleeper.arm(DoorbellWords::kOnFutex, kNothing, outcome));
  CHECK(owned.sleeping() == DoorbellWords::kOnFutex);
  owned.sleeper.disarm();
  CHECK(owned.sleeping() == DoorbellWords::kAwake);

  CHECK(!owned.sleeper.arm(DoorbellWords::kOnFutex, [] { return true; }, outcome));
  CHECK(outcome == Wake::kReady && owned.sleeping() == DoorbellWords::kAwake, outcome);
  owned.bell.ring();
  CHECK(!owned.sleeper.arm(DoorbellWords::kOnFutex, kNothing, outcome));
  CHECK(outcome == Wake::kRung && owned.sleeping() == DoorbellWords::kAwake, outcome);
  CHECK(!owned.sleeper.rung());
}

/// True if `wake` ends the wait, with `wanted`. A sleep that nobody ends lasts for kLongestSleep,
/// so it was woken if all took less than that; a busy machine has five attempts.
template <class Act>
bool ends_a_sleep(Act wake, Wake wanted) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    Owned owned;
    Word published{0};
    const std::int64_t start = monotonic_ns();
    Waiter waiter(owned, &published);
    waiter.until_it_sleeps();
    wake(owned, published);
    const Wake outcome = waiter.outcome();
    const std::int64_t took = monotonic_ns() - start;
    CHECK(outcome == wanted, outcome, wanted);
    CHECK(owned.sleeping() == DoorbellWords::kAwake, owned.sleeping());
    CHECK(owned.words.sleeps >= 1);
    if (took < kLongestSleep) return true;
  }
  return false;
}

void a_sleeper_is_woken_by_what_is_published() {
  const bool was_woken = ends_a_sleep(
      [](Owned& owned, Word& published) {
        published.store(1);
        owned.bell.ring_if_sleeping();
      },
      Wake::kReady);
  CHECK(was_woken);
}

void a_sleeper_is_woken_by_a_ring() {
  const bool was_woken = ends_a_sleep([](Owned& owned, Word&) { owned.bell.ring(); }, Wake::kRung);
  CHECK(was_woken);
}

void a_ringer_leaves_alone_who_is_awake() {
  Owned owned;
  owned.bell.ring_if_sleeping();
  CHECK(!owned.sleeper.rung());
  CHECK(!Bell() && owned.bell);
}

/// The producer was killed after it had published, before or after it took the flag.
void a_sleeper_finds_what_nobody_rang_for() {
  for (const bool flag_was_taken : {false, true}) {
    Owned owned;
    Word published{0};
    Waiter waiter(owned, &published);
    waiter.until_it_sleeps();
    published.store(1);
    if (flag_was_taken) owned.words.sleeping.store(DoorbellWords::kAwake);
    CHECK(waiter.outcome() == Wake::kReady, flag_was_taken);
  }
}

void a_successor_is_awake_and_hears_new_rings_only() {
  Owned owned;
  Wake outcome;
  CHECK(owned.sleeper.arm(DoorbellWords::kOnEventFd, kNothing, outcome));
  owned.words.bell.fetch_add(3);
  Sleeper successor(&owned.words);
  CHECK(owned.sleeping() == DoorbellWords::kAwake, owned.sleeping());
  CHECK(!successor.rung());
  owned.bell.ring();
  CHECK(successor.rung());
}

std::uint64_t taken_from(int event_fd) {
  std::uint64_t count = 0;
  return read(event_fd, &count, sizeof count) == sizeof count ? count : 0;
}

void an_event_loop_is_woken_through_its_eventfd() {
  const int event_fd = eventfd(0, EFD_NONBLOCK);
  Owned owned;
  Bell bell(&owned.words, event_fd);
  bell.ring();
  CHECK(taken_from(event_fd) == 0);  // awake: nobody pays for a system call
  CHECK(owned.sleeper.rung());

  Wake outcome;
  for (int sleep = 0; sleep < 2; ++sleep) {
    CHECK(owned.sleeper.arm(DoorbellWords::kOnEventFd, kNothing, outcome));
    bell.ring_if_sleeping();
    bell.ring_if_sleeping();  // the flag is taken: one write is enough
    const std::uint64_t writes = taken_from(event_fd);
    CHECK(writes == 1, writes);
  }

  // An eventfd that is full is readable, which is all that is wanted; the ringer must not block.
  const std::uint64_t full = UINT64_MAX - 1;
  CHECK(write(event_fd, &full, sizeof full) == sizeof full);
  CHECK(owned.sleeper.arm(DoorbellWords::kOnEventFd, kNothing, outcome));
  bell.ring_if_sleeping();
  CHECK(taken_from(event_fd) == full);
  close(event_fd);
}

// --- signals.hpp ---

std::atomic<int> simple_calls{0};
std::atomic<int> other_calls{0};
std::atomic<int> full_calls{0};
std::atomic<int> value_seen{0};

void simple_handler(int) {
  simple_calls.fetch_add(1);
  errno = EDOM;
}
void other_handler(int) { other_calls.fetch_add(1); }
void full_handler(int, siginfo_t* info, void* context) {
  full_calls.fetch_add(1);
  if (context != nullptr) value_seen.store(info->si_value.sival_int);
}

void set_handler(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  CHECK(sigaction(signal, &action, nullptr) == 0, signal);
}

struct sigaction action_of(int signal) {
  struct sigaction action;
  CHECK(sigaction(signal, nullptr, &action) == 0, signal);
  return action;
}

/// Each test has a signal of its own, because WaitSignals never forgets one.
int fresh_signal() {
  static int next = SIGRTMIN;
  return next++;
}

void a_signal_interrupts_a_sleep() {
  const int signal = fresh_signal();
  set_handler(signal, other_handler);
  Owned owned;
  Word published{0};
  std::atomic<bool> done{false};
  Wake outcome = Wake::kTimeout;
  std::thread waiter([&] {
    outcome = owned.sleeper.wait(kSleep, kMinute, [&] { return published.load() != 0; });
    done.store(true);
  });
  // One that comes before the kernel has it asleep is not noticed (that is what WaitSignals is
  // for), so they come until one is; each after the last was handled, because they are queued.
  Patience patience(HERE);
  for (int sent = other_calls.load(); !done.load(); patience.rest()) {
    if (owned.sleeping() == DoorbellWords::kAwake || other_calls.load() != sent) continue;
    pthread_kill(waiter.native_handle(), signal);
    ++sent;
  }
  waiter.join();
  CHECK(outcome == Wake::kSignal, outcome);
}

void a_watched_signal_rings_and_is_handed_on() {
  const int signal = fresh_signal();
  set_handler(signal, simple_handler, SA_RESTART);
  WaitSignals::watch(signal);
  CHECK((action_of(signal).sa_flags & SA_RESTART) == 0);  // a wait must not be taken up again
  Owned owned;
  CHECK(WaitSignals::add(&owned.words));
  const std::uint64_t before = WaitSignals::seen();
  errno = 0;
  raise(signal);
  CHECK(errno == 0, errno);  // the handler set it
  CHECK(WaitSignals::seen() == before + 1, WaitSignals::seen(), before);
  CHECK(simple_calls == 1, simple_calls.load());
  // It came before the wait: no gap.
  CHECK(owned.sleeper.wait(kSleep, kMinute, kNothing) == Wake::kRung);

  // Watched twice, it still calls the other handler once.
  WaitSignals::watch(signal);
  raise(signal);
  CHECK(simple_calls == 2, simple_calls.load());
  CHECK(owned.sleeper.rung());

  WaitSignals::remove(&owned.words);
  WaitSignals::remove(&owned.words);  // it is not there: nothing happens
  raise(signal);
  CHECK(simple_calls == 3 && !owned.sleeper.rung(), simple_calls.load());
}

/// Whichever thread the kernel gives the signal to.
void a_watched_signal_ends_a_sleep_at_once() {
  const int signal = fresh_signal();
  set_handler(signal, other_handler);
  WaitSignals::watch(signal);
  const bool was_woken = ends_a_sleep(
      [signal](Owned& owned, Word&) {
        CHECK(WaitSignals::add(&owned.words));
        raise(signal);
        WaitSignals::remove(&owned.words);
      },
      Wake::kRung);
  CHECK(was_woken);

  Owned owned;
  CHECK(WaitSignals::add(&owned.words));
  Word published{0};
  Waiter waiter(owned, &published);
  waiter.until_it_sleeps();
  waiter.signal(signal);  // once is enough, wherever the waiter is
  CHECK(waiter.outcome() == Wake::kRung);
  WaitSignals::remove(&owned.words);
}

void a_signal_leaves_a_sleeping_event_loop_to_itself() {
  const int signal = fresh_signal();
  set_handler(signal, other_handler);
  WaitSignals::watch(signal);
  Owned owned;
  CHECK(WaitSignals::add(&owned.words));
  Wake outcome;
  CHECK(owned.sleeper.arm(DoorbellWords::kOnEventFd, kNothing, outcome));
  raise(signal);
  // The flag is still up: whoever publishes next writes the eventfd.
  CHECK(owned.sleeping() == DoorbellWords::kOnEventFd, owned.sleeping());
  CHECK(owned.sleeper.rung());
  WaitSignals::remove(&owned.words);
}

void a_handler_with_information_gets_it() {
  const int signal = fresh_signal();
  struct sigaction action = {};
  action.sa_sigaction = full_handler;
  action.sa_flags = SA_SIGINFO;
  sigaction(signal, &action, nullptr);
  WaitSignals::watch(signal);
  sigval value;
  value.sival_int = 1234;
  CHECK(pthread_sigqueue(pthread_self(), signal, value) == 0);
  CHECK(full_calls == 1 && value_seen == 1234, full_calls.load(), value_seen.load());
}

void a_signal_without_a_handler_is_left_alone() {
  for (const auto action : {SIG_DFL, SIG_IGN}) {
    const int signal = fresh_signal();
    set_handler(signal, action);
    WaitSignals::watch(signal);
    CHECK(action_of(signal).sa_handler == action, signal);
  }
  WaitSignals::watch(NSIG + 1);  // there is no such signal
}

void a_later_handler_is_not_taken_over() {
  const int signal = fresh_signal();
  set_handler(signal, simple_handler);
  WaitSignals::watch(signal);
  // It may call ours, for all we know.
  set_handler(signal, other_handler);
  WaitSignals::watch(signal);
  CHECK(action_of(signal).sa_handler == other_handler);
  // The one we know is taken over again.
  set_handler(signal, simple_handler);
  WaitSignals::watch(signal);
  CHECK(action_of(signal).sa_handler != simple_handler);
  const int before = simple_calls.load();
  const std::uint64_t seen = WaitSignals::seen();
  raise(signal);
  CHECK(simple_calls == before + 1 && WaitSignals::seen() == seen + 1);
}

void the_table_of_doorbells_can_be_full() {
  constexpr int kDoorbells = WaitSignals::kDoorbells;
  const Shared memory(sizeof(DoorbellWords) * (kDoorbells + 1));
  auto* words = memory.as<DoorbellWords>();
  for (int i = 0; i < kDoorbells; ++i) CHECK(WaitSignals::add(words + i), i);
  CHECK(!WaitSignals::add(words + kDoorbells));
  WaitSignals::remove(words + 7);
  CHECK(WaitSignals::add(words + kDoorbells));

  const int signal = fresh_signal();
  set_handler(signal, other_handler);
  WaitSignals::watch(signal);
  raise(signal);
  for (int i = 0; i <= kDoorbells; ++i) {
    CHECK(words[i].bell == (i == 7 ? 0 : 1), i, words[i].bell.load());
    WaitSignals::remove(words + i);
  }
}

}  // namespace

int main() {
  a_wait_ends_at_once_if_there_is_something();
  any_number_of_rings_is_heard_once();
  a_wait_ends_at_its_time_out();
  a_wait_ends_when_something_comes();
  only_a_long_wait_is_announced_and_once();
  arming_looks_once_more();
  a_sleeper_is_woken_by_what_is_published();
  a_sleeper_is_woken_by_a_ring();
  a_ringer_leaves_alone_who_is_awake();
  a_sleeper_finds_what_nobody_rang_for();
  a_successor_is_awake_and_hears_new_rings_only();
  an_event_loop_is_woken_through_its_eventfd();

  a_signal_interrupts_a_sleep();
  a_watched_signal_rings_and_is_handed_on();
  a_watched_signal_ends_a_sleep_at_once();
  a_signal_leaves_a_sleeping_event_loop_to_itself();
  a_handler_with_information_gets_it();
  a_signal_without_a_handler_is_left_alone();
  a_later_handler_is_not_taken_over();
  the_table_of_doorbells_can_be_full();
  return verdict();
}
