// The in-process driver: runs a kernel's steps with given contexts and inputs, over memory of its own,
// and keeps what is emitted. Replay, backtest and tests use it; the kernel cannot tell the difference.
#pragma once

#include <utility>

#include "kernel.hpp"

namespace bot4 {

class Replay final : private Emit {
 public:
  /// `outputs`: bytes of a record of each output ring.
  Replay(Kernel& kernel, std::vector<shm::CellsHeader*> groups, std::vector<std::size_t> outputs)
      : kernel_(kernel), state_(open(groups)), record_bytes_(std::move(outputs)) {
    published_.resize(record_bytes_.size());
    emitted_.resize(record_bytes_.size());
  }

  /// One step, committed at once.
  void step(const Context& context, const void* input) {
    run(context, input);
    commit(context.step);
  }

  /// One step of a batch, which `commit` ends.
  void run(const Context& context, const void* input) {
    begin_step(context);
    kernel_.step(context, input, state_, *this);
  }

  void commit(std::uint64_t step) {
    committed_ = step;
    for (shm::Cells& group : state_.groups()) {
      group.stamp(committed_);
      group.begin_next();
    }
  }

  /// Makes room for so many records on each ring, so that keeping them allocates nothing.
  void reserve(std::size_t records) {
    for (std::size_t ring = 0; ring < emitted_.size(); ++ring)
      emitted_[ring].reserve(emitted_[ring].size() + records * record_bytes_[ring]);
  }

  std::uint64_t committed() const { return committed_; }
  std::size_t outputs() const { return record_bytes_.size(); }

  /// What was emitted to a ring since the last call.
  std::vector<unsigned char> take(std::size_t ring) { return std::exchange(emitted_.at(ring), {}); }

 private:
  static State open(const std::vector<shm::CellsHeader*>& groups) {
    std::vector<shm::Cells> cells;
    for (shm::CellsHeader* group : groups) cells.emplace_back(group, 0);
    return State(std::move(cells));
  }

  void publish(std::size_t ring, Header& header, const void* record, std::size_t bytes) override {
    if (bytes != record_bytes_.at(ring))
      throw std::logic_error("a record of " + std::to_string(bytes) + " bytes was emitted, the ring's have " +
                             std::to_string(record_bytes_[ring]));
    header.sequence = published_[ring]++;
    const auto* from = static_cast<const unsigned char*>(record);
    emitted_[ring].insert(emitted_[ring].end(), from, from + bytes);
  }

  Kernel& kernel_;
  State state_;
  std::vector<std::size_t> record_bytes_;
  std::vector<std::uint64_t> published_;
  std::vector<std::vector<unsigned char>> emitted_;
  std::uint64_t committed_ = 0;
};

}  // namespace bot4
