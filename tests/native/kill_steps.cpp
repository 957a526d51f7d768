// Kills a process at every instruction of each operation, and lets a successor take over.
//
// A kill leaves nothing but the shared memory as it was after so many instructions. In it the
// successor must find nothing torn and nothing lost: what had been published is there, whole, and
// what a consumer had committed does not come again. What it had read and not committed does.
//
// Arguments: the names of the operations; without any, all of them.

#include <initializer_list>
#include <vector>

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

struct Tally {
  std::uint64_t kills = 0;
  std::uint64_t torn = 0;
  std::uint64_t lost = 0;
  std::uint64_t redelivered = 0;
};

struct Operation {
  const char* name;
  void (*prepare)();                           // lays out the memory
  void (*victim)();                            // marks and does the operation
  void (*judge)(Tally& tally, bool complete);  // takes over; `complete`: killed after the end
};

void report(const Operation& operation, const Tally& tally, const char* kills) {
  std::printf("%-42s %5llu instructions %5llu %s %2llu torn %2llu lost %3llu redelivered\n",
              operation.name, static_cast<unsigned long long>(instructions(operation.victim)),
              static_cast<unsigned long long>(tally.kills), kills,
              static_cast<unsigned long long>(tally.torn),
              static_cast<unsigned long long>(tally.lost),
              static_cast<unsigned long long>(tally.redelivered));
  CHECK(tally.torn == 0, operation.name, tally.torn);
  CHECK(tally.lost == 0, operation.name, tally.lost);
}

void kill_at_every_instruction(const Operation& operation) {
  Tally tally;
  bool complete = false;
  for (std::uint64_t steps = 0; !complete; ++steps) {
    operation.prepare();
    Stepped victim(operation.victim);
    complete = !victim.step(steps);
    victim.kill();
    ++tally.kills;
    operation.judge(tally, complete);
  }
  operation.prepare();
  report(operation, tally, "kills");
}

/// As a kill at every instruction, but in one pass: the successor works on the memory of a process
/// that is stopped, which is then put back as it was. For operations of many instructions.
void stop_at_every_instruction(const Operation& operation,
                               std::initializer_list<Shared*> memories) {
  operation.prepare();
  Tally tally;
  Stepped victim(operation.victim);
  bool complete = false;
  for (;; complete = !victim.step()) {
    std::vector<std::vector<unsigned char>> saved;
    for (const Shared* memory : memories) saved.push_back(memory->copy());
    operation.judge(tally, complete);
    ++tally.kills;
    if (complete) break;
    for (std::size_t i = 0; i < saved.size(); ++i) memories.begin()[i]->put_back(saved[i]);
  }
  operation.prepare();
  report(operation, tally, "stops");
}

// --- The ring ---

using Record = Sample<64>;
constexpr std::uint64_t kCapacity = 8;
constexpr std::uint64_t kBurst = 5;

Laid<RingHeader> ring(kCapacity, sizeof(Record));
Shared bell_memory(sizeof(DoorbellWords));
auto* const bell_words = bell_memory.as<DoorbellWords>();

/// What a consumer makes of the records, each in a place of its own.
struct Results {
  static constexpr std::size_t kPlaces = 32;
  std::uint64_t times[kPlaces];
  Record last[kPlaces];
};
Shared results_memory(sizeof(Results));
auto* const results = results_memory.as<Results>();

std::uint64_t published_before;

void handle(const Record& record, std::uint64_t sequence) {
  results->last[sequence] = record;
  ++results->times[sequence];
}

void push_one(RingProducer& producer) {
  const Record record = Record::of(producer.published());
  CHECK(producer.push(&record), producer.published());
}

/// A ring that has been around, with some records waiting.
void lay_ring(std::uint64_t published, std::uint64_t committed) {
  ring.lay_out();
  bell_memory.clear();
  results_memory.clear();
  RingProducer producer(ring.get());
  RingConsumer consumer(ring.get());
  while (producer.published() < published) {
    push_one(producer);
    if (consumer.committed() == committed) continue;
    Record record = {};
    CHECK(consumer.pop(&record));
    handle(record, consumer.committed());
    consumer.commit(1);
  }
  published_before = published;
}

