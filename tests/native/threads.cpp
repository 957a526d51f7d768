// Threads that use each structure as processes do, at full speed. Meant for ThreadSanitizer, which
// knows what the memory orders promise, whatever this machine does; each thread also checks what
// it is given.
//
// Arguments: the names of the tests to run; without any, all of them.

#include <algorithm>
#include <thread>
#include <vector>

#include "check.hpp"
#include "metrics.hpp"
#include "observer.hpp"
#include "ring.hpp"
#include "samples.hpp"
#include "table.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

using Record = Sample<64>;
constexpr std::uint64_t kCapacity = 16;
constexpr std::int64_t kMinute = 60'000'000'000;

/// Runs functions at the same time, and waits for all of them.
template <class... Bodies>
void together(Bodies&&... bodies) {
  std::vector<std::thread> threads;
  (threads.emplace_back(bodies), ...);
  for (std::thread& thread : threads) thread.join();
}

/// Pushes records 0 .. count - 1, one at a time and in bursts of any length. `wait` is called while
/// the ring is full.
template <class Wait>
void produce(RingProducer producer, std::uint64_t count, Wait wait) {
  Random random(1);
  std::vector<Record> burst(kCapacity);
  while (producer.published() < count) {
    const std::uint64_t left = count - producer.published();
    const std::size_t length = std::min(1 + random.below(kCapacity), left);
    for (std::size_t i = 0; i < length; ++i) burst[i] = Record::of(producer.published() + i);
    std::size_t pushed = 0;
    while (pushed < length) {
      if (length == 1) pushed += producer.push(&burst[0]);
      else pushed += producer.push_many(&burst[pushed], length - pushed);
      if (pushed < length) wait(producer);
    }
  }
}

/// Reads by each of the three ways, commits now and then.
class Reading {
 public:
  explicit Reading(RingConsumer consumer) : consumer_(consumer) {}

  const RingConsumer& consumer() const { return consumer_; }

  /// Reads what there is; false if that was nothing.
  bool read_some() {
    const std::uint64_t before = consumer_.position();
    std::size_t count = 1 + random_.below(kCapacity);
    switch (random_.below(3)) {
      case 0:
        count = consumer_.pop(&records_[0]);
        break;
      case 1:
        count = consumer_.drain(&records_[0], count);
        break;
      case 2: {
        const unsigned char* lying = consumer_.view(count);
        std::memcpy(&records_[0], lying, count * sizeof(Record));
      }
    }
    for (std::size_t i = 0; i < count; ++i)
      CHECK(records_[i].is(before + i), records_[i].number(), before + i);
    // Sometimes fewer than were read; all of them before a wait, or both ends would wait.
    const std::uint64_t pending = consumer_.pending();
    consumer_.commit(count == 0 || random_.below(2) == 0 ? pending : pending / 2);
    return count != 0;
  }

 private:
  RingConsumer consumer_;
  Random random_{2};
  std::vector<Record> records_ = std::vector<Record>(kCapacity);
};

// Nobody sleeps: release and acquire alone hold the ring together.
void ring() {
  constexpr std::uint64_t kCount = 15'000;
  Laid<RingHeader> ring(kCapacity, sizeof(Record));
  together(
      [&] {
        Patience patience(HERE);
        produce(RingProducer(ring.get()), kCount, [&](auto&) { patience.rest(); });
      },
      [&] {
        Patience patience(HERE);
        Reading reading{RingConsumer(ring.get())};
        while (reading.consumer().position() < kCount)
          if (!reading.read_some()) patience.rest();
      },
      [&] {
        // A stranger's looks.
        for (int look = 0; look < 10'000; ++look) {
          const std::uint64_t depth = ring->depth();
          CHECK(depth <= kCapacity, depth);
        }
      });
  CHECK(ring->high_water == kCapacity, ring->high_water.load());
}

/// Both ends sleep, each at its own doorbell.
void ring_with_doorbells(const WaitStrategy& how, std::uint64_t count) {
  Laid<RingHeader> ring(kCapacity, sizeof(Record));
  const Shared memory(2 * sizeof(DoorbellWords));
  auto* words = memory.as<DoorbellWords>();
  together(
      [&] {
        Sleeper sleeper(words + 1);
        produce(RingProducer(ring.get(), Bell(words)), count, [&](RingProducer& producer) {
          const Wake wake = sleeper.wait(how, kMinute, [&] { return producer.has_room(); });
          CHECK(wake == Wake::kReady, wake, how.finally);
        });
      },
      [&] {
        Sleeper sleeper(words);
        Reading reading{RingConsumer(ring.get(), Bell(words + 1))};
        while (reading.consumer().position() < count) {
          if (reading.read_some()) continue;
          const Wake wake =
              sleeper.wait(how, kMinute, [&] { return reading.consumer().has_unread(); });
          CHECK(wake == Wake::kReady, wake, how.finally);
        }
      });
}

