// What the smaller structures do when nobody else is there: every function, every branch.

#include "cells.hpp"
#include "check.hpp"
#include "describe.hpp"
#include "metrics.hpp"
#include "samples.hpp"
#include "segment.hpp"
#include "table.hpp"

using namespace bot4::shm;
using namespace bot4::test;

namespace {

using Record = Sample<64>;

// --- memory.hpp ---

void sizes_are_rounded_up() {
  CHECK(round_up(0, 64) == 0);
  CHECK(round_up(1, 64) == 64);
  CHECK(round_up(64, 64) == 64);
  CHECK(round_up(65, 64) == 128);
  CHECK(!is_power_of_two(0));
  CHECK(is_power_of_two(1));
  CHECK(is_power_of_two(std::uint64_t{1} << 63));
  CHECK(!is_power_of_two(12));
  static_assert(sizeof(PaddedWord) == kCacheLine && alignof(PaddedWord) == kCacheLine);
}

void the_clock_goes_forward() {
  const std::int64_t before = monotonic_ns();
  cpu_pause();
  const std::int64_t after = monotonic_ns();
  CHECK(before > 0 && after >= before, before, after);
}

/// A copy of `Bytes` bytes is complete, and touches nothing beyond them.
template <std::size_t Bytes>
void records_are_copied_whole() {
  const auto source = Sample<Bytes>::of(Bytes);
  Sample<Bytes + 8> copy = {};
  copy.word[Bytes / 8] = 0x5555;
  copy_record(&copy, &source, Bytes);
  CHECK(std::memcmp(&copy, &source, Bytes) == 0, Bytes);
  CHECK(copy.word[Bytes / 8] == 0x5555, Bytes);

  Word words[Bytes / 8 + 1] = {};
  store_record(words, &source, Bytes);
  CHECK(words[Bytes / 8] == 0, Bytes);
  copy = {};
  load_record(&copy, words, Bytes);
  CHECK(std::memcmp(&copy, &source, Bytes) == 0, Bytes);
  CHECK(copy.word[Bytes / 8] == 0, Bytes);
}

// --- table.hpp ---

using Table = Laid<TableHeader>;

void rows_start_on_lines_of_their_own() {
  static_assert(TableHeader::row_bytes(24) == 64);
  static_assert(TableHeader::row_bytes(32) == 128);
  static_assert(TableHeader::bytes(3, 24) == sizeof(TableHeader) + 3 * 64);
  const Table table(3, 32);
  CHECK(table->is_sound(3, 32) && !table->is_sound(3, 24) && !table->is_sound(2, 32));
  for (std::uint64_t i = 0; i < 3; ++i)
    CHECK(reinterpret_cast<std::uintptr_t>(table->row(i)) % kCacheLine == 0, i);
}

void a_row_gives_its_latest_version() {
  const Table table(3, sizeof(Record));
  TableWriter writer(table.get());
  const TableReader reader(table.get());
  Record record = Record::of(99);
  CHECK(reader.read(1, &record).version == 0 && record.is(99));
  for (std::uint64_t version = 1; version < 6; ++version) {
    const Record written = Record::of(version);
    writer.write(1, &written);
    const TableReader::Row row = reader.read(1, &record);
    CHECK(row.version == version && !row.writing && record.is(version), row.version, version);
  }
  CHECK(reader.read(0, &record).version == 0);
  CHECK(reader.read(2, &record).version == 0);
}

/// Leaves what a writer leaves that is killed half-way through version `version`.
void begin_version(const Table& table, std::uint64_t version) {
  const Record half = Record::of(version);
  table->row(0)[0].store(2 * version - 1);
  store_record(table->slot(0, version), &half, sizeof(Record) / 2);
}

void a_half_written_row_gives_the_version_before() {
  const Table table(1, sizeof(Record));
  const TableReader reader(table.get());
  for (std::uint64_t version = 1; version < 5; ++version) {
    begin_version(table, version);
    Record record = Record::of(99);
    const std::uint64_t last = version - 1;
    TableReader::Row row = reader.read(0, &record);
    CHECK(row.version == last && row.writing, row.version, row.writing, last);
    CHECK(record.is(last == 0 ? 99 : last), record.number(), last);
    // A successor writes that version anew.
    const Record whole = Record::of(version);
    TableWriter(table.get()).write(0, &whole);
    row = reader.read(0, &record);
    CHECK(row.version == version && !row.writing && record.is(version), row.version, version);
  }
}

// --- cells.hpp ---

using LaidCells = Laid<CellsHeader>;

void change(Cells& cells, std::uint64_t index, std::uint64_t number) {
  const Record record = Record::of(number);
  std::memcpy(cells.edit(index), &record, sizeof record);
}

void end_batch(Cells& cells, std::uint64_t step) {
  cells.stamp(step);
  cells.begin_next();
}

bool holds(const void* record, std::uint64_t number) {
  return static_cast<const Record*>(record)->is(number);
}

bool holds(const LaidCells& laid, std::uint64_t index, std::uint64_t step, std::uint64_t number) {
  Record record = {};
  return laid->copy(index, step, &record) && record.is(number);
}

void cells_lie_on_lines_of_their_own() {
  static_assert(CellsHeader::slot_bytes(24) == 64 && CellsHeader::slot_bytes(72) == 128);
  static_assert(CellsHeader::cell_bytes(24) == 192);
  static_assert(CellsHeader::bytes(3, 24) == sizeof(CellsHeader) + 3 * 192);
  const LaidCells laid(3, 24);
  CHECK(laid->is_sound(3, 24) && !laid->is_sound(2, 24) && !laid->is_sound(3, 32));
  for (std::uint64_t i = 0; i < 3; ++i)
    for (unsigned which = 0; which < 2; ++which)
      CHECK(reinterpret_cast<std::uintptr_t>(laid->slot(i, which)) % kCacheLine == 0, i, which);
  const Cells cells(laid.get(), 0);
  CHECK(cells.count() == 3 && cells.record_bytes() == 24);
}

void a_batch_becomes_current_with_its_step() {
  const LaidCells laid(2, sizeof(Record));
  Cells cells(laid.get(), 0);
  for (std::uint64_t step = 1; step < 6; ++step) {
    change(cells, 1, step);
    CHECK(holds(cells.read(1), step) && cells.edit(1) == cells.read(1), step);
    CHECK(cells.touched().size() == 1 && cells.touched()[0] == 1);
    if (step > 1) CHECK(holds(laid, 1, step - 1, step - 1), step);
    cells.stamp(step);
    CHECK(holds(laid, 1, step, step), step);
    if (step > 1) CHECK(holds(laid, 1, step - 1, step - 1), step);
    cells.begin_next();
    CHECK(cells.touched().empty());
  }
  CHECK(laid->has_current(1, 4) && !laid->has_current(1, 3));
  Record record = {};
  CHECK(!laid->copy(1, 3, &record));
  CHECK(laid->current(0, 5) == 0);
}

void a_stamp_that_was_not_committed_never_becomes_current() {
  const LaidCells laid(2, sizeof(Record));
  {
    Cells cells(laid.get(), 0);
    change(cells, 0, 1);
    change(cells, 1, 1);
    end_batch(cells, 1);
    change(cells, 0, 2);
    change(cells, 1, 2);
    cells.stamp(2);
  }
  Cells successor(laid.get(), 1);
  CHECK(holds(successor.read(0), 1) && holds(successor.read(1), 1));
  // Another step 2, which leaves cell 1 alone.
  change(successor, 0, 3);
  end_batch(successor, 2);
  CHECK(holds(laid, 0, 2, 3) && holds(laid, 1, 2, 1));
  CHECK(holds(Cells(laid.get(), 2).read(1), 1));
}

// --- metrics.hpp ---

void buckets_cover_all_values_without_gaps() {
  for (std::size_t i = 0; i < Buckets::kCount; ++i) {
    const std::uint64_t lowest = i == 0 ? 0 : Buckets::highest(i - 1) + 1;
    const std::uint64_t highest = Buckets::highest(i);
    CHECK(lowest <= highest, i, lowest, highest);
    CHECK(Buckets::index(lowest) == i, i, lowest, Buckets::index(lowest));
    CHECK(Buckets::index(highest) == i, i, highest, Buckets::index(highest));
    CHECK((highest - lowest) <= lowest / Buckets::kPerOctave, i, lowest, highest);
  }
  CHECK(Buckets::highest(Buckets::kCount - 1) == UINT64_MAX);
}

HistogramCopy copy_of(const HistogramWords& words) {
  HistogramCopy copy;
  copy_histogram(words, copy);
  return copy;
}

std::uint64_t total(const HistogramCopy& copy) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : copy.bucket) sum += count;
  return sum;
}

