// Stops a process at every instruction of an operation, lets another one act, and goes on.
//
// Threads meet in the worst place once in a million times; here they meet in every place, once.
// Only the order of instructions is tried out this way, not that of memory: ThreadSanitizer
// (threads.cpp) and the model (tests/model) see to that.
//
// Arguments: the names of the encounters; without any, all of them.

#include "cells.hpp"
#include "check.hpp"
#include "metrics.hpp"
#include "observer.hpp"
#include "ring.hpp"
#include "samples.hpp"
#include "stepping.hpp"
#include "table.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

struct Encounter {
  const char* name;
  void (*prepare)();    // lays out the memory
  void (*victim)();     // marks and does the operation
  void (*meanwhile)();  // happens while the victim stands still
  void (*judge)();      // looks at what both have done
};

/// `stride`: for operations of thousands of instructions, how many to go on after the first 100.
/// Ends early when so much is wrong that no more of it is printed.
void meet_at_every_instruction(const Encounter& encounter, std::uint64_t stride = 1) {
  const unsigned failures_before = failures.load();
  std::uint64_t meetings = 0;
  bool complete = false;
  for (std::uint64_t steps = 0; !complete && failures.load() < kMostPrinted;
       steps += steps < 100 ? 1 : stride) {
    encounter.prepare();
    Stepped victim(encounter.victim);
    complete = !victim.step(steps);
    encounter.meanwhile();
    victim.finish();
    encounter.judge();
    ++meetings;
  }
  std::printf("%-56s %5llu meetings %2u wrong\n", encounter.name,
              static_cast<unsigned long long>(meetings), failures.load() - failures_before);
}

using Record = Sample<64>;
constexpr std::uint64_t kCapacity = 4;

// --- Going to sleep while others publish ---

// Two producers, one consumer with a doorbell for both.
Laid<RingHeader> first(kCapacity, sizeof(Record));
Laid<RingHeader> second(kCapacity, sizeof(Record));
Shared bell_memory(sizeof(DoorbellWords));
auto* const bell_words = bell_memory.as<DoorbellWords>();

/// What a victim reports.
struct Findings {
  std::uint64_t is_armed;
  std::uint64_t bell_heard;
  std::uint64_t count;
  std::uint64_t lost;
  std::uint64_t position;
  TableReader::Row row;
  Record records[2 * kCapacity];
  HistogramCopy copy;
};
Shared findings_memory(sizeof(Findings));
auto* const findings = findings_memory.as<Findings>();

bool anything_to_read() {
  return first->tail.load() != first->head.load() || second->tail.load() != second->head.load();
}

void push_to(RingHeader* ring, Bell bell) {
  RingProducer producer(ring, bell);
  const Record record = Record::of(producer.published());
  CHECK(producer.push(&record));
}

void read_both() {
  for (RingHeader* ring : {first.get(), second.get()}) {
    RingConsumer consumer(ring);
    Record record = {};
    while (consumer.pop(&record)) CHECK(record.is(consumer.position() - 1));
    consumer.commit(consumer.pending());
  }
}

void lay_rings() {
  first.lay_out();
  second.lay_out();
  bell_memory.clear();
  findings_memory.clear();
}

/// As the owner of the doorbell does it; afterwards it is asleep, or knows why not.
void go_to_sleep() {
  Sleeper owner(bell_words);
  Wake outcome;
  findings->is_armed = owner.arm(DoorbellWords::kOnFutex, anything_to_read, outcome);
}

/// The flag is the futex: while it is up, the kernel puts the owner to sleep, or keeps it asleep.
void judge_sleep() {
  const bool would_sleep = findings->is_armed && bell_words->sleeping == DoorbellWords::kOnFutex;
  const bool sleeps_on_unread_records = would_sleep && anything_to_read();
  CHECK(!sleeps_on_unread_records);
}

void publishing_victim() {
  RingProducer producer(first.get(), Bell(bell_words));
  const Record record = Record::of(producer.published());
  mark();
  producer.push(&record);
  mark();
}

constexpr Encounter kPublishingAndFallingAsleep = {
    .name = "a producer publishes, the owner falls asleep",
    .prepare = lay_rings,
    .victim = publishing_victim,
    .meanwhile = go_to_sleep,
    .judge = judge_sleep,
};

