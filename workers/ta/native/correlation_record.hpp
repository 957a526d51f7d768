// From the state to the record: an instrument's correlations, as risk hears of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../../../pipeline/native/records.hpp"
#include "correlation.hpp"

namespace bot4 {

/// In 1/10,000 away from 0, so that a limit in these is exceeded exactly if the correlation exceeds it.
inline std::int16_t basis_points(double correlation) {
  const double size = std::ceil(std::abs(correlation) * 10'000.0);
  return static_cast<std::int16_t>(correlation < 0.0 ? -size : size);
}

/// Fills all but the header's sequence, cause, stamp and times: the correlations of an instrument
/// with as many as there is room for, from `first` on. Throws if there is no such instrument.
inline void fill(const Correlation& correlation, std::uint32_t instrument, std::uint32_t first,
                 Correlations& row) {
  correlation.check_row(instrument);
  row.header.instrument = instrument;
  row.sample = correlation.samples();
  row.first = first;
  const std::size_t from = std::min<std::size_t>(first, correlation.instruments());
  row.count = static_cast<std::uint32_t>(
      std::min<std::size_t>(Correlations::kMost, correlation.instruments() - from));
  for (std::uint32_t n = 0; n < Correlations::kMost; ++n) {
    const bool is_one = n < row.count;
    const Correlation::Pair pair =
        is_one ? correlation.pair(instrument, first + n) : Correlation::Pair{};
    row.value[n] = basis_points(pair.value);
    row.samples[n] = pair.is_valid ? static_cast<std::uint16_t>(pair.samples) : std::uint16_t{0};
  }
}

}  // namespace bot4
