// Indicators, updated bar by bar: their state is plain data, and an update costs no more than a look
// at each window. workers/ta/reference/indicators.py is the same in slow, obvious Python.
//
// The bits of each value follow from the order of the operations, which the reference repeats. Sums
// over a window are added anew at each bar, oldest first: a running sum would keep the error of each
// value that ever went through it. No function of the C library but sqrt, which is exact, so that no
// two machines differ.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "features.hpp"
#include "state.hpp"
#include "windows.hpp"

namespace bot4 {

/// Prices in any unit, the pipeline's are ticks; the volume likewise.
struct Bar {
  double high, low, close, volume;
};

/// The last values of a ring that `count` values have been put in.
template <std::size_t kSize>
class Recent {
 public:
  Recent(const double (&ring)[kSize], std::uint64_t count) : ring_(ring), count_(count) {}

  /// The value `back` before the last one.
  double operator[](std::uint64_t back) const { return ring_[(count_ - 1 - back) % kSize]; }

  /// The sum of `term` of the last so many values, from the oldest to the newest.
  template <class Term>
  double sum(std::uint64_t window, Term term) const {
    double total = 0.0;
    for (std::uint64_t back = window; back-- > 0;) total += term((*this)[back]);
    return total;
  }
  double mean(std::uint64_t window) const {
    return sum(window, [](double value) { return value; }) / static_cast<double>(window);
  }
  double highest(std::uint64_t window) const {
    double most = (*this)[0];
    for (std::uint64_t back = 1; back < window; ++back) most = std::max(most, (*this)[back]);
    return most;
  }
  double lowest(std::uint64_t window) const {
    double least = (*this)[0];
    for (std::uint64_t back = 1; back < window; ++back) least = std::min(least, (*this)[back]);
    return least;
  }

 private:
  const double (&ring_)[kSize];
  std::uint64_t count_;
};

class Indicators {
 public:
  explicit Indicators(const Windows& windows)
      : windows_(checked(windows)),
        alpha_slow_(alpha(windows.slow)),
        alpha_macd_fast_(alpha(windows.macd_fast)),
        alpha_macd_slow_(alpha(windows.macd_slow)),
        alpha_macd_signal_(alpha(windows.macd_signal)),
        alpha_rsi_(alpha_wilder(windows.rsi)) {}

  /// Takes the next bar; fills in the features of it, all but those of quotes and aggressors. A row
  /// that is filled in has to be empty.
  void update(const Bar& bar, IndicatorState& own, Features& row) const {
    const bool is_first = own.bars == 0;
    const Before before = is_first ? Before{} : before_of(own);
    push(bar, before, is_first, own);
    add_atr(bar, before, is_first, own, row);
    add_means(bar, is_first, own, row);
    add_macd(bar, is_first, own, row);
    add_rsi(bar, before, is_first, own, row);
    add_directional(bar, before, is_first, own, row);
    add_bollinger(bar, own, row);
    add_ranges(bar, own, row);
    add_volumes(bar, before, is_first, own, row);
    add_typical(own, row);
    add_returns(bar, before, is_first, own, row);
  }

 private:
  // Of the close. Where no price moves, an ATR fades to nothing, but exponential means stay a rounding
  // error away from the close: below this their distance would grow without bound.
  static constexpr double kStill = 0x1p-44;

  struct Before {
    double high, low, close, typical;
  };

  static Before before_of(const IndicatorState& own) {
    const std::uint64_t at = (own.bars - 1) % IndicatorState::kWindow;
    return {own.highs[at], own.lows[at], own.closes[(own.bars - 1) % IndicatorState::kLong],
            own.typicals[at]};
  }

  static void push(const Bar& bar, const Before& before, bool is_first, IndicatorState& own) {
    const double typical = (bar.high + bar.low + bar.close) / 3.0;
    const std::uint64_t at = own.bars % IndicatorState::kWindow;
    own.closes[own.bars % IndicatorState::kLong] = bar.close;
    own.highs[at] = bar.high;
    own.lows[at] = bar.low;
    own.typicals[at] = typical;
    own.volumes[at] = bar.volume;
    const bool is_up = !is_first && typical > before.typical;
    const bool is_down = !is_first && typical < before.typical;
    own.flows[at] = is_up ? typical * bar.volume : is_down ? -(typical * bar.volume) : 0.0;
    own.returns[at] = is_first ? 0.0 : ratio(bar.close - before.close, before.close);
    ++own.bars;
  }

