// What the two rings do when nobody else is there: every function, every branch.

#include <algorithm>
#include <vector>

#include "check.hpp"
#include "observer.hpp"
#include "ring.hpp"
#include "samples.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

using Record = Sample<64>;
constexpr std::uint64_t kCapacity = 8;

// --- ring.hpp ---

using Ring = Laid<RingHeader>;

std::uint64_t high_water(const Ring& ring) { return ring->high_water.load(); }
std::uint64_t refused(const Ring& ring) { return ring->refused.load(); }

std::vector<Record> samples(std::uint64_t first, std::uint64_t count) {
  std::vector<Record> records;
  for (std::uint64_t i = 0; i < count; ++i) records.push_back(Record::of(first + i));
  return records;
}

void push_samples(RingProducer& producer, std::uint64_t count) {
  if (count == 0) return;
  const auto records = samples(producer.published(), count);
  const std::size_t pushed = producer.push_many(records.data(), count);
  CHECK(pushed == count, pushed, count);
}

void pop_and_commit(RingConsumer& consumer, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t wanted = consumer.position();
    Record record = {};
    CHECK(consumer.pop(&record) && record.is(wanted), wanted, record.number());
  }
  consumer.commit(count);
}

void a_new_ring_is_empty_and_sound() {
  const Ring ring(kCapacity, sizeof(Record));
  CHECK(ring->is_sound(kCapacity, sizeof(Record)));
  CHECK(ring->depth() == 0, ring->depth());
  RingConsumer consumer(ring.get());
  Record record = {};
  CHECK(!consumer.pop(&record));
  CHECK(!consumer.has_unread());
  CHECK(consumer.drain(&record, 1) == 0);
  std::size_t count = 5;
  consumer.view(count);
  CHECK(count == 0, count);
  CHECK(consumer.record_bytes() == sizeof(Record) &&
        RingProducer(ring.get()).record_bytes() == sizeof(Record));
}

void records_come_out_as_they_went_in() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  // Five times around, one at a time.
  for (std::uint64_t sequence = 0; sequence < 5 * kCapacity; ++sequence) {
    const Record record = Record::of(sequence);
    CHECK(producer.push(&record));
    CHECK(producer.published() == sequence + 1, producer.published());
    CHECK(consumer.has_unread());
    CHECK(consumer.position() == sequence, consumer.position());
    pop_and_commit(consumer, 1);
    CHECK(consumer.position() == sequence + 1, consumer.position());
  }
  CHECK(high_water(ring) == 1, high_water(ring));
}

/// For every place in the ring and every length of burst, by each way of reading.
void bursts_cross_the_end_of_the_ring() {
  for (std::uint64_t start = 0; start < kCapacity; ++start) {
    for (std::uint64_t count = 1; count <= kCapacity; ++count) {
      const Ring ring(kCapacity, sizeof(Record));
      RingProducer producer(ring.get());
      RingConsumer consumer(ring.get());
      push_samples(producer, start);
      pop_and_commit(consumer, start);

      push_samples(producer, count);
      std::vector<Record> drained(kCapacity + 1);
      const std::size_t got = consumer.drain(drained.data(), drained.size());
      CHECK(got == count, got, count, start);
      for (std::uint64_t i = 0; i < count; ++i) CHECK(drained[i].is(start + i), start, count, i);

      consumer.rewind();
      std::size_t viewed = kCapacity + 1;
      const unsigned char* records = consumer.view(viewed);
      CHECK(viewed == std::min(count, kCapacity - start), viewed, start, count);
      std::size_t rest = kCapacity + 1;
      const unsigned char* wrapped = consumer.view(rest);
      CHECK(viewed + rest == count, viewed, rest, count);
      for (std::uint64_t i = 0; i < count; ++i) {
        Record record = {};
        const unsigned char* from =
            i < viewed ? records + i * sizeof record : wrapped + (i - viewed) * sizeof record;
        std::memcpy(&record, from, sizeof record);
        CHECK(record.is(start + i), start, count, i);
      }
      CHECK(consumer.pending() == count, consumer.pending(), count);
      consumer.commit(count);
      CHECK(ring->depth() == 0 && consumer.pending() == 0);
    }
  }
}