/// The successors of both ends: reads what there is, then goes around the ring once more.
void take_ring_over(Tally& tally) {
  CHECK(ring->is_sound(kCapacity, sizeof(Record)));
  RingConsumer consumer(ring.get());
  RingProducer producer(ring.get());
  CHECK(consumer.committed() <= producer.published());
  const auto read_all = [&] {
    Record record = {};
    while (consumer.pop(&record))
      if (!record.is(consumer.position() - 1)) ++tally.torn;
    CHECK(consumer.position() == producer.published(), consumer.position());
    consumer.commit(consumer.pending());
  };
  read_all();
  for (std::uint64_t i = 0; i < kCapacity; ++i) push_one(producer);
  CHECK(!producer.has_room() && ring->high_water == kCapacity, ring->high_water.load());
  read_all();
}

template <std::uint64_t Burst>
void judge_push(Tally& tally, bool complete) {
  const std::uint64_t published = ring->tail.load();
  if (published < published_before) tally.lost += published_before - published;
  // In parts that followers know the size of, each of them whole or not there at all.
  const std::uint64_t done = published - published_before;
  CHECK(done == Burst || (done < Burst && done % ring->burst() == 0), done);
  CHECK(!complete || done == Burst, done);
  take_ring_over(tally);
}

void push_victim() {
  RingProducer producer(ring.get());
  const Record record = Record::of(producer.published());
  mark();
  producer.push(&record);
  mark();
}

void push_many_victim() {
  RingProducer producer(ring.get());
  Record records[kBurst];
  for (std::uint64_t i = 0; i < kBurst; ++i) records[i] = Record::of(producer.published() + i);
  mark();
  producer.push_many(records, kBurst);
  mark();
}

void push_and_ring_victim() {
  RingProducer producer(ring.get(), Bell(bell_words));
  const Record record = Record::of(producer.published());
  mark();
  producer.push(&record);
  mark();
}

/// Whoever waits for the record finds it, also if the ringer did not live to wake anybody.
void judge_push_and_ring(Tally& tally, bool complete) {
  CHECK(!complete || bell_words->sleeping == DoorbellWords::kAwake);
  const RingConsumer consumer(ring.get());
  const std::uint64_t waiting = published_before - consumer.committed();
  Sleeper owner(bell_words);
  const auto ready = [&] { return ring->tail.load() - consumer.committed() > waiting; };
  const bool published = ring->tail.load() != published_before;
  const Wake wake = owner.wait({}, published ? kLongestSleep : 0, ready);
  CHECK(wake == (published ? Wake::kReady : Wake::kTimeout), wake, published);
  judge_push<1>(tally, complete);
}

void judge_refused_push(Tally& tally, bool complete) {
  CHECK(ring->tail.load() == published_before);
  CHECK(ring->refused.load() <= 1 && (!complete || ring->refused.load() == 1));
  take_ring_over(tally);
}

void pop_victim() {
  RingConsumer consumer(ring.get());
  Record record = {};
  mark();
  while (consumer.pop(&record)) handle(record, consumer.position() - 1);
  consumer.commit(consumer.pending());
  mark();
}

void pop_singly_victim() {
  RingConsumer consumer(ring.get(), Bell(bell_words));
  Record record = {};
  mark();
  while (consumer.pop(&record)) {
    handle(record, consumer.position() - 1);
    consumer.commit(1);
  }
  mark();
}

void drain_victim() {
  RingConsumer consumer(ring.get());
  Record records[kCapacity];
  mark();
  const std::size_t count = consumer.drain(records, kCapacity);
  for (std::size_t i = 0; i < count; ++i) handle(records[i], consumer.committed() + i);
  consumer.commit(count);
  mark();
}

void view_victim() {
  RingConsumer consumer(ring.get());
  mark();
  for (std::size_t count = kCapacity; consumer.has_unread(); count = kCapacity) {
    const auto* records = reinterpret_cast<const Record*>(consumer.view(count));
    for (std::size_t i = 0; i < count; ++i) handle(records[i], consumer.committed() + i);
    consumer.commit(count);
  }
  mark();
}

/// A successor is given what was not committed, and all of it.
void judge_pop(Tally& tally, bool complete) {
  RingConsumer consumer(ring.get());
  CHECK(!complete || consumer.committed() == published_before, consumer.committed());
  Record record = {};
  while (consumer.pop(&record)) {
    const std::uint64_t sequence = consumer.position() - 1;
    if (results->times[sequence] != 0) ++tally.redelivered;
    handle(record, sequence);
  }
  for (std::uint64_t sequence = 0; sequence < published_before; ++sequence) {
    const std::uint64_t times = results->times[sequence];
    if (times == 0) ++tally.lost;
    else if (!results->last[sequence].is(sequence)) ++tally.torn;
    CHECK(times <= 2, sequence, times);
  }
  take_ring_over(tally);
}

