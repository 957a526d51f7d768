// Samples for the correlations: the return of each instrument from one point of a grid of times to
// the next, and the rows that follow from them. workers/ta/reference/sampling.py is the same in
// Python.
//
// The grid is that of venue time: whole multiples of an interval since the epoch. The first record
// dated in a later interval, of whatever instrument, ends the interval for all of them. Once so many
// records in a row are so late that the clock must have been wrong before, it is set back.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "../../../pipeline/native/kernel.hpp"
#include "correlation_record.hpp"
#include "state.hpp"

namespace bot4 {

class Sampler {
 public:
  /// The groups of cells, in the order in which the stage declares them from `kBars` on.
  enum Group : std::size_t { kBars = 0, kClock = 2, kSamples = 3, kCorrelation = 4 };

  Sampler(std::int64_t interval_ns, std::uint64_t instruments)
      : interval_ns_(interval_ns), instruments_(instruments) {
    if (interval_ns < 1) throw std::invalid_argument("the correlations' interval was 0, must be > 0");
  }

  /// To be called before the record is taken by anything else: what it tells is of the next interval.
  void take(const Market& market, State& state) const {
    if (market.header.venue_ns <= 0) return;
    const std::int64_t interval = market.header.venue_ns / interval_ns_;
    const std::int64_t before = state.read<SampleClock>(kClock, 0).interval;
    if (interval <= before && !is_set_back(before - interval, state)) return;
    // Across intervals of which nothing is known a return would be of a longer time than others.
    if (interval == before + 1) sample(state);
    auto& clock = state.edit<SampleClock>(kClock, 0);
    if (interval == before + 1) clock.rows_due = rows();
    clock.interval = interval;
    clock.late = 0;
    for (std::uint64_t i = 0; i < instruments_; ++i) {
      const BarState& bars = state.read<BarState>(kBars, i);
      state.edit<SampleState>(kSamples, i) = {bars.in_doubt != 0 ? 0 : bars.close, bars.restarts};
    }
  }

  /// One row, if any is due: a step publishes one at most, however many instruments there are.
  template <class EmitRow>
  void emit_due(const Market& market, State& state, EmitRow emit) const {
    const SampleClock& now = state.read<SampleClock>(kClock, 0);
    if (now.rows_due == 0) return;
    const std::uint64_t row = rows() - now.rows_due;
    const Correlation correlation(
        // Its constructor writes into a state that has none yet; this one has taken a sample.
        const_cast<unsigned char*>(&state.read<unsigned char>(kCorrelation, 0)), instruments_);
    Correlations record{};
    fill(correlation, static_cast<std::uint32_t>(row / parts()),
         static_cast<std::uint32_t>(row % parts() * Correlations::kMost), record);
    record.header.venue_ns = now.interval * interval_ns_;
    record.header.received_ns = market.header.received_ns;
    --state.edit<SampleClock>(kClock, 0).rows_due;
    emit(record);
  }

 private:
  static constexpr std::int64_t kLate = 60;          // intervals; trades of an outage may come so late
  static constexpr std::uint64_t kManyLate = 1'000;  // records; more than a venue hands over at once

  /// Whether the clock was wrong, rather than the record: otherwise one date in a far future would end
  /// all samples until then.
  static bool is_set_back(std::int64_t intervals, State& state) {
    const bool is_late = intervals > kLate;
    if (!is_late && state.read<SampleClock>(kClock, 0).late == 0) return false;
    auto& clock = state.edit<SampleClock>(kClock, 0);
    clock.late = is_late ? clock.late + 1 : 0;
    return clock.late >= kManyLate;
  }

  /// How many records an instrument's correlations with all take.
  std::uint64_t parts() const { return (instruments_ + Correlations::kMost - 1) / Correlations::kMost; }
  std::uint64_t rows() const { return instruments_ * parts(); }

  void sample(State& state) const {
    double returns[Correlation::kMostInstruments] = {};
    std::uint64_t valid[Correlation::kMostInstruments / 64] = {};
    for (std::uint64_t i = 0; i < instruments_; ++i) {
      const BarState& bars = state.read<BarState>(kBars, i);
      const SampleState& then = state.read<SampleState>(kSamples, i);
      // Where trades may have been lost, the price is an old one.
      if (then.price == 0 || bars.in_doubt != 0 || bars.restarts != then.restarts) continue;
      const double change = static_cast<double>(bars.close) / static_cast<double>(then.price) - 1.0;
      if (change > Correlation::kLargest) continue;  // one of the two prices is wrong
      returns[i] = change;
      valid[i / 64] |= std::uint64_t{1} << i % 64;
    }
    Correlation(&state.edit<unsigned char>(kCorrelation, 0), instruments_).add(returns, valid);
  }

  std::int64_t interval_ns_;
  std::uint64_t instruments_;
};

}  // namespace bot4