void reads_are_limited_by_what_was_asked_for() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  push_samples(producer, 6);
  Record records[kCapacity];
  CHECK(consumer.drain(records, 2) == 2);
  std::size_t count = 3;
  consumer.view(count);
  CHECK(count == 3, count);
  CHECK(consumer.position() == 5, consumer.position());
  CHECK(consumer.pop(records) && records[0].is(5));
  CHECK(!consumer.pop(records));
}

/// The pointer of an empty std::vector is null, which not every function of the library takes.
void a_burst_of_nothing_needs_no_memory() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  CHECK(producer.push_many(nullptr, 0) == 0 && ring->tail == 0);
  CHECK(consumer.drain(nullptr, 0) == 0);
  push_samples(producer, 1);
  CHECK(producer.push_many(nullptr, 0) == 0 && ring->tail == 1);
  CHECK(consumer.drain(nullptr, 0) == 0 && consumer.pending() == 0);
}

void a_full_ring_refuses_and_says_so() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  push_samples(producer, kCapacity);
  CHECK(ring->depth() == kCapacity, ring->depth());
  CHECK(!producer.has_room());
  const Record next = Record::of(kCapacity);
  CHECK(!producer.push(&next));
  CHECK(refused(ring) == 1, refused(ring));
  CHECK(producer.published() == kCapacity, producer.published());

  // Reading makes no room, committing does.
  Record record = {};
  CHECK(consumer.pop(&record));
  CHECK(!producer.push(&next));
  CHECK(refused(ring) == 2, refused(ring));
  consumer.commit(1);
  CHECK(producer.has_room());
  CHECK(producer.push(&next));

  // A burst that fits in part: the first of it.
  pop_and_commit(consumer, 3);
  const auto burst = samples(kCapacity + 1, 5);
  CHECK(producer.push_many(burst.data(), 5) == 3);
  CHECK(refused(ring) == 3, refused(ring));
  CHECK(high_water(ring) == kCapacity, high_water(ring));
  pop_and_commit(consumer, kCapacity);
  CHECK(!consumer.has_unread());
}

void the_high_water_mark_is_the_largest_depth() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  push_samples(producer, 3);
  pop_and_commit(consumer, 3);
  // Not six: the first three are gone, although the producer has not looked since.
  push_samples(producer, 3);
  CHECK(high_water(ring) == 3, high_water(ring));
  push_samples(producer, 2);
  CHECK(high_water(ring) == 5, high_water(ring));
  pop_and_commit(consumer, 5);
  push_samples(producer, 4);
  CHECK(high_water(ring) == 5, high_water(ring));
  // A successor keeps it.
  RingProducer successor(ring.get());
  push_samples(successor, 1);
  CHECK(high_water(ring) == 5, high_water(ring));
}

void successors_go_on_where_the_words_say() {
  const Ring ring(kCapacity, sizeof(Record));
  {
    RingProducer producer(ring.get());
    RingConsumer consumer(ring.get());
    push_samples(producer, 5);
    pop_and_commit(consumer, 2);
    Record record = {};
    CHECK(consumer.pop(&record));  // and not committed
  }
  RingProducer producer(ring.get());
  CHECK(producer.published() == 5, producer.published());
  push_samples(producer, 5);
  RingConsumer consumer(ring.get());
  CHECK(consumer.committed() == 2 && consumer.position() == 2);
  pop_and_commit(consumer, 8);
  CHECK(!consumer.has_unread());
}

void rewinding_gives_the_uncommitted_records_again() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  push_samples(producer, 6);
  pop_and_commit(consumer, 1);
  Record record = {};
  CHECK(consumer.pop(&record) && consumer.pop(&record) && record.is(2));
  CHECK(consumer.pending() == 2, consumer.pending());
  consumer.commit(1);  // fewer than were read
  CHECK(consumer.pending() == 1, consumer.pending());
  consumer.rewind();
  CHECK(consumer.pop(&record) && record.is(2), record.number());
}

template <std::size_t Bytes>
void rings_carry_records_of_any_size() {
  using Other = Sample<Bytes>;
  const Ring ring(4, Bytes);
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  for (std::uint64_t sequence = 0; sequence < 9; ++sequence) {
    const Other record = Other::of(sequence);
    Other got = {};
    CHECK(producer.push(&record) && consumer.pop(&got) && got.is(sequence), Bytes, sequence);
    consumer.commit(1);
  }
}

