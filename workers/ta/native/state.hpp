// What the ta stage remembers of an instrument. All zero: nothing has happened yet.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bot4 {

/// The bar that is being built, in ticks and lots, and the latest quote: touched by each record.
struct BarState {
  std::int64_t open, high, low, close, volume, signed_volume;
  std::uint64_t trades;      // in it; 0: there is no bar
  std::int64_t interval;     // of a time bar: its number since the epoch
  std::uint64_t progress;    // a BarBuilder::Progress
  std::int64_t bid, bid_quantity, ask, ask_quantity;
  std::uint64_t last_trade;  // the highest trade id; 0: none was given
  std::uint64_t in_doubt;    // 1: since the last trade, some may have been lost
  std::uint64_t bars;        // that are closed, flat ones too
  std::uint64_t late;        // trades that came too late for any bar
  std::uint64_t restarts;    // of the indicators: after a loss, a long gap, or a clock set back
};
static_assert(sizeof(BarState) == 18 * 8);

/// The running values of the indicators, and the last values of each window: touched by each bar.
struct IndicatorState {
  static constexpr std::size_t kLong = 256;   // bars that the two moving averages may look back
  static constexpr std::size_t kWindow = 64;  // that the others may

  std::uint64_t bars;  // since they began; value n of a ring, from 0, is at n % its size
  double ema_slow, macd_fast, macd_slow, macd_signal;
  double average_gain, average_loss;          // of the RSI
  double atr;                                 // the sum of the ranges until it begins
  double range, plus, minus;                  // Wilder's sums, of the DI
  double adx;                                 // the sum of the DX until it begins
  double obv;
  double closes[kLong];
  double highs[kWindow], lows[kWindow], typicals[kWindow], volumes[kWindow];
  double flows[kWindow];                      // typical price times volume, signed, of the MFI
  double returns[kWindow];
  double ks[kWindow];                         // of the stochastic oscillator
};
static_assert(sizeof(IndicatorState) ==
              (13 + IndicatorState::kLong + 7 * IndicatorState::kWindow) * 8);

/// Where the samples of the correlations are.
struct SampleClock {
  std::int64_t interval;    // the one that is going on: its number since the epoch; 0: none yet
  std::uint64_t rows_due;   // of the latest sample, that are not published yet
  std::uint64_t late;       // records in a row of intervals long over
};
static_assert(sizeof(SampleClock) == 24);

/// An instrument when that interval began.
struct SampleState {
  std::int64_t price;       // of its last trade; 0: not known
  std::uint64_t restarts;   // as in BarState
};
static_assert(sizeof(SampleState) == 16);

}  // namespace bot4