// The producer stands still while it wakes the owner, which meanwhile has read everything and gone
// to sleep again: the flag that the producer then takes down is not the one that it saw.
constexpr Encounter kPublishingAndSleepingAgain = {
    .name = "a producer wakes the owner, which sleeps again",
    .prepare =
        [] {
          lay_rings();
          go_to_sleep();
        },
    .victim = publishing_victim,
    .meanwhile =
        [] {
          read_both();
          go_to_sleep();
        },
    .judge =
        [] {
          judge_sleep();
          push_to(second.get(), Bell(bell_words));
          judge_sleep();
        },
};

constexpr Encounter kFallingAsleepAndPublishing = {
    .name = "the owner falls asleep, a producer publishes",
    .prepare = lay_rings,
    .victim =
        [] {
          mark();
          go_to_sleep();
          mark();
        },
    .meanwhile = [] { push_to(second.get(), Bell(bell_words)); },
    .judge = judge_sleep,
};

constexpr Encounter kFallingAsleepAndRinging = {
    .name = "the owner falls asleep, somebody rings",
    .prepare = lay_rings,
    .victim =
        [] {
          Sleeper owner(bell_words);
          Wake outcome;
          mark();
          findings->is_armed = owner.arm(DoorbellWords::kOnFutex, [] { return false; }, outcome);
          mark();
        },
    .meanwhile = [] { Bell(bell_words).ring(); },
    .judge =
        [] {
          const bool sleeps_through_the_ring =
              findings->is_armed && bell_words->sleeping == DoorbellWords::kOnFutex;
          CHECK(!sleeps_through_the_ring);
        },
};

constexpr Encounter kRingingAndFallingAsleep = {
    .name = "somebody rings, the owner falls asleep",
    .prepare = lay_rings,
    .victim =
        [] {
          Bell bell(bell_words);
          mark();
          bell.ring();
          mark();
        },
    .meanwhile =
        [] {
          findings->bell_heard = bell_words->bell;
          go_to_sleep();
        },
    .judge =
        [] {
          const bool sleeps_through_the_ring = findings->is_armed &&
                                               bell_words->sleeping == DoorbellWords::kOnFutex &&
                                               bell_words->bell != findings->bell_heard;
          CHECK(!sleeps_through_the_ring);
        },
};

// A producer that falls asleep at a full ring, and the consumer that makes room.
constexpr Encounter kFallingAsleepAndCommitting = {
    .name = "a producer falls asleep, the consumer makes room",
    .prepare =
        [] {
          lay_rings();
          for (std::uint64_t i = 0; i < kCapacity; ++i) push_to(first.get(), {});
        },
    .victim =
        [] {
          const RingProducer producer(first.get());
          Sleeper owner(bell_words);
          Wake outcome;
          mark();
          findings->is_armed =
              owner.arm(DoorbellWords::kOnFutex, [&] { return producer.has_room(); }, outcome);
          mark();
        },
    .meanwhile =
        [] {
          RingConsumer consumer(first.get(), Bell(bell_words));
          Record record = {};
          CHECK(consumer.pop(&record));
          consumer.commit(1);
        },
    .judge =
        [] {
          const bool sleeps_beside_room =
              findings->is_armed && bell_words->sleeping == DoorbellWords::kOnFutex;
          CHECK(!sleeps_beside_room);
        },
};

// --- The ring ---

constexpr Encounter kPoppingAndPushing = {
    .name = "a consumer reads, the producer fills the ring",
    .prepare =
        [] {
          lay_rings();
          for (int i = 0; i < 3; ++i) push_to(first.get(), {});
          read_both();
          for (int i = 0; i < 2; ++i) push_to(first.get(), {});
        },
    .victim =
        [] {
          RingConsumer consumer(first.get());
          mark();
          findings->count = consumer.pop(&findings->records[0]);
          findings->count += consumer.drain(&findings->records[1], 1);
          consumer.commit(2);
          mark();
        },
    .meanwhile =
        [] {
          while (RingProducer(first.get()).has_room()) push_to(first.get(), {});
        },
    .judge =
        [] {
          CHECK(findings->count == 2, findings->count);
          for (std::uint64_t i = 0; i < findings->count; ++i)
            CHECK(findings->records[i].is(3 + i), i, findings->records[i].number());
          read_both();
        },
};