void a_ring_that_cannot_be_is_not_sound() {
  const Ring ring(kCapacity, sizeof(Record));
  CHECK(!ring->is_sound(kCapacity * 2, sizeof(Record)));
  CHECK(!ring->is_sound(kCapacity, sizeof(Record) * 2));
  ring->capacity = 6;
  CHECK(!ring->is_sound(6, sizeof(Record)));
  ring->capacity = kCapacity;
  ring->tail.store(3);
  ring->head.store(4);  // committed what was never published
  CHECK(!ring->is_sound(kCapacity, sizeof(Record)));
  ring->tail.store(5 + kCapacity);  // overwritten what was never committed
  CHECK(!ring->is_sound(kCapacity, sizeof(Record)));
  // Someone who looks between the two words is told at most what a ring can hold.
  CHECK(ring->depth() == kCapacity, ring->depth());
  ring->tail.store(4 + kCapacity);
  CHECK(ring->is_sound(kCapacity, sizeof(Record)));
  // The producer looks for room only above this mark, so it would overwrite what was not read.
  ring->high_water.store(kCapacity + 1);
  CHECK(!ring->is_sound(kCapacity, sizeof(Record)));
}

// Of eight records two may be written before they are published, so six can be followed.
constexpr std::uint64_t kFollowed = 6;

/// Through the ring, one at a time.
void push_and_pop(const Ring& ring, std::uint64_t count) {
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  for (std::uint64_t i = 0; i < count; ++i) {
    push_samples(producer, 1);
    pop_and_commit(consumer, 1);
  }
}

void followers_read_what_is_published_without_consuming_it() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingFollower follower(ring.get(), RingFollower::Start::kOldest);
  Record records[kCapacity];
  std::uint64_t lost = 0;
  CHECK(follower.read(records, kCapacity, lost) == 0 && lost == 0);
  push_samples(producer, 5);
  CHECK(follower.read(records, 3, lost) == 3 && records[2].is(2));
  CHECK(follower.read(records, kCapacity, lost) == 2 && records[1].is(4) && lost == 0, lost);
  CHECK(follower.position() == 5 && follower.published() == 5);
  CHECK(follower.read(nullptr, 0, lost) == 0);
  CHECK(ring->depth() == 5, ring->depth());
}

void a_lapped_follower_is_told_how_much_it_lost() {
  const Ring ring(kCapacity, sizeof(Record));
  RingFollower slow(ring.get(), RingFollower::Start::kNewest);
  push_and_pop(ring, 21);
  CHECK(RingFollower(ring.get(), RingFollower::Start::kNewest).position() == 21);
  const RingFollower oldest(ring.get(), RingFollower::Start::kOldest);
  CHECK(oldest.position() == 21 - kFollowed && oldest.oldest() == 21 - kFollowed);
  Record records[kCapacity];
  std::uint64_t lost = 0;
  CHECK(slow.read(records, kCapacity, lost) == kFollowed && lost == 21 - kFollowed, lost);
  for (std::uint64_t i = 0; i < kFollowed; ++i) CHECK(records[i].is(21 - kFollowed + i), i);
}

void followers_can_be_sent_elsewhere() {
  const Ring ring(kCapacity, sizeof(Record));
  push_and_pop(ring, 20);
  RingFollower follower(ring.get(), RingFollower::Start::kNewest);
  Record record = {};
  std::uint64_t lost = 0;
  follower.seek(18);
  CHECK(follower.read(&record, 1, lost) == 1 && record.is(18) && lost == 0, lost);
  follower.seek(3);
  CHECK(follower.read(&record, 1, lost) == 1 && record.is(14) && lost == 11, lost);
  follower.seek(99);  // before it is published
  CHECK(follower.read(&record, 1, lost) == 0 && lost == 11 && follower.position() == 99);
}

