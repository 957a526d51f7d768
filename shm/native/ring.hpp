// The single-producer single-consumer ring of fixed-size records: the arrow between two stages.
//
// Two sequences that only grow: `tail` counts records published, `head` counts records released.
// A record's slot is its sequence modulo the capacity. Each sequence has one writer, which
// publishes it last: a producer killed while it fills a slot has published nothing, a consumer
// killed before it commits is given the same records again.
//
// Others may follow the ring, and nobody waits for them: a slot is theirs until the producer may be
// writing the next record into it. It writes at most a burst before it publishes, so what was
// published says how far it may have got.
#pragma once

#include <algorithm>

#include "doorbell.hpp"
#include "memory.hpp"

namespace bot4::shm {

struct RingHeader {
  // Written once, when the segment is laid out.
  alignas(kCacheLine) std::uint64_t capacity;  // records; a power of two
  std::uint64_t record_bytes;                  // a multiple of 8
  // The producer's line.
  alignas(kCacheLine) Word tail;  // records published
  Word high_water;                // the largest depth a push has led to
  Word refused;                   // pushes that found no room for all of their records
  // The consumer's line.
  alignas(kCacheLine) Word head;  // records committed
  // Cores fetch lines in pairs: the first slot must not come with the consumer's.
  alignas(kCacheLine) unsigned char spare[kCacheLine];

  std::uint64_t depth() const {
    // Head first: both grow, so the difference can come out too large but never negative, and a
    // stranger that reads across a burst is held to what the ring can hold.
    const std::uint64_t released = head.load(std::memory_order_acquire);
    return std::min(tail.load(std::memory_order_acquire) - released, capacity);
  }

  bool has_shape(std::uint64_t expected_capacity, std::uint64_t expected_record_bytes) const {
    return capacity == expected_capacity && record_bytes == expected_record_bytes &&
           is_power_of_two(capacity);
  }
  /// False for contents that no sequence of pushes and commits can have left behind. For either
  /// end: while both go on, the two positions read here need not fit each other.
  bool is_sound(std::uint64_t expected_capacity, std::uint64_t expected_record_bytes) const {
    const std::uint64_t released = head.load(std::memory_order_acquire);
    return has_shape(expected_capacity, expected_record_bytes) &&
           tail.load(std::memory_order_acquire) - released <= capacity &&
           high_water.load(std::memory_order_relaxed) <= capacity;
  }

  unsigned char* slots() { return reinterpret_cast<unsigned char*>(this + 1); }

  /// The most that a producer writes before it publishes.
  std::uint64_t burst() const { return std::max<std::uint64_t>(1, capacity / 4); }

  static constexpr std::size_t bytes(std::uint64_t capacity, std::uint64_t record_bytes) {
    return sizeof(RingHeader) + capacity * record_bytes;
  }
};

class RingProducer {
 public:
  /// Goes on where the last producer's publication ended. `consumer` may be no bell at all, for a
  /// consumer that never sleeps.
  explicit RingProducer(RingHeader* ring, Bell consumer = {})
      : ring_(ring),
        slots_(ring->slots()),
        capacity_(ring->capacity),
        record_bytes_(ring->record_bytes),
        burst_(ring->burst()),
        consumer_(consumer),
        tail_(ring->tail.load(std::memory_order_relaxed)),  // only producers write it
        head_seen_(ring->head.load(std::memory_order_acquire)),
        high_water_(ring->high_water.load(std::memory_order_relaxed)) {}

  bool push(const void* record) { return push_many(record, 1) == 1; }

  /// Publishes the first `count` records, or as many as there is room for; returns how many. Up to
  /// a burst of them appear at once.
  std::size_t push_many(const void* records, std::size_t count) {
    if (count == 0) return 0;  // and `records` may be null
    std::uint64_t depth = tail_ - head_seen_;
    if (depth + count > high_water_) {
      // A full ring and a new high-water mark are both seen only from the consumer's real
      // position, so one rare branch serves both. Acquire: the consumer's reads of the slots that
      // it has released are over before they are written again.
      head_seen_ = ring_->head.load(std::memory_order_acquire);
      depth = tail_ - head_seen_;
      if (depth > capacity_) return give_up();
      const std::uint64_t room = capacity_ - depth;
      if (count > room) {
        // Single writer, so no read-modify-write is needed.
        ring_->refused.store(ring_->refused.load(std::memory_order_relaxed) + 1,
                             std::memory_order_relaxed);
        count = room;
        if (count == 0) return 0;
      }
      if (depth + count > high_water_) {
        high_water_ = depth + count;
        ring_->high_water.store(high_water_, std::memory_order_relaxed);
      }
    }
    const auto* next = static_cast<const unsigned char*>(records);
    std::size_t left = count;
    for (; left > burst_; left -= burst_, next += burst_ * record_bytes_) publish(next, burst_);
    publish(next, left);
    return count;
  }