void expect_empty(const HistogramWords& words, std::uint64_t epoch, const char* where) {
  const HistogramCopy copy = copy_of(words);
  CHECK(copy.epoch == epoch && total(copy) == 0 && copy.sum == 0 && copy.high == 0, where,
        copy.epoch, epoch, total(copy), copy.sum, copy.high);
}

void a_histogram_counts_values_and_their_extremes() {
  const Shared memory(sizeof(HistogramWords));
  auto& words = *memory.as<HistogramWords>();
  expect_empty(words, 0, HERE);
  CHECK(copy_of(words).low == UINT64_MAX);
  HistogramWriter writer(&words);
  for (const std::uint64_t value : {40u, 7u, 1'000'000u, 7u}) writer.record(value);
  HistogramCopy copy = copy_of(words);
  CHECK(copy.low == 7 && copy.high == 1'000'000, copy.low, copy.high);
  CHECK(copy.sum == 1'000'054, copy.sum);
  CHECK(total(copy) == 4 && copy.bucket[7] == 2 && copy.bucket[Buckets::index(40)] == 1);
  writer.record(0);
  writer.record(UINT64_MAX);
  copy = copy_of(words);
  CHECK(copy.low == 0 && copy.high == UINT64_MAX, copy.low, copy.high);
  CHECK(copy.bucket[0] == 1 && copy.bucket[Buckets::kCount - 1] == 1);
}