void the_last_record_published_can_be_read() {
  for (const std::uint64_t capacity : {1, 2, 4, 8}) {
    const Ring ring(capacity, sizeof(Record));
    const RingFollower follower(ring.get(), RingFollower::Start::kOldest);
    Record record = {};
    CHECK(!follower.last(&record));
    for (std::uint64_t sequence = 0; sequence < 3 * capacity; ++sequence) {
      push_and_pop(ring, 1);
      CHECK(follower.last(&record) && record.is(sequence), capacity, record.number(), sequence);
    }
  }
}

void of_a_ring_of_one_record_none_can_be_followed() {
  const Ring ring(1, sizeof(Record));
  RingFollower follower(ring.get(), RingFollower::Start::kOldest);
  push_and_pop(ring, 3);
  Record record = {};
  std::uint64_t lost = 0;
  CHECK(follower.read(&record, 1, lost) == 0 && lost == 3, lost);
  CHECK(follower.oldest() == 3 && follower.read(&record, 1, lost) == 0 && lost == 3, lost);
}

// --- observer.hpp ---

using Observer = Laid<ObserverHeader>;

void observe(ObserverProducer& producer, std::uint64_t count) {
  const auto records = samples(producer.published(), count);
  producer.push_many(records.data(), count);
}

/// Reads everything, checks it, and returns how many there were.
std::uint64_t read_all(ObserverReader& reader, std::uint64_t& lost) {
  std::uint64_t delivered = 0;
  Record records[3];
  for (;;) {
    const std::size_t count = reader.read(records, 3, lost);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t wanted = reader.position() - count + i;
      CHECK(records[i].is(wanted), records[i].number(), wanted);
    }
    delivered += count;
    if (count == 0) return delivered;
  }
}

void observers_see_what_is_published() {
  const Observer ring(kCapacity, sizeof(Record));
  CHECK(ring->is_sound(kCapacity, sizeof(Record)));
  CHECK(!ring->is_sound(kCapacity, 8) && !ring->is_sound(4, sizeof(Record)));
  ObserverProducer producer(ring.get());
  ObserverReader reader(ring.get(), ObserverReader::Start::kOldest);
  std::uint64_t lost = 0;
  CHECK(!reader.has_unread() && read_all(reader, lost) == 0);
  for (std::uint64_t count = 1; count <= kCapacity; ++count) {
    observe(producer, count);
    CHECK(reader.has_unread());
    const std::uint64_t delivered = read_all(reader, lost);
    CHECK(delivered == count && lost == 0, delivered, count, lost);
  }
  ring->capacity = 6;
  CHECK(!ring->is_sound(6, sizeof(Record)));
}

void a_lapped_observer_is_told_how_much_it_lost() {
  const Observer ring(kCapacity, sizeof(Record));
  ObserverProducer producer(ring.get());
  ObserverReader reader(ring.get(), ObserverReader::Start::kOldest);
  observe(producer, 3 * kCapacity + 5);
  std::uint64_t lost = 0;
  const std::uint64_t delivered = read_all(reader, lost);
  CHECK(delivered == kCapacity && lost == 2 * kCapacity + 5, delivered, lost);
  CHECK(delivered + lost == producer.published());
}

void observers_start_at_the_oldest_or_at_the_newest() {
  const Observer ring(kCapacity, sizeof(Record));
  ObserverProducer producer(ring.get());
  observe(producer, 3);
  CHECK(ObserverReader(ring.get(), ObserverReader::Start::kOldest).position() == 0);
  observe(producer, kCapacity);
  CHECK(ObserverReader(ring.get(), ObserverReader::Start::kOldest).position() == 3);
  ObserverReader newest(ring.get(), ObserverReader::Start::kNewest);
  CHECK(newest.position() == 3 + kCapacity && !newest.has_unread());
  observe(producer, 1);
  std::uint64_t lost = 0;
  CHECK(read_all(newest, lost) == 1 && lost == 0);
}

void observers_can_be_sent_elsewhere() {
  const Observer ring(kCapacity, sizeof(Record));
  ObserverProducer producer(ring.get());
  observe(producer, 20);
  ObserverReader reader(ring.get(), ObserverReader::Start::kNewest);
  CHECK(reader.oldest() == 12 && reader.published() == 20);
  Record record = {};
  std::uint64_t lost = 0;
  reader.seek(17);
  CHECK(reader.read(&record, 1, lost) == 1 && record.is(17) && lost == 0, lost);
  reader.seek(2);
  CHECK(reader.read(&record, 1, lost) == 1 && record.is(12) && lost == 10, lost);
  reader.seek(99);  // before it is published
  CHECK(!reader.has_unread() && reader.read(&record, 1, lost) == 0 && lost == 10, lost);
}