  std::uint64_t published() const { return tail_; }

  /// What the producer of a full ring waits for (see Sleeper::wait, hence the order).
  bool has_room() const {
    return tail_ - ring_->head.load(std::memory_order_seq_cst) < capacity_;
  }

  /// True once the other side's position has been found where it cannot be; nothing was copied
  /// then. Whoever wrote that may have written anywhere, so the ring is not to be used any more.
  bool is_corrupt() const { return corrupt_; }

  std::size_t record_bytes() const { return record_bytes_; }

 private:
  std::size_t give_up() {
    corrupt_ = true;
    head_seen_ = tail_;  // so that the next push comes here again
    high_water_ = 0;
    return 0;
  }

  /// Up to a burst, for which there is room.
  void publish(const unsigned char* records, std::size_t count) {
    // A follower that finds a word of these records finds the last publication, too.
    store_barrier();
    const std::uint64_t first = tail_ & (capacity_ - 1);
    if (count == 1) {
      copy_record(slots_ + first * record_bytes_, records, record_bytes_);
    } else {
      const std::size_t run = std::min<std::uint64_t>(count, capacity_ - first);
      std::memcpy(slots_ + first * record_bytes_, records, run * record_bytes_);
      std::memcpy(slots_, records + run * record_bytes_, (count - run) * record_bytes_);
    }
    tail_ += count;
    if (!consumer_) {
      // Release: the records are written before the sequence that makes them visible.
      ring_->tail.store(tail_, std::memory_order_release);
      return;
    }
    // Sequentially consistent, which is a release too: see doorbell.hpp.
    ring_->tail.store(tail_, std::memory_order_seq_cst);
    consumer_.ring_if_sleeping();
  }

  RingHeader* ring_;
  unsigned char* slots_;
  std::uint64_t capacity_;
  std::size_t record_bytes_;
  std::uint64_t burst_;
  Bell consumer_;
  std::uint64_t tail_;       // what this process has published
  std::uint64_t head_seen_;  // the consumer's position when last looked at: never beyond the real
  std::uint64_t high_water_;
  bool corrupt_ = false;
};

class RingConsumer {
 public:
  /// Starts at the committed position: what its predecessor had read but not committed is read
  /// again. `producer` is the bell of a producer that sleeps while the ring is full.
  explicit RingConsumer(RingHeader* ring, Bell producer = {})
      : ring_(ring),
        slots_(ring->slots()),
        capacity_(ring->capacity),
        record_bytes_(ring->record_bytes),
        producer_(producer),
        committed_(ring->head.load(std::memory_order_relaxed)),  // only consumers write it
        read_(committed_),
        tail_seen_(committed_) {}

  /// Copies the next record; false if there is none.
  bool pop(void* record) {
    if (unread() == 0) return false;
    copy_record(record, slot(read_), record_bytes_);
    ++read_;
    return true;
  }

  /// Copies up to `count` records; returns how many.
  std::size_t drain(void* records, std::size_t count) {
    count = std::min<std::uint64_t>(count, refreshed_unread());
    if (count == 0) return 0;  // and `records` may be null
    const std::size_t run = std::min<std::uint64_t>(count, until_wrap());
    std::memcpy(records, slot(read_), run * record_bytes_);
    std::memcpy(static_cast<unsigned char*>(records) + run * record_bytes_, slots_,
                (count - run) * record_bytes_);
    read_ += count;
    return count;
  }

  /// The next records where they lie: up to `count`, and no further than the end of the ring.
  /// They stay as they are until they are committed.
  const unsigned char* view(std::size_t& count) {
    count = std::min<std::uint64_t>({count, refreshed_unread(), until_wrap()});
    const unsigned char* records = slot(read_);
    read_ += count;
    return records;
  }

  /// Gives the oldest `count` records that were read back to the producer.
  void commit(std::uint64_t count) {
    committed_ += count;
    if (!producer_) {
      // Release: the reads of these slots are over before the producer may write them again.
      ring_->head.store(committed_, std::memory_order_release);
      return;
    }
    // Sequentially consistent, which is a release too: see doorbell.hpp, with head for tail.
    ring_->head.store(committed_, std::memory_order_seq_cst);
    producer_.ring_if_sleeping();
  }

  /// Back to the first record that was not committed.
  void rewind() { read_ = committed_; }

  std::uint64_t pending() const { return read_ - committed_; }
  std::uint64_t committed() const { return committed_; }
  std::uint64_t position() const { return read_; }

  /// The source that a consumer waits for (see Sleeper::wait, hence the order).
  bool has_unread() const { return ring_->tail.load(std::memory_order_seq_cst) != read_; }

  /// As for the producer.
  bool is_corrupt() const { return corrupt_; }

  std::size_t record_bytes() const { return record_bytes_; }

