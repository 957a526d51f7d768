// The observer ring: one producer that never waits, any number of readers that may fall behind.
//
// Each slot carries a stamp: 2 * sequence + 1 while record `sequence` is being written into it,
// 2 * sequence + 2 once it is complete. A reader copies a slot between two looks at its stamp, and
// counts what has been overwritten as lost. Readers write nothing, so they cannot slow anyone.
#pragma once

#include <algorithm>

#include "memory.hpp"

namespace bot4::shm {

struct ObserverHeader {
  alignas(kCacheLine) std::uint64_t capacity;  // records; a power of two
  std::uint64_t record_bytes;                  // a multiple of 8
  alignas(kCacheLine) Word tail;               // records published

  std::size_t slot_words() const { return 1 + record_bytes / 8; }  // the stamp, then the record
  Word* slot(std::uint64_t sequence) {
    return reinterpret_cast<Word*>(this + 1) + (sequence & (capacity - 1)) * slot_words();
  }
  bool is_sound(std::uint64_t expected_capacity, std::uint64_t expected_record_bytes) const {
    return capacity == expected_capacity && record_bytes == expected_record_bytes &&
           is_power_of_two(capacity);
  }
  static constexpr std::size_t bytes(std::uint64_t capacity, std::uint64_t record_bytes) {
    return sizeof(ObserverHeader) + capacity * (8 + record_bytes);
  }
};

class ObserverProducer {
 public:
  explicit ObserverProducer(ObserverHeader* ring)
      : ring_(ring), tail_(ring->tail.load(std::memory_order_relaxed)) {}

  void push(const void* record) {
    Word* slot = ring_->slot(tail_);
    // Relaxed: store_record's releases keep this store before each word of the record.
    slot[0].store(2 * tail_ + 1, std::memory_order_relaxed);
    store_record(slot + 1, record, ring_->record_bytes);
    // Release: complete before it says so.
    slot[0].store(2 * tail_ + 2, std::memory_order_release);
    // Release: a reader that sees the sequence finds the stamp.
    ring_->tail.store(++tail_, std::memory_order_release);
  }

  void push_many(const void* records, std::size_t count) {
    const auto* record = static_cast<const unsigned char*>(records);
    for (std::size_t i = 0; i < count; ++i) push(record + i * ring_->record_bytes);
  }

  std::uint64_t published() const { return tail_; }

 private:
  ObserverHeader* ring_;
  std::uint64_t tail_;
};

class ObserverReader {
 public:
  enum class Start { kOldest, kNewest };

  ObserverReader(ObserverHeader* ring, Start start) : ring_(ring) {
    next_ = start == Start::kOldest ? oldest() : published();
  }

  /// Copies up to `count` records, oldest first. Returns how many; adds to `lost` how many were
  /// overwritten before they could be read, so that delivered + lost = published.
  std::size_t read(void* records, std::size_t count, std::uint64_t& lost) {
    auto* to = static_cast<unsigned char*>(records);
    std::uint64_t tail = ring_->tail.load(std::memory_order_acquire);
    std::size_t copied = 0;
    while (copied < count && next_ < tail) {
      if (tail - next_ > ring_->capacity) {
        lost += tail - next_ - ring_->capacity;
        next_ = tail - ring_->capacity;
      }
      if (copy(next_, to + copied * ring_->record_bytes)) {
        ++copied;
      } else {
        // The producer has lapped us in this very slot, so there may be more that is gone.
        ++lost;
        tail = ring_->tail.load(std::memory_order_acquire);
      }
      ++next_;
    }
    return copied;
  }

  /// Goes on with this record; if it is gone, with the oldest after it, having lost those between.
  void seek(std::uint64_t sequence) { next_ = sequence; }

  bool has_unread() const { return ring_->tail.load(std::memory_order_seq_cst) > next_; }
  std::uint64_t position() const { return next_; }
  std::uint64_t published() const { return ring_->tail.load(std::memory_order_acquire); }
  /// The oldest record that the ring still has.
  std::uint64_t oldest() const {
    const std::uint64_t tail = published();
    return tail - std::min(tail, ring_->capacity);
  }

 private:
  bool copy(std::uint64_t sequence, void* to) {
    Word* slot = ring_->slot(sequence);
    const std::uint64_t complete = 2 * sequence + 2;
    // Acquire: the record is read after the stamp that vouches for it.
    if (slot[0].load(std::memory_order_acquire) != complete) return false;
    load_record(to, slot + 1, ring_->record_bytes);
    // Relaxed: load_record's acquires keep this load after them.
    return slot[0].load(std::memory_order_relaxed) == complete;
  }

  ObserverHeader* ring_;
  std::uint64_t next_;
};

}  // namespace bot4::shm
