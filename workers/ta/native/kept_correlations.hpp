// From the record to a reader's state: of each instrument a cell with its correlations with all.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../../../pipeline/native/kernel.hpp"

namespace bot4 {

/// A group of cells, one an instrument: first the correlations, in 1/10,000, then of how many samples
/// each is. All zero: nothing is known yet. workers/ta/kept.py has the dtype, and the same in Python.
class KeptCorrelations {
 public:
  KeptCorrelations(std::size_t group, std::size_t instruments)
      : group_(group), instruments_(instruments) {}

  /// Keeps a row, as far as it is of instruments that there are.
  void take(const Correlations& row, State& state) const {
    if (row.header.instrument >= instruments_) return;
    auto* value = &state.edit<std::int16_t>(group_, row.header.instrument);
    auto* samples = reinterpret_cast<std::uint16_t*>(value + padded());
    for (std::size_t i = 0; i < std::min<std::size_t>(row.count, Correlations::kMost); ++i) {
      if (row.first + i >= instruments_) break;
      value[row.first + i] = row.value[i];
      samples[row.first + i] = row.samples[i];
    }
  }

  /// With each other instrument, and of how many samples.
  const std::int16_t* values(std::uint32_t instrument, const State& state) const {
    return &state.read<std::int16_t>(group_, instrument);
  }
  const std::uint16_t* samples(std::uint32_t instrument, const State& state) const {
    return reinterpret_cast<const std::uint16_t*>(values(instrument, state) + padded());
  }

 private:
  /// Elements of each half, so that it ends on a whole word.
  std::size_t padded() const { return (instruments_ + 3) / 4 * 4; }

  std::size_t group_;
  std::size_t instruments_;
};

}  // namespace bot4