void a_reset_empties_a_histogram_at_once() {
  const Shared memory(sizeof(HistogramWords));
  auto& words = *memory.as<HistogramWords>();
  HistogramWriter writer(&words);
  writer.record(5);
  words.wanted_epoch.fetch_add(1);
  expect_empty(words, 1, HERE);  // although the writer has not obeyed yet
  words.wanted_epoch.fetch_add(1);
  writer.record(9);
  const HistogramCopy copy = copy_of(words);
  CHECK(copy.epoch == 2 && total(copy) == 1 && copy.bucket[9] == 1, copy.epoch, total(copy));
  CHECK(copy.low == 9 && copy.high == 9 && copy.sum == 9, copy.low, copy.high, copy.sum);
  CHECK(words.epoch.load() == 4, words.epoch.load());
}

void an_interrupted_clearing_is_done_again() {
  const Shared memory(sizeof(HistogramWords));
  auto& words = *memory.as<HistogramWords>();
  HistogramWriter(&words).record(5);
  // Killed half-way through the clearing for epoch 1.
  words.wanted_epoch.store(1);
  words.epoch.store(1);
  words.sum.store(0);
  expect_empty(words, 1, HERE);
  HistogramWriter successor(&words);
  expect_empty(words, 1, HERE);
  successor.record(6);
  const HistogramCopy copy = copy_of(words);
  CHECK(total(copy) == 1 && copy.bucket[6] == 1 && copy.low == 6 && copy.high == 6);
}

void counters_add_up() {
  Word counter{5};
  add_single_writer(counter, 7);
  add_single_writer(counter, 0);
  CHECK(counter == 12, counter.load());
}

// --- segment.hpp ---

void the_first_page_begins_with_readable_letters() {
  static_assert(std::is_standard_layout_v<SegmentHeader>);
  static_assert(sizeof(SegmentHeader) <= 4096);
  const Shared memory(sizeof(SegmentHeader));
  auto& header = *memory.as<SegmentHeader>();
  header.magic.store(kMagic);
  CHECK(std::memcmp(&header, "BOT4SHM1", 8) == 0);
  CHECK(kFormat == 1);
}

}  // namespace