// The owner of a doorbell is killed while it goes to sleep.
void falling_asleep_victim() {
  Sleeper sleeper(bell_words);
  const RingConsumer consumer(ring.get());
  Wake outcome;
  mark();
  sleeper.arm(DoorbellWords::kOnFutex, [&] { return consumer.has_unread(); }, outcome);
  sleeper.disarm();
  mark();
}

void judge_falling_asleep(Tally& tally, bool) {
  RingProducer producer(ring.get(), Bell(bell_words));
  Sleeper successor(bell_words);
  CHECK(bell_words->sleeping == DoorbellWords::kAwake);
  push_one(producer);
  const RingConsumer consumer(ring.get());
  const Wake wake = successor.wait({}, kLongestSleep, [&] { return consumer.has_unread(); });
  CHECK(wake == Wake::kReady, wake);
  take_ring_over(tally);
}

// --- The observer ring ---

Laid<ObserverHeader> observed(4, sizeof(Record));
constexpr std::uint64_t kObserved = 6;

void observe_one(ObserverProducer& producer) {
  const Record record = Record::of(producer.published());
  producer.push(&record);
}

void lay_observed() {
  observed.lay_out();
  ObserverProducer producer(observed.get());
  while (producer.published() < kObserved) observe_one(producer);
}

void observe_victim() {
  ObserverProducer producer(observed.get());
  const Record record = Record::of(producer.published());
  mark();
  producer.push(&record);
  mark();
}

std::uint64_t read_observed(Tally& tally) {
  ObserverReader reader(observed.get(), ObserverReader::Start::kOldest);
  const std::uint64_t first = reader.position();
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
  Record record = {};
  while (reader.read(&record, 1, lost) == 1) {
    if (!record.is(reader.position() - 1)) ++tally.torn;
    ++delivered;
  }
  CHECK(delivered + lost == observed->tail.load() - first, delivered, lost, first);
  return lost;
}

void judge_observe(Tally& tally, bool complete) {
  const std::uint64_t published = observed->tail.load();
  CHECK(published == kObserved + 1 || (published == kObserved && !complete), published);
  // The record whose place is taken goes, nothing else.
  const std::uint64_t lost = read_observed(tally);
  if (lost > (published == kObserved ? 1 : 0)) tally.lost += lost;
  ObserverProducer successor(observed.get());
  for (int i = 0; i < 5; ++i) {
    observe_one(successor);
    tally.lost += read_observed(tally);
  }
}

// --- The table ---

Laid<TableHeader> table(2, sizeof(Record));
std::uint64_t version_before;

/// Writes the next version of row 1, whose number is its contents.
void write_version() {
  const std::uint64_t version = table->row(1)[0].load() / 2 + 1;
  const Record record = Record::of(version);
  TableWriter(table.get()).write(1, &record);
}

template <std::uint64_t Versions>
void lay_table() {
  table.lay_out();
  const Record neighbour = Record::of(77);
  TableWriter(table.get()).write(0, &neighbour);
  for (version_before = 0; version_before < Versions; ++version_before) write_version();
}

void write_victim() {
  TableWriter writer(table.get());
  const Record record = Record::of(table->row(1)[0].load() / 2 + 1);
  mark();
  writer.write(1, &record);
  mark();
}

void judge_write(Tally& tally, bool complete) {
  const TableReader reader(table.get());
  const auto read = [&] {
    Record record = Record::of(0);
    const TableReader::Row row = reader.read(1, &record);
    if (!record.is(row.version)) ++tally.torn;
    return row;
  };
  const TableReader::Row row = read();
  if (row.version < version_before) ++tally.lost;
  CHECK(row.version <= version_before + 1, row.version);
  CHECK(!complete || (row.version == version_before + 1 && !row.writing));
  for (std::uint64_t version = row.version + 1; version < row.version + 4; ++version) {
    write_version();
    const TableReader::Row next = read();
    CHECK(next.version == version && !next.writing, next.version, version);
  }
  Record neighbour;
  CHECK(reader.read(0, &neighbour).version == 1 && neighbour.is(77));
}

