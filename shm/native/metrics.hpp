// Counters and histograms with one writer each, readable by anyone while they are written.
#pragma once

#include <bit>

#include "memory.hpp"

namespace bot4::shm {

/// Adds to a word that only this process writes: a load and a store, no locked instruction.
inline void add_single_writer(Word& word, std::uint64_t n) {
  word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

/// The index of a value's bucket: exact below 32, then 32 buckets to each power of two, so a
/// bucket is never wider than 1/32 of its values. (The scheme of HdrHistogram, with 5 bits.)
struct Buckets {
  static constexpr unsigned kBits = 5;
  static constexpr std::uint64_t kPerOctave = 1u << kBits;
  static constexpr std::size_t kCount = (64 - kBits + 1) * kPerOctave;

  static constexpr std::size_t index(std::uint64_t value) {
    if (value < kPerOctave) return value;
    const unsigned shift = 63 - static_cast<unsigned>(std::countl_zero(value)) - kBits;
    return (std::size_t{shift} << kBits) + (value >> shift);
  }

  /// The largest value that falls into a bucket.
  static constexpr std::uint64_t highest(std::size_t index) {
    if (index < kPerOctave) return index;
    const unsigned shift = static_cast<unsigned>(index >> kBits) - 1;
    const std::uint64_t lowest = (kPerOctave + (index & (kPerOctave - 1))) << shift;
    return lowest + ((std::uint64_t{1} << shift) - 1);
  }
};

struct HistogramWords {
  // Anyone asks for a reset by raising this; the writer obeys with its next record.
  alignas(kCacheLine) Word wanted_epoch;
  // The writer's. Twice the epoch that the counts belong to, minus one while they are cleared.
  alignas(kCacheLine) Word epoch;
  Word sum;                    // of the values, modulo 2^64
  Word low;                    // smallest value, complemented: zero memory means "none yet"
  Word high;                   // largest value
  Word bucket[Buckets::kCount];
};

class HistogramWriter {
 public:
  explicit HistogramWriter(HistogramWords* words)
      : words_(words), epoch_(words->epoch.load(std::memory_order_relaxed)) {
    if (epoch_ & 1) clear((epoch_ + 1) / 2);  // a predecessor was killed while clearing
  }

  void record(std::uint64_t value) {
    const std::uint64_t wanted = words_->wanted_epoch.load(std::memory_order_relaxed);
    if (epoch_ != 2 * wanted) clear(wanted);
    if (~value > words_->low.load(std::memory_order_relaxed))
      words_->low.store(~value, std::memory_order_relaxed);
    if (value > words_->high.load(std::memory_order_relaxed))
      words_->high.store(value, std::memory_order_relaxed);
    add_single_writer(words_->sum, value);
    // The bucket last: a writer killed in between has not counted a value whose extremes are out.
    add_single_writer(words_->bucket[Buckets::index(value)], 1);
  }

 private:
  void clear(std::uint64_t epoch) {
    // A seqlock around the clearing: readers that copy across it start again. Each store is a
    // release, so that it cannot pass the odd epoch; see store_record.
    words_->epoch.store(2 * epoch - 1, std::memory_order_relaxed);
    words_->sum.store(0, std::memory_order_release);
    words_->low.store(0, std::memory_order_release);
    words_->high.store(0, std::memory_order_release);
    for (Word& bucket : words_->bucket) bucket.store(0, std::memory_order_release);
    epoch_ = 2 * epoch;
    words_->epoch.store(epoch_, std::memory_order_release);
  }

  HistogramWords* words_;
  std::uint64_t epoch_;
};

struct HistogramCopy {
  std::uint64_t epoch, sum, low, high;
  std::uint64_t bucket[Buckets::kCount];
};

/// Copies the counts of one epoch. If the writer is clearing, or was killed clearing, or has not
/// recorded anything since a reset was asked for, that is an empty histogram: never a wait.
inline void copy_histogram(const HistogramWords& words, HistogramCopy& copy) {
  for (;;) {
    const std::uint64_t before = words.epoch.load(std::memory_order_acquire);
    const std::uint64_t wanted = words.wanted_epoch.load(std::memory_order_acquire);
    if (before != 2 * wanted) {
      copy = {};
      copy.epoch = wanted;
      return;
    }
    copy.epoch = wanted;
    copy.sum = words.sum.load(std::memory_order_acquire);
    copy.low = ~words.low.load(std::memory_order_acquire);
    copy.high = words.high.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < Buckets::kCount; ++i)
      copy.bucket[i] = words.bucket[i].load(std::memory_order_acquire);
    if (words.epoch.load(std::memory_order_relaxed) == before) return;
  }
}

}  // namespace bot4::shm
