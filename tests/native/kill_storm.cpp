// Processes that are killed at random moments, more than a thousand times, while their peers go on.
//
// After each kill a successor takes over. Nothing may be torn or lost, and a consumer may be given
// again only what its predecessor had not committed.

#include <vector>

#include "check.hpp"
#include "metrics.hpp"
#include "observer.hpp"
#include "processes.hpp"
#include "ring.hpp"
#include "samples.hpp"
#include "table.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// How long the victim lives is what this test varies; nothing is waited for.
void let_some_time_pass(Random& random) {
  const timespec nap{0, static_cast<long>(random.below(500'000))};
  nanosleep(&nap, nullptr);
}

/// Kills whoever `victim` names, at a random moment after something has happened, again and again.
template <class Progress, class Kill>
void storm(int kills, Progress progress, Kill kill) {
  Random random(4);
  for (int i = 0; i < kills; ++i) {
    const std::uint64_t before = progress();
    Patience patience(HERE);
    while (progress() == before) patience.rest();
    let_some_time_pass(random);
    kill(i);
  }
}

unsigned long long printable(std::uint64_t n) { return n; }

// --- A ring whose ends sleep ---

using Record = Sample<64>;
constexpr std::uint64_t kCapacity = 16;

Laid<RingHeader> ring(kCapacity, sizeof(Record));

/// What lives in shared memory beside the ring: doorbells, and what the consumers have made of it.
struct Around {
  DoorbellWords consumer_bell;
  DoorbellWords producer_bell;
  Word next;  // all records before this one have been handled
  Word redelivered;
  Word torn;
  Word gaps;
  Word stopping;
};
Shared around_memory(sizeof(Around));
auto* const around = around_memory.as<Around>();

/// Half of the time nothing is done for so long that the other end sleeps.
void let_sleep(const DoorbellWords& other, Random& random) {
  const std::uint64_t looks = random.below(2) * 50;
  for (std::uint64_t i = 0; i < looks; ++i) {
    if (other.sleeping != DoorbellWords::kAwake) return;
    // No yield, which on a busy machine lasts as long as the slices of all others.
    const timespec nap{0, 20'000};
    nanosleep(&nap, nullptr);
  }
}

void produce(std::uint64_t seed) {
  RingProducer producer(ring.get(), Bell(&around->consumer_bell));
  Sleeper sleeper(&around->producer_bell);
  Random random(seed);
  while (around->stopping == 0) {
    // Up to twice what the ring holds, so that this end sleeps, too.
    for (std::uint64_t left = 1 + random.below(2 * kCapacity); left != 0; --left) {
      const Record record = Record::of(producer.published());
      while (!producer.push(&record)) {
        sleeper.wait({0, 2, WaitStrategy::kSleep}, kSecond, [&] { return producer.has_room(); });
        if (around->stopping != 0) return;
      }
    }
    let_sleep(around->consumer_bell, random);
  }
}

void handle(const Record& record, std::uint64_t sequence) {
  if (!record.is(sequence)) add_single_writer(around->torn, 1);
  const std::uint64_t next = around->next;
  if (sequence > next) add_single_writer(around->gaps, 1);
  else if (sequence < next) add_single_writer(around->redelivered, 1);
  else around->next = next + 1;
}

void consume(std::uint64_t seed) {
  RingConsumer consumer(ring.get(), Bell(&around->producer_bell));
  Sleeper sleeper(&around->consumer_bell);
  Random random(seed);
  Record record = {};
  for (;;) {
    while (consumer.pop(&record)) {
      handle(record, consumer.position() - 1);
      // Its work. Otherwise it would be asleep whenever it is killed.
      for (std::uint64_t left = random.below(200); left != 0; --left) cpu_pause();
      if (random.below(8) == 0) consumer.commit(consumer.pending());
    }
    consumer.commit(consumer.pending());
    // Looked at before the ring, which nobody fills any more once it is 2.
    const bool is_last = around->stopping == 2;
    if (is_last && !consumer.has_unread()) return;
    sleeper.wait({0, 2, WaitStrategy::kSleep}, kSecond, [&] { return consumer.has_unread(); });
    if (around->stopping == 0) let_sleep(around->producer_bell, random);
  }
}

void both_ends_of_a_ring_are_killed(int kills) {
  std::uint64_t seed = 0;
  std::uint64_t uncommitted = 0;
  const auto new_producer = [&] { return Child([s = ++seed] { produce(s); }); };
  const auto new_consumer = [&] { return Child([s = ++seed] { consume(s); }); };
  Child producer = new_producer();
  Child consumer = new_consumer();
  storm(
      kills, [] { return around->next.load(); },
      [&](int kill) {
        if (kill % 2 == 0) {
          producer.kill();
          producer = new_producer();
          return;
        }
        consumer.kill();
        // Handled first, committed then: this much and no more may come again.
        const std::uint64_t head = ring->head;
        CHECK(head <= around->next, head, around->next.load());
        uncommitted += around->next - head;
        CHECK(ring->tail - head <= kCapacity, ring->tail.load(), head);
        consumer = new_consumer();
      });
  around->stopping = 1;
  Bell(&around->producer_bell).ring();
  CHECK(producer.succeeds());
  around->stopping = 2;
  Bell(&around->consumer_bell).ring();
  CHECK(consumer.succeeds());
  CHECK(around->next == ring->tail && ring->head == ring->tail, around->next.load(),
        ring->head.load(), ring->tail.load());
  CHECK(around->torn == 0, around->torn.load());
  CHECK(around->gaps == 0, around->gaps.load());
  CHECK(around->redelivered <= uncommitted, around->redelivered.load(), uncommitted);
  // They did sleep, so there were kills between publishing and waking, too.
  CHECK(around->consumer_bell.sleeps != 0 && around->producer_bell.sleeps != 0);
  std::printf(
      "ring: %d kills, %llu records, %llu torn, %llu gaps, %llu of %llu redelivered, "
      "%llu + %llu sleeps\n",
      kills, printable(ring->tail), printable(around->torn), printable(around->gaps),
      printable(around->redelivered), printable(uncommitted),
      printable(around->consumer_bell.sleeps), printable(around->producer_bell.sleeps));
}

// --- A table, with readers ---

using Large = Sample<256>;
constexpr std::uint64_t kRows = 4;

Laid<TableHeader> table(kRows, sizeof(Large));
Shared stopping_memory(sizeof(Word));
auto& stopping = *stopping_memory.as<Word>();

void write_rows() {
  TableWriter writer(table.get());
  for (std::uint64_t row = 0; stopping == 0; row = (row + 1) % kRows) {
    const std::uint64_t version = table->row(row)[0].load() / 2 + 1;
    const Large record = Large::of(version * kRows + row);
    writer.write(row, &record);
  }
}

/// Reads all rows; no version may be older than before. Returns how many are half written.
unsigned read_rows(std::uint64_t (&seen)[kRows]) {
  const TableReader reader(table.get());
  unsigned half_written = 0;
  for (std::uint64_t row = 0; row < kRows; ++row) {
    Large record = {};
    const TableReader::Row got = reader.read(row, &record);
    CHECK(got.version >= seen[row], row, got.version, seen[row]);
    const bool torn = got.version != 0 && !record.is(got.version * kRows + row);
    CHECK(!torn, row, got.version, record.number());
    seen[row] = got.version;
    half_written += got.writing;
  }
  return half_written;
}

void the_writer_of_a_table_is_killed(int kills) {
  stopping = 0;
  const auto read_on = [] {
    std::uint64_t seen[kRows] = {};
    while (stopping == 0) read_rows(seen);
  };
  Child readers[] = {Child(read_on), Child(read_on)};
  Child writer(write_rows);
  std::uint64_t seen[kRows] = {};
  unsigned half_written = 0;
  storm(
      kills, [] { return table->row(0)[0].load() / 2; },
      [&](int) {
        writer.kill();
        half_written += read_rows(seen);
        writer = Child(write_rows);
      });
  stopping = 1;
  CHECK(writer.succeeds());
  for (Child& reader : readers) CHECK(reader.succeeds());
  read_rows(seen);
  std::printf("table: %d kills, %llu versions of a row, %u kills half-way through one\n", kills,
              printable(seen[0]), half_written);
}

// --- An observer ring, with readers ---

Laid<ObserverHeader> observed(kCapacity, sizeof(Large));

void publish() {
  ObserverProducer producer(observed.get());
  while (stopping == 0) {
    const Large record = Large::of(producer.published());
    producer.push(&record);
  }
}

struct Observed {
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
};

/// Reads until nothing new comes; what is delivered must be whole and in order.
Observed observe(ObserverReader& reader) {
  Observed sum;
  Large records[kCapacity];
  for (;;) {
    std::uint64_t next = reader.position();
    const std::uint64_t before = next;
    std::uint64_t lost = 0;
    const std::size_t count = reader.read(records, kCapacity, lost);
    for (std::size_t i = 0; i < count; ++i) {
      const bool torn = !records[i].is_whole();
      CHECK(!torn, records[i].number());
      CHECK(records[i].number() >= next && records[i].number() < reader.position(),
            records[i].number(), next, reader.position());
      next = records[i].number() + 1;
    }
    CHECK(before + count + lost == reader.position(), before, count, lost, reader.position());
    sum.delivered += count;
    sum.lost += lost;
    if (count < kCapacity) return sum;
  }
}

void the_producer_of_an_observer_ring_is_killed(int kills) {
  stopping = 0;
  const auto read_on = [] {
    ObserverReader reader(observed.get(), ObserverReader::Start::kOldest);
    while (stopping == 0) observe(reader);
  };
  Child readers[] = {Child(read_on), Child(read_on)};
  Child producer(publish);
  unsigned half_written = 0;
  storm(
      kills, [] { return observed->tail.load(); },
      [&](int) {
        producer.kill();
        ObserverReader reader(observed.get(), ObserverReader::Start::kOldest);
        // The one that was being overwritten.
        const Observed left = observe(reader);
        CHECK(left.lost <= 1, left.delivered, left.lost);
        half_written += left.lost != 0;
        producer = Child(publish);
      });
  stopping = 1;
  CHECK(producer.succeeds());
  for (Child& reader : readers) CHECK(reader.succeeds());
  std::printf("observer ring: %d kills, %llu records, %u kills half-way through one\n", kills,
              printable(observed->tail), half_written);
}

}  // namespace

int main() {
  both_ends_of_a_ring_are_killed(1'000);
  the_writer_of_a_table_is_killed(150);
  the_producer_of_an_observer_ring_is_killed(150);
  return verdict();
}