void a_half_written_observer_slot_is_lost_and_no_more() {
  const Observer ring(kCapacity, sizeof(Record));
  ObserverProducer producer(ring.get());
  observe(producer, kCapacity);
  // The producer has begun the next record, over record 0.
  const Record half = Record::of(kCapacity);
  ring->slot(kCapacity)[0].store(2 * kCapacity + 1);
  store_record(ring->slot(kCapacity) + 1, &half, sizeof(Record) / 2);
  ObserverReader reader(ring.get(), ObserverReader::Start::kOldest);
  std::uint64_t lost = 0;
  const std::uint64_t delivered = read_all(reader, lost);
  CHECK(delivered == kCapacity - 1 && lost == 1, delivered, lost);
  // Its successor writes the record anew.
  ObserverProducer successor(ring.get());
  CHECK(successor.published() == kCapacity, successor.published());
  observe(successor, 1);
  CHECK(read_all(reader, lost) == 1 && lost == 1, lost);
}

/// A stranger that writes over the other side's word must not make a copy run out of the ring.
void a_position_that_cannot_be_stops_every_copy() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  push_samples(producer, 3);
  pop_and_commit(consumer, 1);
  std::vector<Record> records(3 * kCapacity);

  ring->head.store(std::uint64_t{1} << 41);
  for (std::size_t count = 1; count <= records.size(); ++count) {
    const std::size_t pushed = producer.push_many(records.data(), count);
    // What still fits beside the position last seen is no danger.
    CHECK(pushed == 0 || (!producer.is_corrupt() && pushed == count), pushed, count);
  }
  CHECK(producer.is_corrupt());

  ring->tail.store(std::uint64_t{1} << 63);
  Record record;
  while (consumer.pop(&record)) CHECK(consumer.pending() <= kCapacity);
  std::size_t count = records.size();
  consumer.view(count);
  CHECK(count == 0 && consumer.drain(records.data(), records.size()) == 0, count);
  CHECK(consumer.is_corrupt());
}

/// Between what was committed and what was read: behind the reader, though not behind the head.
void a_tail_that_went_back_stops_every_copy() {
  const Ring ring(kCapacity, sizeof(Record));
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  push_samples(producer, 5);
  Record record;
  for (int i = 0; i < 4; ++i) CHECK(consumer.pop(&record));
  ring->tail.store(2);
  std::vector<Record> records(8 * kCapacity);
  CHECK(consumer.drain(records.data(), records.size()) == 0);
  CHECK(consumer.is_corrupt());
  std::size_t count = records.size();
  consumer.view(count);
  CHECK(count == 0, count);
  CHECK(!consumer.pop(&record));
}

}  // namespace

int main() {
  a_position_that_cannot_be_stops_every_copy();
  a_tail_that_went_back_stops_every_copy();
  a_new_ring_is_empty_and_sound();
  records_come_out_as_they_went_in();
  bursts_cross_the_end_of_the_ring();
  reads_are_limited_by_what_was_asked_for();
  a_burst_of_nothing_needs_no_memory();
  a_full_ring_refuses_and_says_so();
  the_high_water_mark_is_the_largest_depth();
  successors_go_on_where_the_words_say();
  rewinding_gives_the_uncommitted_records_again();
  rings_carry_records_of_any_size<8>();
  rings_carry_records_of_any_size<128>();
  rings_carry_records_of_any_size<200>();
  a_ring_that_cannot_be_is_not_sound();

  observers_see_what_is_published();
  a_lapped_observer_is_told_how_much_it_lost();
  observers_start_at_the_oldest_or_at_the_newest();
  observers_can_be_sent_elsewhere();
  a_half_written_observer_slot_is_lost_and_no_more();

  followers_read_what_is_published_without_consuming_it();
  a_lapped_follower_is_told_how_much_it_lost();
  followers_can_be_sent_elsewhere();
  the_last_record_published_can_be_read();
  of_a_ring_of_one_record_none_can_be_followed();
  return verdict();
}
