// Technical analysis: trades become bars of so many trades each, and each bar that closes becomes a
// row of features. workers/ta/reference.py is the same in slow, obvious Python.
//
// An update costs the same whatever the windows are. The bits of each value follow from the order
// of the operations below, which the reference repeats.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../pipeline/native/kernel.hpp"
#include "features.hpp"
#include "state.hpp"

namespace bot4 {

struct TaSettings {
  std::uint64_t trades_per_bar;
  std::uint64_t fast, slow, rsi, atr;  // windows, in bars
};

class TechnicalAnalysis final : public Kernel {
 public:
  TechnicalAnalysis(const TaSettings& settings, const std::vector<Instrument>& instruments)
      : settings_(settings), instruments_(instruments.size()) {
    // The stage names the key; this keeps a caller who did not ask it within the closes.
    for (const std::uint64_t window : {settings.fast, settings.slow, settings.rsi, settings.atr})
      if (window < 1 || window > TaState::kWindow)
        throw std::invalid_argument("a window was " + std::to_string(window) +
                                    ", must be in 1 .. " + std::to_string(TaState::kWindow));
    if (settings.trades_per_bar < 1)
      throw std::invalid_argument("trades_per_bar was 0, must be at least 1");
  }

  void step(const Context&, const void* input, State& state, Emit& emit) override {
    if (input == nullptr) return;
    const Market& market = *static_cast<const Market*>(input);
    if (market.header.instrument >= instruments_)
      throw std::out_of_range("market record " + std::to_string(market.header.sequence) +
                              ": instrument was " + std::to_string(market.header.instrument) +
                              ", must be below " + std::to_string(instruments_));
    if (market.kind == MarketKind::kQuote) {
      take_quote(market, state.edit<TaState>(kInstruments, market.header.instrument));
    } else if (market.kind == MarketKind::kTrade && market.price > 0 && market.quantity > 0) {
      TaState& own = state.edit<TaState>(kInstruments, market.header.instrument);
      add_trade(market, own);
      if (own.trades >= settings_.trades_per_bar) close_bar(market, own, emit);
    }
  }

 private:
  static constexpr std::size_t kInstruments = 0;  // group of cells
  static constexpr std::size_t kFeaturesRing = 0;

  static void take_quote(const Market& market, TaState& own) {
    own.bid = market.bid;
    own.bid_quantity = market.bid_quantity;
    own.ask = market.ask;
    own.ask_quantity = market.ask_quantity;
  }

  static void add_trade(const Market& market, TaState& own) {
    if (own.trades == 0) {
      own.open = own.high = own.low = market.price;
      own.volume = 0;
    }
    own.high = std::max(own.high, market.price);
    own.low = std::min(own.low, market.price);
    own.close = market.price;
    own.volume += market.quantity;
    ++own.trades;
  }

  void close_bar(const Market& market, TaState& own, Emit& emit) const {
    Features row{};
    row.header.instrument = market.header.instrument;
    row.header.venue_ns = market.header.venue_ns;
    row.header.received_ns = market.header.received_ns;
    row.version = kFeaturesVersion;
    row.bar = static_cast<std::uint32_t>(own.bars + 1);
    row.close = own.close;

    const std::int64_t previous = own.bars == 0 ? 0 : close_before(own, 1);
    add_means(own, row);
    add_rsi(own, previous, row);
    add_atr(own, previous, row);
    if (own.bars > 0)
      set(row, Feature::kReturn,
          static_cast<double>(own.close) / static_cast<double>(previous) - 1.0);
    add_quote(own, row);

    own.closes[own.bars % TaState::kWindow] = own.close;
    ++own.bars;
    own.trades = 0;
    emit(kFeaturesRing, row);
  }

  /// The close of `back` bars before the one that is closing.
  static std::int64_t close_before(const TaState& own, std::uint64_t back) {
    return own.closes[(own.bars - back) % TaState::kWindow];
  }

  /// The close that leaves a window with the bar that is closing; 0 while the window fills.
  static std::int64_t leaving(const TaState& own, std::uint64_t window) {
    return own.bars >= window ? close_before(own, window) : 0;
  }

  void add_means(TaState& own, Features& row) const {
    own.fast_sum += own.close - leaving(own, settings_.fast);
    own.slow_sum += own.close - leaving(own, settings_.slow);
    const double close = static_cast<double>(own.close);
    own.ema = own.bars == 0
                  ? close
                  : smoothed(own.ema, close, 2.0 / static_cast<double>(settings_.slow + 1));
    if (is_warm(own, settings_.fast))
      set(row, Feature::kSmaFast,
          static_cast<double>(own.fast_sum) / static_cast<double>(settings_.fast));
    if (is_warm(own, settings_.slow)) {
      set(row, Feature::kSmaSlow,
          static_cast<double>(own.slow_sum) / static_cast<double>(settings_.slow));
      set(row, Feature::kEmaSlow, own.ema);
    }
  }

  void add_rsi(TaState& own, std::int64_t previous, Features& row) const {
    if (own.bars > 0) {  // both averages begin with the 0 of the first bar
      const std::int64_t change = own.close - previous;
      const double alpha = 1.0 / static_cast<double>(settings_.rsi);
      own.average_gain =
          smoothed(own.average_gain, static_cast<double>(change > 0 ? change : 0), alpha);
      own.average_loss =
          smoothed(own.average_loss, static_cast<double>(change < 0 ? -change : 0), alpha);
    }
    if (is_warm(own, settings_.rsi))
      set(row, Feature::kRsi,
          own.average_loss == 0.0 ? 100.0
                                  : 100.0 - 100.0 / (1.0 + own.average_gain / own.average_loss));
  }

  void add_atr(TaState& own, std::int64_t previous, Features& row) const {
    const std::int64_t range = own.bars == 0
                                   ? own.high - own.low
                                   : std::max(own.high, previous) - std::min(own.low, previous);
    const double window = static_cast<double>(settings_.atr);
    if (own.bars < settings_.atr) {
      own.true_range_sum += range;
      if (is_warm(own, settings_.atr)) own.atr = static_cast<double>(own.true_range_sum) / window;
    } else {
      own.atr = (own.atr * (window - 1.0) + static_cast<double>(range)) / window;
    }
    if (is_warm(own, settings_.atr)) set(row, Feature::kAtr, own.atr);
  }

  static void add_quote(const TaState& own, Features& row) {
    const bool has_two_sides = own.bid_quantity > 0 && own.ask_quantity > 0;
    if (!has_two_sides || own.bid <= 0 || own.bid >= own.ask) return;
    const double bid = static_cast<double>(own.bid), ask = static_cast<double>(own.ask);
    set(row, Feature::kSpread, (ask - bid) / ((bid + ask) * 0.5));
    const double bid_quantity = static_cast<double>(own.bid_quantity);
    const double ask_quantity = static_cast<double>(own.ask_quantity);
    set(row, Feature::kImbalance, (bid_quantity - ask_quantity) / (bid_quantity + ask_quantity));
  }

  /// Whether the window is full with the bar that is closing.
  static bool is_warm(const TaState& own, std::uint64_t window) { return own.bars + 1 >= window; }

  /// One step of an exponential mean. A value equal to the mean leaves it alone, bit for bit.
  static double smoothed(double mean, double value, double alpha) {
    return mean == value ? mean : (1.0 - alpha) * mean + alpha * value;
  }

  TaSettings settings_;
  std::uint64_t instruments_;
};

}  // namespace bot4
