// Cells: state that a process can be killed in the middle of changing.
//
// A group of records with one writer, each kept in two slots with a stamp per slot. Changes are
// made in batches: the first edit of a cell in a batch marks the slot that is not current, copies
// the current one over it, and works there; at the end of the batch each slot so used is stamped
// with the batch's last step. None of this makes anything current: that is done by the one store of
// the last step into a word elsewhere (the commit), which all groups of a process share. So after a
// kill at any instruction the current slot of each cell is the one without a mark that has the
// highest stamp not beyond the committed step, and what was current when the batch began is whole.
//
// Steps only grow, and begin with 1: zero memory has been stamped with 0.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "memory.hpp"

namespace bot4::shm {

struct CellsHeader {
  alignas(kCacheLine) std::uint64_t count;
  std::uint64_t record_bytes;  // a multiple of 8

  static constexpr std::uint64_t kMark = ~std::uint64_t{0};  // later than any step

  static constexpr std::size_t slot_bytes(std::uint64_t record_bytes) {
    return round_up(record_bytes, kCacheLine);
  }
  // The two stamps, on a line of their own, then the two slots.
  static constexpr std::size_t cell_bytes(std::uint64_t record_bytes) {
    return kCacheLine + 2 * slot_bytes(record_bytes);
  }
  static constexpr std::size_t bytes(std::uint64_t count, std::uint64_t record_bytes) {
    return sizeof(CellsHeader) + count * cell_bytes(record_bytes);
  }
  bool is_sound(std::uint64_t expected_count, std::uint64_t expected_record_bytes) const {
    return count == expected_count && record_bytes == expected_record_bytes;
  }

  Word* stamps(std::uint64_t index) {
    return reinterpret_cast<Word*>(reinterpret_cast<unsigned char*>(this + 1) +
                                   index * cell_bytes(record_bytes));
  }
  unsigned char* slot(std::uint64_t index, unsigned which) {
    return reinterpret_cast<unsigned char*>(stamps(index)) + kCacheLine +
           which * slot_bytes(record_bytes);
  }

  /// False if both slots are of later steps: `committed` is not the last step of this writer.
  bool has_current(std::uint64_t index, std::uint64_t committed) {
    return std::min(stamps(index)[0].load(std::memory_order_acquire),
                    stamps(index)[1].load(std::memory_order_acquire)) <= committed;
  }

  /// Which slot is current once `committed` is the last step. Zero memory: slot 0, at step 0.
  unsigned current(std::uint64_t index, std::uint64_t committed) {
    const std::uint64_t first = stamps(index)[0].load(std::memory_order_acquire);
    const std::uint64_t second = stamps(index)[1].load(std::memory_order_acquire);
    if (second > committed) return 0;  // marked, or of a batch that was not committed
    if (first > committed) return 1;
    return second > first ? 1 : 0;
  }

  /// Copies the record that is current once `committed` is the last step, for others than the
  /// writer. False if the writer is beyond that step, and has begun to overwrite it.
  bool copy(std::uint64_t index, std::uint64_t committed, void* to) {
    const unsigned which = current(index, committed);
    const Word& stamp = stamps(index)[which];
    const std::uint64_t before = stamp.load(std::memory_order_relaxed);
    if (before > committed) return false;
    load_record(to, reinterpret_cast<const Word*>(slot(index, which)), record_bytes);
    // Relaxed: load_record's acquires keep this load after them, and with the writer's barrier a
    // word of newer contents brings the mark with it.
    return stamp.load(std::memory_order_relaxed) == before;
  }
};

/// The writer's end. `committed` is the commit word's value when it begins: what a predecessor did
/// after that never was.
class Cells {
 public:
  Cells(CellsHeader* cells, std::uint64_t committed)
      : cells_(cells),
        first_(reinterpret_cast<unsigned char*>(cells + 1)),
        record_bytes_(cells->record_bytes),
        slot_bytes_(CellsHeader::slot_bytes(record_bytes_)),
        cell_bytes_(CellsHeader::cell_bytes(record_bytes_)),
        slots_(cells->count) {
    for (std::uint64_t i = 0; i < cells->count; ++i) {
      slots_[i] = {cells->current(i, committed), false};
      // A stamp that was not committed must not become current by this writer's commits, which may
      // be of batches that do not touch this cell.
      Word& other = cells->stamps(i)[1 - slots_[i].working];
      if (other.load(std::memory_order_relaxed) > committed)
        other.store(CellsHeader::kMark, std::memory_order_relaxed);
    }
    touched_.reserve(cells->count);
  }

  std::uint64_t count() const { return slots_.size(); }
  std::size_t record_bytes() const { return record_bytes_; }

  /// The record as this batch has made it.
  const void* read(std::uint64_t index) const { return at(index, slots_[index].working); }

  /// The same, to be changed until the end of the batch.
  void* edit(std::uint64_t index) {
    if (!slots_[index].touched && !in_place_) touch(index);
    return at(index, slots_[index].working);
  }

  /// From now on edits change the current slots themselves: what cells exist to avoid, for tests
  /// that want to see the harm.
  void edit_in_place() { in_place_ = true; }

  /// Ends the batch's changes; `step` is its last. The commit word is stored after this.
  void stamp(std::uint64_t step) {
    // Release: contents before the stamp that vouches for them.
    for (const std::uint64_t index : touched_)
      cells_->stamps(index)[slots_[index].working].store(step, std::memory_order_release);
  }

  /// To be called once the commit word has been stored: the next edits begin a new batch.
  void begin_next() {
    for (const std::uint64_t index : touched_) slots_[index].touched = false;
    touched_.clear();
  }

  /// The cells edited in this batch, in the order of their first edit.
  std::span<const std::uint64_t> touched() const { return touched_; }

 private:
  struct Slot {
    unsigned working;  // the slot that read() and edit() give
    bool touched;      // in this batch
  };

  /// The first edit of a cell in a batch. Not inlined: the others are to be short.
  [[gnu::noinline]] void touch(std::uint64_t index) {
    const unsigned from = slots_[index].working;
    const unsigned to = 1 - from;
    cells_->stamps(index)[to].store(CellsHeader::kMark, std::memory_order_relaxed);
    // The mark must be out before any word of the contents, which are written by plain stores. In
    // the eyes of a successor only the compiler could reorder them, as all that a killed process
    // did is done before its death is known to anyone; in those of a reader the core could, too.
    store_barrier();
    std::memcpy(at(index, to), at(index, from), record_bytes_);
    slots_[index] = {to, true};
    touched_.push_back(index);
  }

  /// What CellsHeader::slot returns, by sizes that are known: reads and edits are most of a step.
  unsigned char* at(std::uint64_t index, unsigned which) const {
    return first_ + index * cell_bytes_ + kCacheLine + which * slot_bytes_;
  }

  CellsHeader* cells_;
  unsigned char* first_;
  std::size_t record_bytes_, slot_bytes_, cell_bytes_;
  std::vector<Slot> slots_;
  std::vector<std::uint64_t> touched_;
  bool in_place_ = false;
};

}  // namespace bot4::shm
