// What a stage computes: a deterministic function of its state, an input and the step's context.
//
// A kernel sees no ring, no clock and no signal. Whoever drives it (the live runtime in loop.hpp, or
// the in-process driver in replay.hpp) gives it the input, and takes what it emits.
#pragma once

#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../shm/native/cells.hpp"
#include "records.hpp"

namespace bot4 {

/// The groups of cells that a stage declares, in the order of its declaration.
class State {
 public:
  explicit State(std::vector<shm::Cells> groups) : groups_(std::move(groups)) {}

  /// The record as it is now. Valid until the next step.
  template <class T>
  const T& read(std::size_t group, std::uint64_t index) const {
    return *static_cast<const T*>(groups_[group].read(index));
  }
  /// The same, to be changed.
  template <class T>
  T& edit(std::size_t group, std::uint64_t index) {
    return *static_cast<T*>(groups_[group].edit(index));
  }
  std::uint64_t count(std::size_t group) const { return groups_[group].count(); }

  std::span<shm::Cells> groups() { return groups_; }

 private:
  std::vector<shm::Cells> groups_;
};

/// Where outputs go. `ring` is the index of the output ring in the order of the stage's declaration.
class Emit {
 public:
  virtual ~Emit() = default;

  /// Publishes a record. The sequence, the cause and the stamp are filled in; all else is the kernel's.
  template <class Record>
  void operator()(std::size_t ring, Record& record) {
    record.header.cause_step = context_->step;
    record.header.cause_index = index_++;
    record.header.stamped_ns = context_->now_ns;
    publish(ring, record.header, &record, sizeof record);
  }

  /// The same for a record that only its bytes are known of; it must begin with a Header.
  void emit_bytes(std::size_t ring, void* record, std::size_t bytes) {
    auto& header = *static_cast<Header*>(record);
    header.cause_step = context_->step;
    header.cause_index = index_++;
    header.stamped_ns = context_->now_ns;
    publish(ring, header, record, bytes);
  }

 protected:
  void begin_step(const Context& context) {
    context_ = &context;
    index_ = 0;
  }
  std::uint32_t emitted() const { return index_; }

 private:
  virtual void publish(std::size_t ring, Header& header, const void* record, std::size_t bytes) = 0;

  const Context* context_ = nullptr;
  std::uint32_t index_ = 0;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  /// One step. `input` is a record of the ring that `context.source` says, or null for a tick. It may
  /// emit no more than the stage declared for that source.
  virtual void step(const Context& context, const void* input, State& state, Emit& emit) = 0;
};

}  // namespace bot4
