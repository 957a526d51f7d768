// What the ta stage remembers of an instrument. All zero: nothing has happened yet.
#pragma once

#include <cstdint>

namespace bot4 {

struct TaState {
  static constexpr std::uint64_t kWindow = 256;  // the longest that an indicator may look back

  // The bar that is being built, in ticks and lots; `trades` 0: none yet.
  std::int64_t open, high, low, close, volume;
  std::uint64_t trades;
  // The latest quote.
  std::int64_t bid, bid_quantity, ask, ask_quantity;
  // Of the bars that are closed.
  std::uint64_t bars;
  std::int64_t fast_sum, slow_sum;  // of the closes in the windows: integers, so exact for ever
  std::int64_t true_range_sum;      // of the first bars, until `atr` begins
  double ema, average_gain, average_loss, atr;
  std::int64_t closes[kWindow];     // that of bar n, from 0, at n % kWindow
};
static_assert(sizeof(TaState) == (18 + TaState::kWindow) * 8);

}  // namespace bot4
