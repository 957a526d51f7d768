// Technical analysis: trades become bars, and each bar that closes becomes a row of features; at whole
// intervals all instruments' returns become correlations. workers/ta/reference/ is the same in slow,
// obvious Python.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../pipeline/native/kernel.hpp"
#include "bars.hpp"
#include "flow.hpp"
#include "indicators.hpp"
#include "sampling.hpp"

namespace bot4 {

class TechnicalAnalysis final : public Kernel {
 public:
  TechnicalAnalysis(const BarSettings& bars, const Windows& windows, std::int64_t sample_ns,
                    std::uint64_t instruments)
      : bars_(bars),
        indicators_(windows),
        sampler_(sample_ns, instruments),
        instruments_(instruments) {}

  void step(const Context&, const void* input, State& state, Emit& emit) override {
    if (input == nullptr) return;
    const Market& market = *static_cast<const Market*>(input);
    const std::uint32_t index = market.header.instrument;
    if (index >= instruments_)
      throw std::out_of_range("market record " + std::to_string(market.header.sequence) +
                              ": instrument was " + std::to_string(index) + ", must be below " +
                              std::to_string(instruments_));
    sampler_.take(market, state);
    sampler_.emit_due(market, state,
                      [&emit](Correlations& row) {
                        emit(kCorrelationsRing, row);
                        emit(kClustersRing, row);
                      });
    switch (market.kind) {
      case MarketKind::kQuote:
        bars_.take_quote(market, state.edit<BarState>(kBars, index));
        return;
      case MarketKind::kStale:
        bars_.take_stale(market, state.edit<BarState>(kBars, index));
        return;
      case MarketKind::kTrade:
        if (market.price > 0 && market.quantity > 0) take_trade(market, state, emit);
        return;
      case MarketKind::kResync:
        return;  // the next trade shows whether one is missing
    }
  }

 private:
  enum Group : std::size_t { kBars, kIndicators };
  static constexpr std::size_t kFeaturesRing = 0, kCorrelationsRing = 1, kClustersRing = 2;

  void take_trade(const Market& market, State& state, Emit& emit) const {
    const std::uint32_t index = market.header.instrument;
    BarState& building = state.edit<BarState>(kBars, index);
    const BarEvents events = bars_.take_trade(market, building);
    if (!events.is_lost && !events.is_closed) return;
    auto& own = state.edit<IndicatorState>(kIndicators, index);
    if (events.is_lost) own = {};
    if (events.is_closed) {
      Features row = row_of(market, events.bar);
      // The flat bars that follow are counted already.
      row.bar = static_cast<std::uint32_t>(building.bars - events.flat);
      indicators_.update(bar_of(events.bar), own, row);
      add_flow(flow_of(events.bar, building), row);
      emit(kFeaturesRing, row);
    }
    const auto close = static_cast<double>(events.bar.close);
    for (std::uint64_t n = 0; n < events.flat; ++n) {
      Features unseen{};
      indicators_.update({close, close, close, 0.0}, own, unseen);
    }
    if (events.is_gap) own = {};
  }

  static Features row_of(const Market& market, const ClosedBar& bar) {
    Features row{};
    row.header.instrument = market.header.instrument;
    row.header.venue_ns = bar.end_ns != 0 ? bar.end_ns : market.header.venue_ns;
    row.header.received_ns = market.header.received_ns;
    row.version = kFeaturesVersion;
    row.close = bar.close;
    return row;
  }

  static Bar bar_of(const ClosedBar& bar) {
    return {static_cast<double>(bar.high), static_cast<double>(bar.low),
            static_cast<double>(bar.close), static_cast<double>(bar.volume)};
  }

  static Flow flow_of(const ClosedBar& bar, const BarState& own) {
    return {static_cast<double>(bar.signed_volume), static_cast<double>(bar.volume),
            static_cast<double>(own.bid),           static_cast<double>(own.bid_quantity),
            static_cast<double>(own.ask),           static_cast<double>(own.ask_quantity)};
  }

  BarBuilder bars_;
  Indicators indicators_;
  Sampler sampler_;
  std::uint64_t instruments_;
};

}  // namespace bot4
