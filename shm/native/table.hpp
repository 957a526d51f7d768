// The latest-value table: a row per instrument, say, with one writer a row and any readers.
//
// A seqlock with two slots a row. The stamp counts twice the versions written, plus one while the
// next is being written; version v lies in slot v % 2. The writer fills the slot that is not
// current, so a writer that dies half-way, or is off its core, never keeps a reader from the last
// complete version: the reader gets that, and is told of the unfinished one. A reader repeats only
// if two versions were begun while it copied, which means that the writer is getting on.
#pragma once

#include "memory.hpp"

namespace bot4::shm {

struct TableHeader {
  alignas(kCacheLine) std::uint64_t rows;
  std::uint64_t record_bytes;  // a multiple of 8

  // A row starts on a line of its own, so that one row's writer disturbs no other row's readers.
  std::size_t row_bytes() const { return row_bytes(record_bytes); }
  Word* row(std::uint64_t index) {
    return reinterpret_cast<Word*>(reinterpret_cast<unsigned char*>(this + 1) +
                                   index * row_bytes());
  }
  Word* slot(std::uint64_t index, std::uint64_t version) {
    return row(index) + 1 + (version & 1) * (record_bytes / 8);
  }
  bool is_sound(std::uint64_t expected_rows, std::uint64_t expected_record_bytes) const {
    return rows == expected_rows && record_bytes == expected_record_bytes;
  }
  static constexpr std::size_t row_bytes(std::uint64_t record_bytes) {
    return round_up(8 + 2 * record_bytes, kCacheLine);
  }
  static constexpr std::size_t bytes(std::uint64_t rows, std::uint64_t record_bytes) {
    return sizeof(TableHeader) + rows * row_bytes(record_bytes);
  }
};

class TableWriter {
 public:
  explicit TableWriter(TableHeader* table) : table_(table) {}

  void write(std::uint64_t index, const void* record) {
    Word& stamp = table_->row(index)[0];
    // Only this process writes the row. An odd stamp is what a killed predecessor left: its
    // unfinished version is simply written anew.
    const std::uint64_t version = stamp.load(std::memory_order_relaxed) / 2 + 1;
    // Relaxed: store_record's releases keep this store before each word of the record.
    stamp.store(2 * version - 1, std::memory_order_relaxed);
    store_record(table_->slot(index, version), record, table_->record_bytes);
    // Release: complete before it becomes current.
    stamp.store(2 * version, std::memory_order_release);
  }

 private:
  TableHeader* table_;
};

class TableReader {
 public:
  struct Row {
    std::uint64_t version;  // 0: never written, and nothing was copied
    bool writing;           // a newer version was begun and not finished
  };

  explicit TableReader(TableHeader* table) : table_(table) {}

  Row read(std::uint64_t index, void* record) const {
    const Word& stamp = table_->row(index)[0];
    for (;;) {
      // Acquire: the record is read after the stamp that vouches for it.
      const std::uint64_t before = stamp.load(std::memory_order_acquire);
      const std::uint64_t version = before / 2;
      if (version == 0) return {0, (before & 1) != 0};
      load_record(record, table_->slot(index, version), table_->record_bytes);
      // Relaxed: load_record's acquires keep this load after them.
      const std::uint64_t after = stamp.load(std::memory_order_relaxed);
      // This slot is written again by version + 2, whose first store makes the stamp 2v + 3.
      if (after <= 2 * version + 2) return {version, (after & 1) != 0};
      cpu_pause();
    }
  }

 private:
  TableHeader* table_;
};

}  // namespace bot4::shm