  void add_atr(const Bar& bar, const Before& before, bool is_first, IndicatorState& own,
               Features& row) const {
    const double range = true_range(bar, before, is_first);
    const auto window = static_cast<double>(windows_.atr);
    if (own.bars <= windows_.atr) {
      own.atr += range;
      if (own.bars < windows_.atr) return;
      own.atr /= window;
    } else {
      own.atr = (own.atr * (window - 1.0) + range) / window;
    }
    set(row, Feature::kAtr, own.atr);
    set(row, Feature::kAtrRatio, ratio(own.atr, bar.close));
  }

  void add_means(const Bar& bar, bool is_first, IndicatorState& own, Features& row) const {
    const Recent closes(own.closes, own.bars);
    smooth(own.ema_slow, bar.close, alpha_slow_, is_first);
    if (own.bars >= windows_.fast) {
      const double mean = closes.mean(windows_.fast);
      set(row, Feature::kSmaFast, mean);
      set_scaled(row, Feature::kSmaFastDistance, bar.close - mean, bar);
    }
    if (own.bars >= windows_.slow) {
      const double mean = closes.mean(windows_.slow);
      set(row, Feature::kSmaSlow, mean);
      set_scaled(row, Feature::kSmaSlowDistance, bar.close - mean, bar);
      set(row, Feature::kEmaSlow, own.ema_slow);
      set_scaled(row, Feature::kEmaSlowDistance, bar.close - own.ema_slow, bar);
    }
  }

  void add_macd(const Bar& bar, bool is_first, IndicatorState& own, Features& row) const {
    smooth(own.macd_fast, bar.close, alpha_macd_fast_, is_first);
    smooth(own.macd_slow, bar.close, alpha_macd_slow_, is_first);
    const std::uint64_t begins = std::max(windows_.macd_fast, windows_.macd_slow);
    if (own.bars < begins) return;
    const double macd = own.macd_fast - own.macd_slow;
    set(row, Feature::kMacd, macd);
    set_scaled(row, Feature::kMacdScaled, macd, bar);
    smooth(own.macd_signal, macd, alpha_macd_signal_, own.bars == begins);
    if (own.bars < begins + windows_.macd_signal - 1) return;
    set(row, Feature::kMacdSignal, own.macd_signal);
    set(row, Feature::kMacdHistogram, macd - own.macd_signal);
    set_scaled(row, Feature::kMacdHistogramScaled, macd - own.macd_signal, bar);
  }

  void add_rsi(const Bar& bar, const Before& before, bool is_first, IndicatorState& own,
               Features& row) const {
    if (!is_first) {  // both averages begin with the 0 of the first bar
      const double change = bar.close - before.close;
      smooth(own.average_gain, change > 0.0 ? change : 0.0, alpha_rsi_, false);
      smooth(own.average_loss, change < 0.0 ? -change : 0.0, alpha_rsi_, false);
    }
    if (own.bars < windows_.rsi) return;
    const double gain = own.average_gain, loss = own.average_loss;
    set(row, Feature::kRsi, loss == 0.0 ? 100.0 : 100.0 - 100.0 / (1.0 + gain / loss));
    set(row, Feature::kRsiBalance, ratio(gain - loss, gain + loss));
  }

  void add_directional(const Bar& bar, const Before& before, bool is_first, IndicatorState& own,
                       Features& row) const {
    if (is_first) return;
    const double up = bar.high - before.high, down = before.low - bar.low;
    const double range = true_range(bar, before, false);
    const double plus = up > down && up > 0.0 ? up : 0.0;
    const double minus = down > up && down > 0.0 ? down : 0.0;
    const std::uint64_t window = windows_.adx;
    const std::uint64_t changes = own.bars - 1;
    if (changes <= window) {
      own.range += range;
      own.plus += plus;
      own.minus += minus;
    } else {
      const auto divisor = static_cast<double>(window);
      own.range = own.range - own.range / divisor + range;
      own.plus = own.plus - own.plus / divisor + plus;
      own.minus = own.minus - own.minus / divisor + minus;
    }
    if (changes < window) return;
    const double di_plus = 100.0 * ratio(own.plus, own.range);
    const double di_minus = 100.0 * ratio(own.minus, own.range);
    const double balance = ratio(di_plus - di_minus, di_plus + di_minus);
    set(row, Feature::kDiPlus, di_plus);
    set(row, Feature::kDiMinus, di_minus);
    set(row, Feature::kDiBalance, balance);
    const double dx = 100.0 * std::abs(balance);
    const std::uint64_t indices = changes - window + 1;  // DX so far
    const auto divisor = static_cast<double>(window);
    if (indices <= window) {
      own.adx += dx;
      if (indices < window) return;
      own.adx /= divisor;
    } else {
      own.adx = (own.adx * (divisor - 1.0) + dx) / divisor;
    }
    set(row, Feature::kAdx, own.adx);
    set(row, Feature::kAdxShare, own.adx / 100.0);
  }