constexpr Encounter kPushingAndPopping = {
    .name = "a producer pushes, the consumer empties the ring",
    .prepare =
        [] {
          lay_rings();
          for (std::uint64_t i = 0; i < kCapacity - 1; ++i) push_to(first.get(), {});
        },
    .victim =
        [] {
          RingProducer producer(first.get());
          const Record records[2] = {Record::of(kCapacity - 1), Record::of(kCapacity)};
          mark();
          findings->count = producer.push_many(records, 2);
          mark();
        },
    .meanwhile = read_both,
    .judge =
        [] {
          CHECK(findings->count >= 1 && first->tail == kCapacity - 1 + findings->count);
          read_both();
        },
};

// --- Following the ring ---

constexpr std::uint64_t kBefore = kCapacity + 1;

/// Through the ring and out of it, over what a follower may be reading.
void push_and_consume(std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    push_to(first.get(), {});
    RingConsumer consumer(first.get());
    Record record = {};
    CHECK(consumer.pop(&record));
    consumer.commit(1);
  }
}

/// As a producer leaves it that stands still while it writes the next record.
void begin_next_record() {
  const std::uint64_t next = first->tail.load();
  const Record record = Record::of(next);
  std::memcpy(first->slots() + next % kCapacity * sizeof record, &record, sizeof record / 2);
}

void judge_followed(std::uint64_t next) {
  CHECK(next + findings->count + findings->lost == findings->position, findings->count,
        findings->lost, findings->position);
  for (std::uint64_t i = 0; i < findings->count; ++i) {
    const Record& record = findings->records[i];
    // Or replaced as a whole, and so not between the one before and the last.
    const bool torn = !record.is_whole() || record.number() < next ||
                      record.number() >= findings->position;
    CHECK(!torn, record.number(), i, next, findings->position);
    next = record.number() + 1;
  }
}

void follow() {
  RingFollower follower(first.get(), RingFollower::Start::kOldest);
  findings->count = follower.read(findings->records, kCapacity, findings->lost);
  findings->position = follower.position();
}

template <std::uint64_t Count>
constexpr Encounter following(const char* name) {
  return {
      .name = name,
      .prepare =
          [] {
            lay_rings();
            push_and_consume(kBefore);
          },
      .victim =
          [] {
            mark();
            follow();
            mark();
          },
      .meanwhile =
          [] {
            push_and_consume(Count);
            begin_next_record();
          },
      // Where it starts depends on when: only in the end is it known which were lost.
      .judge =
          [] { judge_followed(findings->position - findings->count - findings->lost); },
  };
}

constexpr Encounter kPushingABurst = {
    .name = "a burst is pushed, a follower reads",
    .prepare =
        [] {
          lay_rings();
          push_and_consume(kBefore);
        },
    .victim =
        [] {
          RingProducer producer(first.get());
          Record records[kCapacity];
          for (std::uint64_t i = 0; i < kCapacity; ++i) records[i] = Record::of(kBefore + i);
          mark();
          CHECK(producer.push_many(records, kCapacity) == kCapacity);
          mark();
        },
    .meanwhile =
        [] {
          follow();
          judge_followed(findings->position - findings->count - findings->lost);
        },
    .judge = read_both,
};

template <std::uint64_t Count>
constexpr Encounter taking_the_last(const char* name) {
  return {
      .name = name,
      .prepare =
          [] {
            lay_rings();
            push_and_consume(kBefore);
          },
      .victim =
          [] {
            const RingFollower follower(first.get(), RingFollower::Start::kNewest);
            mark();
            findings->count = follower.last(findings->records);
            mark();
          },
      .meanwhile = [] { push_and_consume(Count); },
      .judge =
          [] {
            const Record& record = findings->records[0];
            const bool torn = !record.is_whole();
            CHECK(!torn && findings->count == 1, record.number());
            CHECK(record.number() >= kBefore - 1 && record.number() < kBefore + Count);
          },
  };
}

// --- The observer ring ---

Laid<ObserverHeader> observed(kCapacity, sizeof(Record));

