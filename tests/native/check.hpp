// Checks and waits of the programs in this folder.
//
// A program prints each check that fails with the values that it was about, goes on, and ends with
// a status that is not zero. No check is ever compiled out.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include <sched.h>

#include "memory.hpp"

namespace bot4::test {

inline constexpr int kSkipped = 77;  // exit status: cannot be run here, says why

inline constexpr unsigned kMostPrinted = 20;  // a broken loop would print millions
inline std::atomic<unsigned> failures{0};

template <class T>
void print_value(T value) {
  if constexpr (std::is_enum_v<T>) print_value(static_cast<std::underlying_type_t<T>>(value));
  else if constexpr (std::is_same_v<T, const char*>) std::fprintf(stderr, " %s", value);
  else if constexpr (std::is_pointer_v<T>) std::fprintf(stderr, " %p", (const void*)value);
  else if constexpr (std::is_signed_v<T>) std::fprintf(stderr, " %lld", (long long)value);
  else std::fprintf(stderr, " %llu", (unsigned long long)value);
}

template <class... Values>
void fail(const char* where, const char* what, const char* names, Values... values) {
  if (failures.fetch_add(1, std::memory_order_relaxed) >= kMostPrinted) return;
  std::fprintf(stderr, "%s: false: %s", where, what);
  if constexpr (sizeof...(values) != 0) {
    std::fprintf(stderr, "; %s:", names);
    (print_value(values), ...);
  }
  std::fputc('\n', stderr);
}

/// The status for main to return.
inline int verdict() {
  const unsigned failed = failures.load();
  if (failed != 0) std::fprintf(stderr, "%u checks failed\n", failed);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/// The tests that the arguments of a program name; all of them if there are none.
class Choice {
 public:
  Choice(int count, char** arguments) : count_(count - 1), names_(arguments + 1) {}
  ~Choice() {
    if (found_ >= count_) return;
    std::fputs("some of the tests named do not exist\n", stderr);
    std::abort();
  }

  bool has(const char* name) {
    for (int i = 0; i < count_; ++i) {
      if (std::strcmp(names_[i], name) != 0) continue;
      ++found_;
      return true;
    }
    return count_ == 0;
  }

 private:
  int count_;
  char** names_;
  int found_ = 0;
};

/// What a loop that waits for somebody else does between two looks. Ends the program where the
/// test would otherwise hang.
class Patience {
 public:
  explicit Patience(const char* where)
      : where_(where), deadline_(shm::monotonic_ns() + kSeconds * 1'000'000'000) {}

  void rest() {
    sched_yield();
    if (shm::monotonic_ns() < deadline_) return;
    std::fprintf(stderr, "%s: waited in vain\n", where_);
    std::abort();
  }

 private:
  static constexpr std::int64_t kSeconds = 200;  // the machine may be slow, and busy with others

  const char* where_;
  std::int64_t deadline_;
};

}  // namespace bot4::test

#define BOT4_TEXT_OF(x) #x
#define BOT4_TEXT(x) BOT4_TEXT_OF(x)
#define HERE __FILE__ ":" BOT4_TEXT(__LINE__)

/// CHECK(got == wanted, got, wanted): the values behind the condition are printed if it is false.
#define CHECK(condition, ...) \
  ((condition) ? void()       \
               : ::bot4::test::fail(HERE, #condition, #__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__))