  void add_bollinger(const Bar& bar, const IndicatorState& own, Features& row) const {
    const std::uint64_t window = windows_.bollinger;
    if (own.bars < window) return;
    const Recent closes(own.closes, own.bars);
    // The mean of equal closes may differ from them by its last bit, which is no deviation.
    const bool is_flat = closes.highest(window) == closes.lowest(window);
    const double mean = is_flat ? bar.close : closes.mean(window);
    const double squares =
        closes.sum(window, [mean](double close) { return (close - mean) * (close - mean); });
    const double width = 2.0 * std::sqrt(squares / static_cast<double>(window));
    set(row, Feature::kBollingerMiddle, mean);
    set(row, Feature::kBollingerUpper, mean + width);
    set(row, Feature::kBollingerLower, mean - width);
    set(row, Feature::kBollingerPosition, ratio(bar.close - mean, width));
    set_scaled(row, Feature::kBollingerWidth, width, bar);
  }

  void add_ranges(const Bar& bar, IndicatorState& own, Features& row) const {
    const Recent highs(own.highs, own.bars), lows(own.lows, own.bars);
    if (const std::uint64_t window = windows_.stochastic; own.bars >= window) {
      const double high = highs.highest(window), low = lows.lowest(window);
      const double k = high == low ? 50.0 : 100.0 * (bar.close - low) / (high - low);
      own.ks[(own.bars - 1) % IndicatorState::kWindow] = k;
      set(row, Feature::kStochasticK, k);
      set(row, Feature::kStochasticBalance, (k - 50.0) / 50.0);
      if (own.bars >= window + windows_.stochastic_signal - 1)
        set(row, Feature::kStochasticD, Recent(own.ks, own.bars).mean(windows_.stochastic_signal));
    }
    if (const std::uint64_t window = windows_.donchian; own.bars >= window) {
      const double high = highs.highest(window), low = lows.lowest(window);
      set(row, Feature::kDonchianUpper, high);
      set(row, Feature::kDonchianLower, low);
      set(row, Feature::kDonchianPosition,
          ratio((bar.close - low) - (high - bar.close), high - low));
    }
    if (const std::uint64_t window = windows_.williams; own.bars >= window) {
      const double high = highs.highest(window), low = lows.lowest(window);
      set(row, Feature::kWilliamsR,
          high == low ? -50.0 : -100.0 * (high - bar.close) / (high - low));
    }
  }

  void add_volumes(const Bar& bar, const Before& before, bool is_first, IndicatorState& own,
                   Features& row) const {
    own.obv += !is_first && bar.close < before.close ? -bar.volume : bar.volume;
    set(row, Feature::kObv, own.obv);
    const std::uint64_t window = windows_.vwap;
    if (own.bars >= window) {
      const Recent typicals(own.typicals, own.bars), volumes(own.volumes, own.bars);
      double volume = 0.0, value = 0.0;
      for (std::uint64_t back = window; back-- > 0;) {
        volume += volumes[back];
        value += typicals[back] * volumes[back];
      }
      if (volume > 0.0) {
        const double vwap = value / volume;
        set(row, Feature::kVwap, vwap);
        set_scaled(row, Feature::kVwapDistance, bar.close - vwap, bar);
        set(row, Feature::kVolumeRatio, bar.volume / (volume / static_cast<double>(window)));
        if (own.bars > window) set(row, Feature::kObvBalance, obv_change(own) / volume);
      }
    }
    if (own.bars >= windows_.mfi) {
      const Recent flows(own.flows, own.bars);
      const double up = flows.sum(windows_.mfi, [](double flow) { return flow > 0.0 ? flow : 0.0; });
      const double down =
          flows.sum(windows_.mfi, [](double flow) { return flow < 0.0 ? -flow : 0.0; });
      const double without_loss = up > 0.0 ? 100.0 : 50.0;
      set(row, Feature::kMfi, down > 0.0 ? 100.0 - 100.0 / (1.0 + up / down) : without_loss);
      set(row, Feature::kMfiBalance, ratio(up - down, up + down));
    }
  }