template <std::uint64_t Count>
void publish() {
  ObserverProducer producer(observed.get());
  for (std::uint64_t i = 0; i < Count; ++i) {
    const Record record = Record::of(producer.published());
    producer.push(&record);
  }
}

template <std::uint64_t Count>
constexpr Encounter observing(const char* name) {
  return {
      .name = name,
      .prepare =
          [] {
            observed.lay_out();
            findings_memory.clear();
            publish<kCapacity + 2>();
          },
      .victim =
          [] {
            ObserverReader reader(observed.get(), ObserverReader::Start::kOldest);
            mark();
            findings->count = reader.read(findings->records, 2, findings->lost);
            findings->position = reader.position();
            mark();
          },
      .meanwhile = publish<Count>,
      .judge =
          [] {
            std::uint64_t next = 2;  // the oldest that was there
            CHECK(next + findings->count + findings->lost == findings->position, findings->count,
                  findings->lost, findings->position);
            for (std::uint64_t i = 0; i < findings->count; ++i) {
              const Record& record = findings->records[i];
              const bool torn = !record.is_whole();
              CHECK(!torn, record.number(), i);
              CHECK(record.number() >= next && record.number() < findings->position,
                    record.number());
              next = record.number() + 1;
            }
          },
  };
}

// --- The table ---

Laid<TableHeader> table(1, sizeof(Record));
constexpr std::uint64_t kVersion = 3;

template <std::uint64_t Count>
void write_versions() {
  for (std::uint64_t i = 0; i < Count; ++i) {
    const Record record = Record::of(table->row(0)[0].load() / 2 + 1);
    TableWriter(table.get()).write(0, &record);
  }
}

template <std::uint64_t Count>
constexpr Encounter reading_a_row(const char* name) {
  return {
      .name = name,
      .prepare =
          [] {
            table.lay_out();
            findings_memory.clear();
            write_versions<kVersion>();
          },
      .victim =
          [] {
            const TableReader reader(table.get());
            mark();
            findings->row = reader.read(0, findings->records);
            mark();
          },
      .meanwhile = write_versions<Count>,
      .judge =
          [] {
            const TableReader::Row row = findings->row;
            CHECK(row.version >= kVersion && row.version <= kVersion + Count, row.version);
            const bool torn = !findings->records[0].is(row.version);
            CHECK(!torn, row.version, findings->records[0].number());
          },
  };
}

// --- Cells ---

Laid<CellsHeader> cells(1, sizeof(Record));
constexpr std::uint64_t kStep = 3;

void change(Cells& writer, std::uint64_t step) {
  const Record record = Record::of(step);
  std::memcpy(writer.edit(0), &record, sizeof record);
}

void run_batches(std::uint64_t committed, std::uint64_t count) {
  Cells writer(cells.get(), committed);
  for (std::uint64_t step = committed + 1; step <= committed + count; ++step) {
    change(writer, step);
    writer.stamp(step);
    writer.begin_next();
  }
}

/// `Count` batches are committed, and one more is begun.
template <std::uint64_t Count>
constexpr Encounter copying_a_cell(const char* name) {
  return {
      .name = name,
      .prepare =
          [] {
            cells.lay_out();
            findings_memory.clear();
            run_batches(0, kStep);
          },
      .victim =
          [] {
            mark();
            findings->count = cells->copy(0, kStep, findings->records);
            mark();
          },
      .meanwhile =
          [] {
            run_batches(kStep, Count);
            Cells writer(cells.get(), kStep + Count);
            const Record record = Record::of(kStep + Count + 1);
            std::memcpy(writer.edit(0), &record, sizeof record / 2);
          },
      .judge =
          [] {
            const bool torn = findings->count == 1 && !findings->records[0].is(kStep);
            CHECK(!torn, findings->records[0].number());
            // In the other slot nobody is disturbed.
            if (Count == 0) CHECK(findings->count == 1);
          },
  };
}

// --- The histogram ---

Shared histogram_memory(sizeof(HistogramWords));
auto* const histogram = histogram_memory.as<HistogramWords>();
constexpr std::uint64_t kLow = 5;
constexpr std::uint64_t kHigh = 31;

