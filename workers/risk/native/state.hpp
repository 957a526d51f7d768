// What risk keeps: the account, each instrument's position, each open order's reservation. And the
// settings that it decides by.
#pragma once

#include <cstdint>

namespace bot4 {

/// The limits, rates in basis points. Each says whether the limit itself still passes.
struct RiskSettings {
  std::int64_t equity_e8;         // opening equity
  std::int64_t position_bp;       // most that a position may be worth, of equity; that much passes
  std::int64_t stale_ns;          // oldest word from a link; that old passes
  std::int64_t stop_distance_bp;  // farthest stop, of the reference price; that far passes
  std::int64_t drawdown_bp;       // of the high-water mark; that much is refused
  std::uint64_t open_orders;      // most orders under way, reducing ones apart
};

/// Money in 1e-8. Conserved: cash + cost of all positions == opening + realised - fees, exactly.
struct RiskAccount {
  std::uint64_t begun;       // 0 until the first step has set the opening equity
  std::int64_t opening_e8;
  std::int64_t cash_e8;
  std::int64_t value_e8;     // of the positions at their marks; negative for shorts
  std::int64_t equity_e8;    // cash + value
  std::int64_t high_water_e8;
  std::int64_t realised_e8;
  std::int64_t fees_e8;
  std::int64_t reserved_e8;  // of cash, for open buys
  std::uint64_t next_order_id;
  std::uint64_t open_orders;
  std::uint64_t drawdown;    // 1 once the limit was reached; stays
  std::uint64_t approved, denied, fills;
  std::uint64_t unfilled;    // rejected or expired at the venue
};
static_assert(sizeof(RiskAccount) == 128);

struct RiskInstrument {
  std::int64_t position;       // lots, signed
  std::int64_t cost_e8;        // paid for the position, as a total; for a short, minus its proceeds
  std::int64_t value_e8;       // of the position at the mark
  std::int64_t reserved_buy;   // lots of open buys ...
  std::int64_t reserved_sell;  // ... and of open sells
  std::int64_t mark;           // ticks: bid for a long, ask for a short, 0 when flat
  std::int64_t bid, ask;       // of the last valid quote; before there was one, of the last fill
};
static_assert(sizeof(RiskInstrument) == 64);

/// An open order and what it has reserved. A free cell has order id 0.
struct RiskOrder {
  std::uint64_t order_id;
  std::uint64_t intent_id;
  std::int64_t leaves;       // lots
  std::int64_t reserved_e8;
  std::uint32_t instrument;
  std::int8_t side;
  std::uint8_t spare[3];
};
static_assert(sizeof(RiskOrder) == 40);

}  // namespace bot4