  double obv_change(const IndicatorState& own) const {
    const Recent closes(own.closes, own.bars);
    const Recent volumes(own.volumes, own.bars);
    double change = 0.0;
    for (std::uint64_t back = windows_.vwap; back-- > 0;)
      change += closes[back] < closes[back + 1] ? -volumes[back] : volumes[back];
    return change;
  }

  void add_typical(const IndicatorState& own, Features& row) const {
    const Recent typicals(own.typicals, own.bars);
    if (const std::uint64_t window = windows_.cci; own.bars >= window) {
      const bool is_flat = typicals.highest(window) == typicals.lowest(window);
      const double mean = typicals.mean(window);
      const double deviation =
          typicals.sum(window, [mean](double each) { return std::abs(each - mean); }) /
          static_cast<double>(window);
      const double cci = is_flat ? 0.0 : ratio(typicals[0] - mean, 0.015 * deviation);
      set(row, Feature::kCci, cci);
      set(row, Feature::kCciScaled, cci / 100.0);
    }
    if (const std::uint64_t window = windows_.keltner; own.bars >= window) {
      const Recent highs(own.highs, own.bars), lows(own.lows, own.bars);
      const Recent closes(own.closes, own.bars);
      double upper = 0.0, lower = 0.0;
      for (std::uint64_t back = window; back-- > 0;) {
        upper += (4.0 * highs[back] - 2.0 * lows[back] + closes[back]) / 3.0;
        lower += (-2.0 * highs[back] + 4.0 * lows[back] + closes[back]) / 3.0;
      }
      set(row, Feature::kKeltnerMiddle, typicals.mean(window));
      set(row, Feature::kKeltnerUpper, upper / static_cast<double>(window));
      set(row, Feature::kKeltnerLower, lower / static_cast<double>(window));
    }
  }

  void add_returns(const Bar& bar, const Before& before, bool is_first, const IndicatorState& own,
                   Features& row) const {
    if (is_first) return;
    const Recent returns(own.returns, own.bars);
    set(row, Feature::kReturn, returns[0]);
    set_scaled(row, Feature::kReturnScaled, bar.close - before.close, bar);
    if (own.bars > windows_.roc) {
      const double then = Recent(own.closes, own.bars)[windows_.roc];
      set(row, Feature::kRoc, ratio(bar.close - then, then) * 100.0);
      set_scaled(row, Feature::kRocScaled, bar.close - then, bar);
    }
    if (const std::uint64_t window = windows_.volatility; own.bars > window)
      set(row, Feature::kVolatility,
          std::sqrt(returns.sum(window, [](double each) { return each * each; }) /
                    static_cast<double>(window)));
  }

  /// Sets a distance in average true ranges; valid if that is. It was the first to be filled in.
  static void set_scaled(Features& row, Feature feature, double distance, const Bar& bar) {
    if (!has(row, Feature::kAtr)) return;
    const double atr = value_of(row, Feature::kAtr);
    set(row, feature, atr > kStill * std::abs(bar.close) ? distance / atr : 0.0);
  }

  static double true_range(const Bar& bar, const Before& before, bool is_first) {
    if (is_first) return bar.high - bar.low;
    return std::max(bar.high, before.close) - std::min(bar.low, before.close);
  }

  /// 0 where nothing moves: what is divided by nothing is nothing there.
  static double ratio(double part, double whole) { return whole == 0.0 ? 0.0 : part / whole; }

  /// One step of an exponential mean. A value equal to the mean leaves it alone, bit for bit.
  static void smooth(double& mean, double value, double alpha, bool is_first) {
    if (is_first) mean = value;
    else if (mean != value) mean = (1.0 - alpha) * mean + alpha * value;
  }

  // Both as pandas derives them, by way of the centre of mass: the last bit may differ from that of
  // 2 / (window + 1) and 1 / window.
  static double alpha(std::uint64_t window) {
    return 1.0 / (1.0 + (static_cast<double>(window) - 1.0) / 2.0);
  }
  static double alpha_wilder(std::uint64_t window) {
    const double alpha = 1.0 / static_cast<double>(window);
    return 1.0 / (1.0 + (1.0 - alpha) / alpha);
  }

  Windows windows_;
  double alpha_slow_, alpha_macd_fast_, alpha_macd_slow_, alpha_macd_signal_, alpha_rsi_;
};

}  // namespace bot4