void lay_histogram() {
  histogram_memory.clear();
  findings_memory.clear();
  HistogramWriter writer(histogram);
  for (int i = 0; i < 3; ++i) writer.record(kLow);
  writer.record(kHigh);
}

void reset_and_record() {
  histogram->wanted_epoch.fetch_add(1);
  HistogramWriter(histogram).record(kHigh);
}

void copying_victim() {
  mark();
  copy_histogram(*histogram, findings->copy);
  mark();
}

void judge_copy() {
  const HistogramCopy& copy = findings->copy;
  const std::uint64_t lows = copy.bucket[kLow];
  const std::uint64_t highs = copy.bucket[kHigh];
  const bool is_old = copy.epoch == 0 && lows == 3 && highs == 1 && copy.low == kLow;
  const bool is_new =
      copy.epoch == 1 && lows == 0 && highs <= 1 && (highs == 0 || copy.low == kHigh);
  const bool torn = !is_old && !is_new;
  CHECK(!torn, copy.epoch, lows, highs, copy.low, copy.high, copy.sum);
}

constexpr Encounter kCopyingAHistogram = {
    .name = "a histogram is copied, and reset by its writer",
    .prepare = lay_histogram,
    .victim = copying_victim,
    .meanwhile = reset_and_record,
    .judge = judge_copy,
};

constexpr const char* kHalfWay = "a histogram is copied, its writer half-way";

/// The copying stands still at one place, the clearing at another, and the copying goes on.
void meet_between_copying_and_clearing() {
  const unsigned failures_before = failures.load();
  // Enough instructions of each to be beyond the buckets with something in them.
  constexpr std::uint64_t kReach = 240;
  constexpr std::uint64_t kStride = 20;
  std::uint64_t meetings = 0;
  for (std::uint64_t copied = 0; copied < kReach; copied += kStride) {
    for (std::uint64_t cleared = 0; cleared < kReach; cleared += kStride) {
      lay_histogram();
      Stepped reader(copying_victim);
      reader.step(copied);
      Stepped writer([] {
        mark();
        reset_and_record();
        mark();
      });
      writer.step(cleared);
      reader.finish();
      judge_copy();
      ++meetings;
    }
  }
  std::printf("%-56s %5llu meetings %2u wrong\n", kHalfWay,
              static_cast<unsigned long long>(meetings), failures.load() - failures_before);
}

constexpr Encounter kEncounters[] = {
    kPublishingAndFallingAsleep,
    kPublishingAndSleepingAgain,
    kFallingAsleepAndPublishing,
    kFallingAsleepAndRinging,
    kRingingAndFallingAsleep,
    kFallingAsleepAndCommitting,
    kPoppingAndPushing,
    kPushingAndPopping,
    following<0>("a follower reads, one record is begun"),
    following<1>("a follower reads, one record is published"),
    following<kCapacity>("a follower reads, a ring is published"),
    following<2 * kCapacity + 1>("a follower reads, two rings are published"),
    kPushingABurst,
    taking_the_last<1>("the last record is read, one is published"),
    taking_the_last<kCapacity>("the last record is read, a ring is published"),
    observing<1>("an observer reads, one record is published"),
    observing<kCapacity - 1>("an observer reads, nearly a ring is published"),
    observing<kCapacity>("an observer reads, a ring is published"),
    observing<2 * kCapacity + 1>("an observer reads, two rings are published"),
    reading_a_row<1>("a row is read, one version is written"),
    reading_a_row<2>("a row is read, two versions are written"),
    reading_a_row<3>("a row is read, three versions are written"),
    reading_a_row<4>("a row is read, four versions are written"),
    copying_a_cell<0>("a cell is copied, the next batch begins"),
    copying_a_cell<1>("a cell is copied, the batch after that begins"),
    copying_a_cell<2>("a cell is copied, two batches are committed"),
};

}  // namespace

int main(int count, char** arguments) {
  Choice choice(count, arguments);
  share_one_core();
  for (const Encounter& encounter : kEncounters)
    if (choice.has(encounter.name)) meet_at_every_instruction(encounter);
  if (choice.has(kCopyingAHistogram.name)) meet_at_every_instruction(kCopyingAHistogram, 997);
  if (choice.has(kHalfWay)) meet_between_copying_and_clearing();
  return verdict();
}
