// What the paper executor keeps: each instrument's quote, position, protective stop and target.
#pragma once

#include <cstdint>

namespace bot4 {

struct ExecutorSettings {
  std::int64_t slippage_bp;  // how much worse than the quote an order fills
};

struct ExecutorInstrument {
  std::int64_t bid, ask;     // ticks; 0 for a side that is missing
  std::int64_t received_ns;  // of the quote
  std::int64_t venue_ns;     // of the last tick: a quote or a trade
  std::int64_t position;     // lots, signed
  std::int64_t stop;         // protective stop of the position in ticks, 0 for none
  std::int64_t target;       // where its profit is taken in ticks, 0 for nowhere
  std::uint32_t strategy;    // whose position it is
  std::uint32_t spare;
};
static_assert(sizeof(ExecutorInstrument) == 64);

struct ExecutorStage {
  std::uint64_t last_trade_id;  // the first is 1
};
static_assert(sizeof(ExecutorStage) == 8);

}  // namespace bot4