// --- describe.hpp ---

struct EveryType {
  double f8;
  float f4;
  std::uint64_t u8;
  std::int64_t i8;
  std::uint32_t u4;
  std::int32_t i4;
  std::uint16_t u2;
  std::int16_t i2;
  std::uint8_t u1;
  std::int8_t i1;
  char text[6];
  double prices[3];
  Word word;
};
BOT4_DESCRIBE(EveryType, f8, f4, u8, i8, u4, i4, u2, i2, u1, i1, text, prices, word)

struct OneField {
  std::uint64_t only;
};
BOT4_DESCRIBE(OneField, only)

#define EIGHT(name) name##0, name##1, name##2, name##3, name##4, name##5, name##6, name##7
struct ManyFields {
  std::uint8_t EIGHT(a), EIGHT(b), EIGHT(c), EIGHT(d), EIGHT(e), EIGHT(f), EIGHT(g), EIGHT(h);
};
BOT4_DESCRIBE(ManyFields, EIGHT(a), EIGHT(b), EIGHT(c), EIGHT(d), EIGHT(e), EIGHT(f), EIGHT(g),
              EIGHT(h))

namespace {

void expect_field(const Field& field, const char* name, const char* format, std::size_t count,
                  std::size_t offset) {
  CHECK(std::strcmp(field.name, name) == 0, field.name, name);
  CHECK(std::strcmp(field.format, format) == 0, name, field.format, format);
  CHECK(field.count == count && field.offset == offset, name, field.count, field.offset);
}

void fields_are_described_in_order() {
  const auto& fields = describe<EveryType>();
  CHECK(fields.size() == 13, fields.size());
  const char* formats[] = {"<f8", "<f4", "<u8", "<i8", "<u4", "<i4", "<u2", "<i2", "|u1", "|i1"};
  std::size_t offset = 0;
  for (std::size_t i = 0; i < std::size(formats); ++i) {
    const std::size_t bytes = static_cast<std::size_t>(formats[i][2] - '0');
    offset = round_up(offset, bytes);
    CHECK(std::strcmp(fields[i].format, formats[i]) == 0, i, fields[i].format, formats[i]);
    CHECK(fields[i].count == 1 && fields[i].offset == offset, i, fields[i].offset, offset);
    offset += bytes;
  }
  CHECK(std::strcmp(fields[0].name, "f8") == 0, fields[0].name);
  expect_field(fields[10], "text", "S", 6, offsetof(EveryType, text));
  expect_field(fields[11], "prices", "<f8", 3, offsetof(EveryType, prices));
  expect_field(fields[12], "word", "<u8", 1, offsetof(EveryType, word));
  expect_field(describe<OneField>()[0], "only", "<u8", 1, 0);
}

void sixty_four_fields_can_be_described() {
  const auto& fields = describe<ManyFields>();
  CHECK(fields.size() == 64, fields.size());
  expect_field(fields[63], "h7", "|u1", 1, 63);
}

}  // namespace

int main() {
  sizes_are_rounded_up();
  the_clock_goes_forward();
  records_are_copied_whole<8>();
  records_are_copied_whole<64>();
  records_are_copied_whole<128>();
  records_are_copied_whole<200>();

  rows_start_on_lines_of_their_own();
  a_row_gives_its_latest_version();
  a_half_written_row_gives_the_version_before();

  cells_lie_on_lines_of_their_own();
  a_batch_becomes_current_with_its_step();
  a_stamp_that_was_not_committed_never_becomes_current();

  buckets_cover_all_values_without_gaps();
  a_histogram_counts_values_and_their_extremes();
  a_reset_empties_a_histogram_at_once();
  an_interrupted_clearing_is_done_again();
  counters_add_up();

  the_first_page_begins_with_readable_letters();
  fields_are_described_in_order();
  sixty_four_fields_can_be_described();
  return verdict();
}
