// What the programs fill the structures with, and memory to lay them in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <sys/mman.h>

#include "memory.hpp"

namespace bot4::test {

/// A record whose every word follows from one number, so that a mixture of two records, or of one
/// and zeros, is seen wherever it is cut.
template <std::size_t Bytes>
struct Sample {
  std::uint64_t word[Bytes / 8];

  static constexpr std::uint64_t word_of(std::uint64_t number, std::size_t i) {
    // The finaliser of splitmix64: different everywhere for different numbers.
    std::uint64_t x = number * 0x9e3779b97f4a7c15 + i;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  static Sample of(std::uint64_t number) {
    Sample sample;
    sample.word[0] = number;
    for (std::size_t i = 1; i < Bytes / 8; ++i) sample.word[i] = word_of(number, i);
    return sample;
  }

  std::uint64_t number() const { return word[0]; }

  bool is(std::uint64_t number) const {
    bool same = word[0] == number;
    for (std::size_t i = 1; i < Bytes / 8; ++i) same &= word[i] == word_of(number, i);
    return same;
  }
  bool is_whole() const { return is(number()); }
};

/// Zeroed memory that is shared with the processes forked later, as a segment's is.
class Shared {
 public:
  explicit Shared(std::size_t bytes)
      : start_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        bytes_(bytes) {
    if (start_ == MAP_FAILED) {
      std::perror("mmap");
      std::abort();
    }
  }
  ~Shared() { munmap(start_, bytes_); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  void clear() { std::memset(start_, 0, bytes_); }
  std::vector<unsigned char> copy() const {
    const auto* first = as<unsigned char>();
    return {first, first + bytes_};
  }
  void put_back(const std::vector<unsigned char>& copy) {
    std::memcpy(start_, copy.data(), bytes_);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(start_);
  }

 private:
  void* start_;
  std::size_t bytes_;
};

/// A structure with a header (ring, observer ring, table, cells) in memory of its own, and what is
/// written there when a segment is laid out.
template <class Header>
class Laid {
 public:
  Laid(std::uint64_t count, std::uint64_t record_bytes)
      : memory_(Header::bytes(count, record_bytes)), count_(count), record_bytes_(record_bytes) {
    lay_out();
  }

  void lay_out() {
    memory_.clear();
    if constexpr (requires(Header header) { header.capacity; }) get()->capacity = count_;
    else if constexpr (requires(Header header) { header.rows; }) get()->rows = count_;
    else get()->count = count_;
    get()->record_bytes = record_bytes_;
  }

  Shared& memory() { return memory_; }
  Header* get() const { return memory_.as<Header>(); }
  Header* operator->() const { return get(); }

 private:
  Shared memory_;
  std::uint64_t count_;
  std::uint64_t record_bytes_;
};

/// Random numbers that are the same in each run.
class Random {
 public:
  explicit Random(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t below(std::uint64_t limit) { return Sample<16>::word_of(seed_, drawn_++) % limit; }

 private:
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
};

}  // namespace bot4::test
