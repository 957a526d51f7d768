// What risk keeps, each a group of cells. Sums over instruments are kept as they change, so that a
// check costs the same however many there are; tests derive them again and compare.
#pragma once

#include <cstdint>

namespace bot4 {

/// Money in 1e-8; what is counted up from `opening` to `value`, from `realised` to `reserved`, is what
/// there is of the account's own currency. Conserved, exactly: cash + cost of all positions ==
/// opening + flows + realised - fees; in each currency.
struct RiskAccount {
  std::uint64_t begun;        // 0 until the first step has set the opening equity
  std::int64_t opening_e8;
  std::int64_t flows_e8;      // deposits less withdrawals
  std::int64_t cash_e8;
  std::int64_t value_e8;      // of the positions at their marks; negative for shorts
  std::int64_t equity_e8;     // cash + value + converted
  std::int64_t converted_e8;  // what the other currencies are worth
  std::int64_t joined_e8;     // what they were when they came: at the beginning, or with a first rate
  std::int64_t realised_e8;
  std::int64_t fees_e8;
  std::int64_t reserved_e8;   // of cash, for open buys
  std::int64_t at_risk_e8;    // from the reference to the stop, of the open entries
  std::int64_t units;         // of the account; a flow issues or redeems some
  std::int64_t nav_e12;       // equity / units in 1e-12; begins with 1
  std::int64_t high_water_e12;  // of it
  std::int64_t max_drawdown_e6;  // the deepest so far, in 1e-6 of the high-water mark
  std::int64_t gross_e8;      // worst cases: of the larger side of each instrument ...
  std::int64_t long_e8, short_e8;  // ... and of each side
  std::uint64_t next_order_id;
  std::uint64_t open_orders;
  std::int64_t positions;     // instruments in which something is held or under way
  std::int64_t tick_ns;       // of the last tick
  std::int64_t tat_ns;        // theoretical arrival time, of GCRA
  std::int64_t day, week, month;  // since 1970, UTC by the venues' clocks; 0 until a record says
  std::int64_t day_open_e8, week_open_e8, month_open_e8;  // equity at their beginning, plus flows
  std::int64_t losses;        // losing round trips in a row
  std::int64_t paused_until_ns;
  std::uint64_t resumed;      // an operator has acknowledged the losses
  std::uint64_t mode;         // a Mode: risk's own
  std::uint64_t mode_code;    // the Denial that led there
  std::uint64_t killed;       // 0, or the first Denial that asks for the kill switch; stays
  std::uint64_t drawdown;     // 1 once the limit was reached; stays until an operator resets it
  std::uint64_t unreconciled;
  std::uint64_t approved, denied, repeated, fills;
  std::uint64_t unfilled;     // rejected or expired at the venue
  std::uint64_t request;      // the last one of an operator that was dealt with ...
  std::uint64_t refused;      // ... and 1 if it was refused
  std::uint64_t limits;       // how often limits were changed
};
static_assert(sizeof(RiskAccount) == 368);

/// What there is of another currency, in 1e-8 of it; at first as in RiskAccount.
struct RiskCurrency {
  std::int64_t opening_e8, flows_e8, cash_e8, value_e8, realised_e8, fees_e8, reserved_e8;
  std::int64_t worth_e8;       // cash + value, in the account's currency
  std::int64_t bid_e8, ask_e8;  // last valid mark of the instrument that converts it; 0: none yet
  std::int64_t seen_ns;        // when there was word of it last
  std::uint64_t invalid;       // 1: its quote is not valid now
  std::uint64_t is_base;       // 1: it is the base of that instrument; 0: it is its quote currency
};
static_assert(sizeof(RiskCurrency) == 104);

struct RiskInstrument {
  static constexpr std::size_t kOrders = 16;
  std::int64_t position;       // lots, signed
  std::int64_t cost_e8;        // paid for the position, as a total; for a short, minus its proceeds
  std::int64_t value_e8;       // of the position at the mark
  std::int64_t reserved_buy;   // lots of open buys ...
  std::int64_t reserved_sell;  // ... and of open sells
  std::int64_t mark;           // ticks: bid for a long, ask for a short, 0 when flat
  std::int64_t bid, ask;       // of the last valid quote; before there was one, of the last fill
  std::int64_t jump_bid, jump_ask;  // of one that was too far from it, and is to be confirmed
  std::int64_t worst_bid, worst_ask;  // by which the worst cases were valued
  std::int64_t long_e8, short_e8;     // worst case of each side
  std::int64_t tat_ns;
  std::int64_t spread_e6;      // median of the last ticks', of the mid price; 0 until there are enough
  std::int64_t entries;        // orders since flat that opened or added, or still may
  std::int64_t trip_e8;        // realised less fees since flat
  std::int64_t trips, trips_e8;  // round trips of this round of low profit, and what they earned
  std::int64_t cooldown_until_ns;
  std::uint64_t under_way;     // how many of the next are used
  std::uint64_t orders[kOrders];  // ids of its open orders
};
static_assert(sizeof(RiskInstrument) == 304);

/// An open order and what it has reserved. Its cell is its id modulo the number of cells; a free one
/// has order id 0.
struct RiskOrder {
  std::uint64_t order_id;
  std::uint64_t intent_id;
  std::int64_t leaves;       // lots
  std::int64_t reserved_e8;
  std::int64_t at_risk_e8;
  std::int64_t limit;
  std::uint32_t instrument;
  std::uint32_t strategy;
  std::int8_t side;
  std::uint8_t enters;       // it opens or adds
  std::uint8_t filled;       // some of it, since the position was last flat
  std::uint8_t spare[5];
};
static_assert(sizeof(RiskOrder) == 64);

/// Of a venue, or of a class of assets.
struct RiskPart {
  std::int64_t gross_e8;  // sum of worst cases
  std::int64_t tat_ns;
};

struct RiskStrategy {
  std::int64_t tat_ns;
};

/// Of a strategy in an instrument.
struct RiskSignal {
  std::int64_t side;
  std::int64_t count;  // of orders in a row on that side
};

/// The last approvals of an instrument; as many as its rate can let through in a window.
struct RiskRecent {
  static constexpr std::size_t kMost = 32;
  std::uint64_t next;
  std::int64_t at_ns[kMost];  // 0: none
  std::int64_t quantity[kMost];
  std::int64_t limit[kMost];
  std::uint32_t strategy[kMost];
  std::int8_t side[kMost];
};
static_assert(sizeof(RiskRecent) % 8 == 0);

/// Spreads of the last ticks of an instrument, in 1e-6 of the mid price.
struct RiskSpreads {
  static constexpr std::size_t kMost = 15;
  std::uint64_t count;
  std::int64_t value[kMost];
};

/// A limit that was changed during the run.
struct RiskLimit {
  std::uint64_t changed;  // 0: it is as configured
  std::int64_t value;
  std::uint64_t request;  // that has set the next; it counts once that request is applied
  std::int64_t next;
};

/// What was decided of an intent; its cell is its id modulo the number of cells.
struct RiskDecision {
  std::uint64_t intent_id;  // 0: there is none
  std::uint64_t order_id;
  std::uint64_t failed;
  std::int64_t quantity, limit, stop, target, created_ns, ttl_ns;
  std::int64_t decided_ns;
  std::int64_t price;         // of the outcome
  std::int64_t reference;     // the ask for a buy, the bid for a sell; 0: there was none
  // What the first failing check compared, in the unit of pipeline.rules.RULES; of an order that
  // passed and enters: what the position may come to be worth, and the equity.
  std::int64_t value, bound;
  std::uint32_t instrument;
  std::uint32_t strategy;
  std::int8_t side;
  std::uint8_t reduce_only;
  std::uint16_t code;
  std::uint8_t spare[4];
};
static_assert(sizeof(RiskDecision) == 128);

/// How often each check was the first to fail, by its place in kChecks.
struct RiskCodes {
  std::uint64_t count[64];
};

}  // namespace bot4
