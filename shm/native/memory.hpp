// What every structure in the segment is made of: 64-bit atomic words, cache lines, and copies of
// records whose every word is atomic.
//
// All of it is laid over memory that was zero when the segment was created, so zero is a valid
// initial state of each structure here.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace bot4::shm {

inline constexpr std::size_t kCacheLine = 64;

#ifdef BOT4_WORD
using Word = BOT4_WORD;  // a test that chooses the order of all accesses: the same interface
#else
using Word = std::atomic<std::uint64_t>;
#endif
static_assert(Word::is_always_lock_free && sizeof(Word) == 8,
              "a word that hides a lock would die with the process that holds it");
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/// A word with a cache line of its own, for words that unrelated processes write.
struct alignas(kCacheLine) PaddedWord {
  Word value;
};

constexpr std::size_t round_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

constexpr bool is_power_of_two(std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

/// Tells the core that this is a busy-wait; costs about 25 ns where it has a cost.
inline void cpu_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// Stores in front of this are seen by other cores before those behind it, plain ones too. Nothing
/// for the hardware on x86-64, which keeps stores in order. (A fence of the language would do, but
/// ThreadSanitizer does not follow fences.)
inline void store_barrier() {
#if defined(__aarch64__)
  asm volatile("dmb ishst" ::: "memory");
#else
  asm volatile("" ::: "memory");
#endif
}

inline std::int64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Copies one record that nobody else can touch meanwhile. The common sizes get a length that the
/// compiler knows, which turns a call into a few vector moves.
inline void copy_record(void* to, const void* from, std::size_t bytes) {
#pragma GCC diagnostic push
  // Inlined where a record of one size is declared, the cases of other sizes look like overruns.
#pragma GCC diagnostic ignored "-Warray-bounds"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
  switch (bytes) {
    case 64: std::memcpy(to, from, 64); return;
    case 128: std::memcpy(to, from, 128); return;
    default: std::memcpy(to, from, bytes);
  }
#pragma GCC diagnostic pop
}

/// Writes a record that others may be reading, word by word.
///
/// Each store is a release, so it cannot pass the stamp stored before it: a reader that sees any
/// word of this record also sees that stamp, and rejects what it has copied. (A fence would do for
/// the hardware, but ThreadSanitizer does not follow fences. On x86-64 both are plain moves.)
inline void store_record(Word* to, const void* from, std::size_t bytes) {
  const auto* source = static_cast<const unsigned char*>(from);
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    std::uint64_t word;
    std::memcpy(&word, source + i * 8, 8);
    to[i].store(word, std::memory_order_release);
  }
}

/// Reads a record that may be written meanwhile; the caller checks a stamp afterwards.
///
/// Each load is an acquire, so the check of the stamp cannot be done before it, and a word of a
/// newer record brings the newer stamp with it.
inline void load_record(void* to, const Word* from, std::size_t bytes) {
  auto* target = static_cast<unsigned char*>(to);
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    const std::uint64_t word = from[i].load(std::memory_order_acquire);
    std::memcpy(target + i * 8, &word, 8);
  }
}

}  // namespace bot4::shm
