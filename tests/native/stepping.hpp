// Executes a piece of a program instruction by instruction, in a process of its own (ptrace).
//
//     void victim() {
//       RingProducer producer(ring);
//       mark();
//       producer.push(&record);  // this is stepped through
//       mark();
//     }
//
// What other processes see between two instructions is what is in the shared memory then. That is
// the machine's order of instructions, not of memory: a store here is seen by all at once.
#pragma once

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "processes.hpp"

namespace bot4::test {

/// Tracer and traced never run at once. On one core the hand-over between them costs half as much.
inline void share_one_core() {
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &here);
  sched_setaffinity(0, sizeof here, &here);
}

/// Where the stepping begins and ends.
inline void mark() { syscall(SYS_kill, getpid(), SIGSTOP); }

class Stepped {
 public:
  /// Runs `victim` to its first mark. Ends the program if processes cannot be traced here.
  explicit Stepped(void (*victim)())
      : child_([victim] {
          if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kSkipped);
          victim();
        }) {
    const int status = wait();
    const bool refused = WIFEXITED(status) && WEXITSTATUS(status) == kSkipped;
    if (refused || ptrace(PTRACE_SETOPTIONS, child_.pid(), 0, PTRACE_O_EXITKILL) != 0) {
      std::fputs("skipped: ptrace is not permitted here\n", stderr);
      std::exit(kSkipped);
    }
    if (!is_mark(status)) give_up("did not reach its first mark", status);
  }

  /// Executes one instruction. False at the second mark.
  bool step() { return advance(PTRACE_SINGLESTEP); }

  /// Executes up to `count` instructions. False at the second mark.
  bool step(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
      if (!step()) return false;
    return true;
  }

  /// Runs to the second mark, if it is not there yet.
  void finish() {
    while (!at_end_) advance(PTRACE_CONT);
  }

  void kill() { child_.kill(); }

 private:
  bool advance(__ptrace_request how) {
    if (ptrace(how, child_.pid(), nullptr, nullptr) != 0) give_up("could not be advanced", errno);
    const int status = wait();
    if (is_mark(status)) at_end_ = true;
    else if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) give_up("went astray", status);
    return !at_end_;
  }

  int wait() {
    int status = 0;
    while (waitpid(child_.pid(), &status, __WALL) < 0)
      if (errno != EINTR) give_up("could not be waited for", errno);
    return status;
  }

  static bool is_mark(int status) { return WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP; }

  [[noreturn]] static void give_up(const char* what, int value) {
    std::fprintf(stderr, "the stepped process %s (0x%x)\n", what, static_cast<unsigned>(value));
    std::exit(EXIT_FAILURE);
  }

  Child child_;
  bool at_end_ = false;
};

/// How many instructions a victim executes between its marks, without those of the marks.
inline std::uint64_t instructions(void (*victim)()) {
  const auto count = [](void (*body)()) {
    Stepped stepped(body);
    std::uint64_t steps = 0;
    while (stepped.step()) ++steps;
    return steps;
  };
  static const std::uint64_t of_the_marks = count([] {
    mark();
    mark();
  });
  return count(victim) - of_the_marks;
}

}  // namespace bot4::test