 private:
  std::uint64_t unread() {
    // While some of what was seen is left, the producer's line is not touched.
    return tail_seen_ != read_ ? tail_seen_ - read_ : refreshed_unread();
  }
  std::uint64_t refreshed_unread() {
    // Acquire: the records up to this sequence were written before it.
    tail_seen_ = ring_->tail.load(std::memory_order_acquire);
    // Against what was read, not only what was committed: a tail between the two is as wrong.
    if (tail_seen_ - read_ > capacity_ - pending()) {
      corrupt_ = true;
      tail_seen_ = read_;
    }
    return tail_seen_ - read_;
  }
  std::uint64_t until_wrap() const { return capacity_ - (read_ & (capacity_ - 1)); }
  unsigned char* slot(std::uint64_t sequence) const {
    return slots_ + (sequence & (capacity_ - 1)) * record_bytes_;
  }

  RingHeader* ring_;
  unsigned char* slots_;
  std::uint64_t capacity_;
  std::size_t record_bytes_;
  Bell producer_;
  std::uint64_t committed_;  // what `head` says
  std::uint64_t read_;       // what this process has been given
  std::uint64_t tail_seen_;  // the producer's position when last looked at
  bool corrupt_ = false;
};

/// Reads without consuming, and falls behind if it is slow. Writes nothing, so any number of them
/// keep nobody waiting. In a ring of one record nothing is ever safe from being overwritten.
class RingFollower {
 public:
  enum class Start { kOldest, kNewest };

  RingFollower(RingHeader* ring, Start start)
      : ring_(ring),
        slots_(ring->slots()),
        capacity_(ring->capacity),
        record_bytes_(ring->record_bytes),
        burst_(ring->burst()),
        next_(start == Start::kOldest ? oldest() : published()) {}

  /// Copies up to `count` records, oldest first. Returns how many; adds to `lost` how many were, or
  /// may have been, overwritten before they could be read, so that delivered + lost = published.
  std::size_t read(void* records, std::size_t count, std::uint64_t& lost) {
    auto* to = static_cast<unsigned char*>(records);
    std::size_t copied = 0;
    while (copied < count) {
      // Acquire: the records up to this sequence were written before it.
      const std::uint64_t tail = ring_->tail.load(std::memory_order_acquire);
      if (next_ >= tail) break;
      lost += skip_to(std::max(next_, oldest(tail)));
      const std::size_t run = std::min<std::uint64_t>(count - copied, tail - next_);
      unsigned char* const start = to + copied * record_bytes_;
      for (std::size_t i = 0; i < run; ++i) copy(start + i * record_bytes_, next_ + i);
      // What is overwritten by now is the front of the run. Relaxed: load_record's acquires keep
      // this load after them, and with the producer's barrier a word of a newer record brings the
      // publication with it that its burst came after.
      const std::uint64_t safe = oldest(ring_->tail.load(std::memory_order_relaxed));
      const std::size_t gone = std::min<std::uint64_t>(run, safe - std::min(safe, next_));
      std::memmove(start, start + gone * record_bytes_, (run - gone) * record_bytes_);
      next_ += run;
      lost += gone;
      copied += run - gone;
      if (gone == 0) break;
    }
    return copied;
  }

  /// Copies the last record that was published; false if there is none. Of a ring of one record
  /// this needs a producer that stands still, as it does while its successor recovers.
  bool last(void* record) const {
    for (;;) {
      const std::uint64_t tail = ring_->tail.load(std::memory_order_acquire);
      if (tail == 0) return false;
      copy(record, tail - 1);
      const std::uint64_t now = ring_->tail.load(std::memory_order_relaxed);
      if (now == tail || oldest(now) < tail) return true;
    }
  }

  /// Goes on with this record; if it is gone, with the oldest after it, having lost those between.
  void seek(std::uint64_t sequence) { next_ = sequence; }

  std::uint64_t position() const { return next_; }
  std::uint64_t published() const { return ring_->tail.load(std::memory_order_acquire); }
  /// The oldest record that can still be read, if nothing more is published.
  std::uint64_t oldest() const { return oldest(published()); }

 private:
  /// Records from here on are whole, as long as no more than `tail` are published: the producer may
  /// be writing those up to tail + burst, over the ones a ring further back.
  std::uint64_t oldest(std::uint64_t tail) const {
    return tail + burst_ - std::min(tail + burst_, capacity_);
  }
  std::uint64_t skip_to(std::uint64_t sequence) {
    const std::uint64_t skipped = sequence - next_;
    next_ = sequence;
    return skipped;
  }
  void copy(void* to, std::uint64_t sequence) const {
    unsigned char* slot = slots_ + (sequence & (capacity_ - 1)) * record_bytes_;
    load_record(to, reinterpret_cast<const Word*>(slot), record_bytes_);
  }

  RingHeader* ring_;
  unsigned char* slots_;
  std::uint64_t capacity_;
  std::size_t record_bytes_;
  std::uint64_t burst_;
  std::uint64_t next_;
};

}  // namespace bot4::shm
