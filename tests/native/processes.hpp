// Processes that are made to be killed.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

namespace bot4::test {

/// A forked process, which dies with this object and with this process.
class Child {
 public:
  Child() = default;
  template <class Body>
  explicit Child(Body&& body) {
    const pid_t parent = getpid();
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) {
      std::perror("fork");
      std::abort();
    }
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILURE);  // it died before it was asked for
    failures = 0;                                  // those of the parent are not its own
    body();
    _exit(failures.load() == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  ~Child() { kill(); }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }

  pid_t pid() const { return pid_; }

  void kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    reap();
  }

  /// Waits for it to end by itself; true if it was content.
  bool succeeds() { return reap() == 0; }

 private:
  int reap() {
    int status = -1;
    while (waitpid(pid_, &status, __WALL) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

  pid_t pid_ = 0;
};

}  // namespace bot4::test