// --- Cells ---

constexpr std::uint64_t kCells = 3;
Laid<CellsHeader> cells(kCells, sizeof(Record));
Shared commit_memory(sizeof(PaddedWord));
Word& commit_word = commit_memory.as<PaddedWord>()->value;
std::uint64_t committed_before;
constexpr std::uint64_t kNever = 999;  // what was never committed

/// Each batch is one step, and changes two of the three cells.
bool changes(std::uint64_t step, std::uint64_t index) { return (step + index) % kCells != 0; }
std::uint64_t number_of(std::uint64_t step, std::uint64_t index) { return 10 * step + index; }

struct Batch {
  std::uint64_t step;
  Record records[kCells];

  explicit Batch(std::uint64_t of_step) : step(of_step) {
    for (std::uint64_t i = 0; i < kCells; ++i) records[i] = Record::of(number_of(step, i));
  }
  void run(Cells& writer) const {
    for (std::uint64_t i = 0; i < kCells; ++i)
      if (changes(step, i)) std::memcpy(writer.edit(i), &records[i], sizeof(Record));
    writer.stamp(step);
    commit_word.store(step, std::memory_order_release);
    writer.begin_next();
  }
};

void lay_cells() {
  cells.lay_out();
  commit_memory.clear();
  Cells writer(cells.get(), 0);
  for (committed_before = 0; committed_before < 5; ++committed_before)
    Batch(committed_before + 1).run(writer);
}

/// A predecessor has changed all cells, stamped them, and died before the commit.
void lay_cells_with_a_stamped_batch() {
  lay_cells();
  Cells writer(cells.get(), committed_before);
  const Record never = Record::of(kNever);
  for (std::uint64_t i = 0; i < kCells; ++i) std::memcpy(writer.edit(i), &never, sizeof never);
  writer.stamp(committed_before + 1);
}

void batches_victim() {
  const Batch first(committed_before + 1);
  const Batch second(committed_before + 2);
  Cells writer(cells.get(), committed_before);
  mark();
  first.run(writer);
  second.run(writer);
  mark();
}

void taking_over_victim() {
  const Batch first(committed_before + 1);
  const Batch second(committed_before + 2);
  mark();
  Cells writer(cells.get(), committed_before);
  first.run(writer);
  second.run(writer);
  mark();
}

void judge_record_of(std::uint64_t index, std::uint64_t committed, const Record& record,
                     Tally& tally) {
  std::uint64_t step = committed;
  while (!changes(step, index)) --step;
  if (!record.is_whole()) ++tally.torn;
  else if (!record.is(number_of(step, index))) ++tally.lost;
}

/// All cells are as the committed batch has left them, for readers and for the next writer.
void judge_batches(Tally& tally, bool complete) {
  std::uint64_t committed = commit_word.load();
  CHECK(committed >= committed_before && committed <= committed_before + 2, committed);
  CHECK(!complete || committed == committed_before + 2, committed);
  const auto judge_all = [&] {
    for (std::uint64_t i = 0; i < kCells; ++i) {
      Record record = {};
      CHECK(cells->copy(i, committed, &record), i, committed);
      judge_record_of(i, committed, record, tally);
    }
  };
  judge_all();
  Cells successor(cells.get(), committed);
  for (std::uint64_t i = 0; i < kCells; ++i)
    judge_record_of(i, committed, *static_cast<const Record*>(successor.read(i)), tally);
  for (int i = 0; i < 3; ++i) {
    Batch(++committed).run(successor);
    judge_all();
  }
}

// --- Histograms and counters ---

Shared histogram_memory(sizeof(HistogramWords));
auto* const histogram = histogram_memory.as<HistogramWords>();
constexpr std::uint64_t kOldValue = 100;

void lay_histogram() {
  histogram_memory.clear();
  HistogramWriter writer(histogram);
  for (int i = 0; i < 3; ++i) writer.record(kOldValue);
}

void record_victim() {
  HistogramWriter writer(histogram);
  mark();
  writer.record(7);
  writer.record(1'000'000);
  mark();
}

HistogramCopy copied() {
  HistogramCopy copy;
  copy_histogram(*histogram, copy);
  return copy;
}