void doorbell() {
  ring_with_doorbells({0, 0, WaitStrategy::kSleep}, 3'000);
  ring_with_doorbells({0, 10, WaitStrategy::kSleep}, 3'000);
  ring_with_doorbells({100, 10, WaitStrategy::kSleep}, 3'000);
  ring_with_doorbells({0, 0, WaitStrategy::kYield}, 3'000);
  // A spinning thread keeps its core from the others until its time slice ends.
  ring_with_doorbells({0, 0, WaitStrategy::kSpin}, 200);
}

void two_producers_one_doorbell() {
  constexpr std::uint64_t kCount = 4'000;
  Laid<RingHeader> rings[2] = {{kCapacity, sizeof(Record)}, {kCapacity, sizeof(Record)}};
  const Shared memory(sizeof(DoorbellWords));
  auto* words = memory.as<DoorbellWords>();
  const auto producer = [&](Laid<RingHeader>& ring) {
    return [&] {
      Patience patience(HERE);
      produce(RingProducer(ring.get(), Bell(words)), kCount, [&](auto&) { patience.rest(); });
    };
  };
  together(producer(rings[0]), producer(rings[1]), [&] {
    Sleeper sleeper(words);
    Reading first{RingConsumer(rings[0].get())};
    Reading second{RingConsumer(rings[1].get())};
    const auto ready = [&] {
      return first.consumer().has_unread() || second.consumer().has_unread();
    };
    while (first.consumer().position() + second.consumer().position() < 2 * kCount) {
      const bool read_first = first.read_some();
      if (second.read_some() || read_first) continue;
      const Wake wake = sleeper.wait({0, 3, WaitStrategy::kSleep}, kMinute, ready);
      CHECK(wake == Wake::kReady, wake);
    }
  });
}

void observers() {
  using Large = Sample<256>;  // long to copy, hence often torn if nobody looked
  constexpr std::uint64_t kCount = 30'000;
  Laid<ObserverHeader> ring(4, sizeof(Large));
  const auto reader = [&] {
    Patience patience(HERE);
    ObserverReader observer(ring.get(), ObserverReader::Start::kOldest);
    const std::uint64_t start = observer.position();
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;
    std::uint64_t next = start;
    Large records[3];
    while (observer.position() < kCount) {
      const std::size_t count = observer.read(records, 3, lost);
      for (std::size_t i = 0; i < count; ++i) {
        const bool torn = !records[i].is_whole();
        CHECK(!torn, records[i].number());
        CHECK(records[i].number() >= next, records[i].number(), next);
        next = records[i].number() + 1;
      }
      CHECK(next <= observer.position(), next, observer.position());
      delivered += count;
      if (!observer.has_unread()) patience.rest();
    }
    CHECK(start + delivered + lost == kCount, start, delivered, lost);
  };
  together(reader, reader, reader, [&] {
    ObserverProducer producer(ring.get());
    while (producer.published() < kCount) {
      const Large record = Large::of(producer.published());
      producer.push(&record);
      // Now and then the readers get to see an unmoving ring, too.
      if (producer.published() % 64 == 0) sched_yield();
    }
  });
}

void table() {
  using Large = Sample<256>;
  constexpr std::uint64_t kCount = 20'000;
  constexpr std::uint64_t kRows = 2;
  Laid<TableHeader> table(kRows, sizeof(Large));
  const auto number_of = [](std::uint64_t row, std::uint64_t version) {
    return row * 2 * kCount + version;
  };
  const auto reader = [&] {
    Patience patience(HERE);
    const TableReader rows(table.get());
    std::uint64_t seen[kRows] = {};
    Large record = {};
    while (seen[0] < kCount || seen[1] < kCount) {
      for (std::uint64_t row = 0; row < kRows; ++row) {
        const std::uint64_t version = rows.read(row, &record).version;
        CHECK(version >= seen[row], row, version, seen[row]);
        const bool torn = version != 0 && !record.is(number_of(row, version));
        CHECK(!torn, row, version, record.number());
        if (version == seen[row]) patience.rest();
        seen[row] = version;
      }
    }
  };
  together(reader, reader, [&] {
    TableWriter writer(table.get());
    for (std::uint64_t version = 1; version <= kCount; ++version) {
      for (std::uint64_t row = 0; row < kRows; ++row) {
        const Large record = Large::of(number_of(row, version));
        writer.write(row, &record);
      }
      if (version % 64 == 0) sched_yield();
    }
  });
}

// The values of an epoch are one value, so that counts of two epochs in one copy show.
void histogram() {
  constexpr std::uint64_t kEpochs = 40;
  constexpr std::uint64_t kValues = 300;
  const Shared memory(sizeof(HistogramWords) + sizeof(Word));
  auto* words = memory.as<HistogramWords>();
  auto& recorded = *reinterpret_cast<Word*>(words + 1);
  const auto value_of = [](std::uint64_t epoch) { return 1'000 + 100 * epoch; };
  const auto reader = [&] {
    Patience patience(HERE);
    HistogramCopy copy = {};
    std::uint64_t last = 0;
    do {
      copy_histogram(*words, copy);
      const std::uint64_t value = value_of(copy.epoch);
      const std::uint64_t count = copy.bucket[Buckets::index(value)];
      std::uint64_t total = 0;
      for (const std::uint64_t each : copy.bucket) total += each;
      const bool torn = total != count;
      CHECK(!torn, copy.epoch, total, count);
      // The sum is copied first, while values go on being recorded.
      CHECK(copy.sum <= kValues * value && count <= kValues, copy.epoch, copy.sum, count);
      CHECK(copy.sum % value == 0, copy.epoch, copy.sum);
      CHECK(copy.high == 0 || copy.high == value, copy.epoch, copy.high);
      const std::uint64_t counted = recorded.load(std::memory_order_relaxed);
      CHECK(counted >= last, counted, last);
      last = counted;
      patience.rest();
    } while (last < kEpochs * kValues);
  };
  together(reader, reader, [&] {
    HistogramWriter writer(words);
    for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
      // Asked for by the writer, so that it is known which epoch a value falls into.
      words->wanted_epoch.store(epoch, std::memory_order_release);
      for (std::uint64_t i = 0; i < kValues; ++i) {
        writer.record(value_of(epoch));
        add_single_writer(recorded, 1);
        if (i % 64 == 0) sched_yield();
      }
    }
  });
  HistogramCopy copy;
  copy_histogram(*words, copy);
  const std::uint64_t counted = copy.bucket[Buckets::index(value_of(kEpochs - 1))];
  CHECK(counted == kValues, counted);
}

// Resets that come from elsewhere, at any moment.
void histogram_resets() {
  constexpr std::uint64_t kResets = 100;
  const Shared memory(sizeof(HistogramWords));
  auto* words = memory.as<HistogramWords>();
  std::atomic<bool> done{false};
  together(
      [&] {
        HistogramWriter writer(words);
        while (!done.load()) {
          for (int i = 0; i < 16; ++i) writer.record(7);
          sched_yield();
        }
      },
      [&] {
        for (std::uint64_t reset = 1; reset <= kResets; ++reset) {
          words->wanted_epoch.fetch_add(1, std::memory_order_acq_rel);
          HistogramCopy copy;
          copy_histogram(*words, copy);
          CHECK(copy.epoch == reset, copy.epoch, reset);
          Patience patience(HERE);
          while (words->epoch.load() != 2 * reset) patience.rest();
        }
        done.store(true);
      });
}

struct Test {
  const char* name;
  void (*run)();
};

constexpr Test kTests[] = {
    {"ring", ring},
    {"doorbell", doorbell},
    {"two_producers_one_doorbell", two_producers_one_doorbell},
    {"observers", observers},
    {"table", table},
    {"histogram", histogram},
    {"histogram_resets", histogram_resets},
};

}  // namespace

int main(int count, char** arguments) {
  Choice choice(count, arguments);
  for (const Test& test : kTests) {
    if (!choice.has(test.name)) continue;
    const std::int64_t start = monotonic_ns();
    test.run();
    std::printf("%-28s %6.2f s\n", test.name, static_cast<double>(monotonic_ns() - start) / 1e9);
  }
  return verdict();
}