void judge_record(Tally& tally, bool complete) {
  const HistogramCopy copy = copied();
  const std::uint64_t old = copy.bucket[Buckets::index(kOldValue)];
  const std::uint64_t low = copy.bucket[7];
  const std::uint64_t high = copy.bucket[Buckets::index(1'000'000)];
  if (old != 3) ++tally.lost;
  // What is counted is in the sum and between the extremes.
  if (copy.sum < 3 * kOldValue + 7 * low + 1'000'000 * high) ++tally.torn;
  if (copy.low > (low == 0 ? kOldValue : 7) || copy.high < (high == 0 ? kOldValue : 1'000'000))
    ++tally.torn;
  CHECK(!complete || (low == 1 && high == 1), low, high);
  HistogramWriter(histogram).record(kOldValue);
  CHECK(copied().bucket[Buckets::index(kOldValue)] == old + 1);
}

void lay_histogram_to_clear() {
  lay_histogram();
  histogram->wanted_epoch.store(1);
}

void clear_victim() {
  HistogramWriter writer(histogram);
  mark();
  writer.record(7);
  mark();
}

void judge_clear(Tally& tally, bool complete) {
  const auto judge = [&](const HistogramCopy& copy, std::uint64_t fewest, std::uint64_t most) {
    std::uint64_t total = 0;
    for (const std::uint64_t count : copy.bucket) total += count;
    if (total < fewest) ++tally.lost;
    if (copy.epoch != 1 || total > most || copy.bucket[Buckets::index(kOldValue)] != 0 ||
        copy.sum < 7 * total || copy.sum > 7 * most)
      ++tally.torn;
    return total;
  };
  const std::uint64_t counted = judge(copied(), complete ? 1 : 0, 1);
  HistogramWriter(histogram).record(7);
  judge(copied(), counted + 1, 2);
}

// --- All of them ---

constexpr Operation kOperations[] = {
    {"push", [] { lay_ring(11, 8); }, push_victim, judge_push<1>},
    {"push below the high-water mark",
     [] {
       lay_ring(11, 8);
       ring->high_water.store(kCapacity);
     },
     push_victim, judge_push<1>},
    {"push to a full ring", [] { lay_ring(11, 3); }, push_victim, judge_refused_push},
    {"push_many across the end", [] { lay_ring(14, 12); }, push_many_victim, judge_push<kBurst>},
    {"push that wakes the consumer",
     [] {
       lay_ring(11, 8);
       bell_words->sleeping.store(DoorbellWords::kOnFutex);
     },
     push_and_ring_victim, judge_push_and_ring},
    {"pop, pop, pop, commit", [] { lay_ring(17, 14); }, pop_victim, judge_pop},
    {"pop, commit, and wake the producer",
     [] {
       lay_ring(17, 14);
       bell_words->sleeping.store(DoorbellWords::kOnFutex);
     },
     pop_singly_victim, judge_pop},
    {"drain across the end, commit", [] { lay_ring(18, 14); }, drain_victim, judge_pop},
    {"view, commit, across the end", [] { lay_ring(18, 14); }, view_victim, judge_pop},
    {"falling asleep at a doorbell", [] { lay_ring(3, 3); }, falling_asleep_victim,
     judge_falling_asleep},
    {"observer push", lay_observed, observe_victim, judge_observe},
    {"table write", lay_table<3>, write_victim, judge_write},
    {"first table write", lay_table<0>, write_victim, judge_write},
    {"histogram record", lay_histogram, record_victim, judge_record},
};

constexpr Operation kBatches[] = {
    {"two batches of changes to cells", lay_cells, batches_victim, judge_batches},
    {"taking over after a stamped batch", lay_cells_with_a_stamped_batch, taking_over_victim,
     judge_batches},
};

constexpr Operation kClearing{"histogram clear", lay_histogram_to_clear, clear_victim, judge_clear};

}  // namespace

int main(int count, char** arguments) {
  Choice choice(count, arguments);
  share_one_core();
  for (const Operation& operation : kOperations)
    if (choice.has(operation.name)) kill_at_every_instruction(operation);
  for (const Operation& operation : kBatches)
    if (choice.has(operation.name))
      stop_at_every_instruction(operation, {&cells.memory(), &commit_memory});
  if (choice.has(kClearing.name)) stop_at_every_instruction(kClearing, {&histogram_memory});
  return verdict();
}
