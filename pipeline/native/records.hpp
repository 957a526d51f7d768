// The records that travel through the pipeline: what lies on each ring, defined here and nowhere else
// (pipeline/records.py derives the numpy dtypes).
//
// Prices are integers in ticks and quantities in lots of their instrument, money is in 1e-8 of the
// quote currency, indicators are float64. Times in ns: `venue_ns` of the venue's UTC clock, all others
// of CLOCK_MONOTONIC. Sizes are multiples of 64.
#pragma once

#include <cstdint>

namespace bot4 {

/// What every record begins with.
struct Header {
  std::uint64_t sequence;     // its place in its ring, from 0
  std::uint64_t cause_step;   // the step of the stage that published it ...
  std::uint32_t cause_index;  // ... and which of that step's outputs it is, over all rings
  std::uint32_t instrument;   // index into the configured instruments
  std::int64_t venue_ns;      // when the venue says it happened; 0 if it does not say
  std::int64_t received_ns;   // when the feed received the market record that led to this
  std::int64_t stamped_ns;    // the clock of the step that published it
};

/// kStale: what was said of an instrument does not hold any more (a gap, a bad checksum, a crossed book,
/// a lost connection), until kResync. `venue_sequence` says why.
enum class MarketKind : std::uint8_t { kTrade = 1, kQuote = 2, kStale = 3, kResync = 4 };
enum class Side : std::int8_t { kNone = 0, kBuy = 1, kSell = -1 };

/// One thing that happened on a market. The feed has no steps: `cause_step` is the record's sequence.
struct Market {
  Header header;
  MarketKind kind;
  Side aggressor;               // of a trade
  std::uint8_t spare[6];
  std::int64_t price;           // of a trade
  std::int64_t quantity;        // of a trade
  std::int64_t bid, bid_quantity, ask, ask_quantity;  // of a quote
  std::uint64_t venue_sequence; // trade id or update id
  std::uint64_t position;       // of the source: where to go on after this record; 0 if it has none
  std::uint64_t spare_word;
};
static_assert(sizeof(Market) == 128);

/// The latest quote of an instrument; a row of the table that risk samples into its context.
struct Quote {
  std::int64_t bid, bid_quantity, ask, ask_quantity;
  std::int64_t received_ns;  // of the quote; 0: there was none yet
  std::int64_t link_ns;      // of the last message of any kind on its link: a quiet market is not stale
  std::uint64_t stale;       // 0, or why it does not hold: between kStale and kResync
};
static_assert(sizeof(Quote) == 56);

/// What a step may read besides its input. Published before the step; recovery and replay use it again.
struct Context {
  std::uint64_t step;      // from 1
  std::uint64_t sequence;  // of the input in its ring; of the tick, for ticks
  std::int64_t now_ns;
  std::uint32_t source;    // index of the input ring among the stage's, or kTick
  std::uint32_t instrument;  // whose quote this is
  std::uint64_t halted;    // the halt word: 0, or why nothing may be sent any more
  std::uint64_t mode;      // a Mode: how much may still be done
  Quote quote;
  // The breakers; bit i is that of component i of pipeline.topology.components.
  std::uint64_t global;    // a shm::GlobalState
  std::uint64_t blocked;   // bit i: breaker i admits probes at most ...
  std::uint64_t forced;    // ... and bit i here: as it was forced open

  static constexpr std::uint32_t kTick = 0xffff;
};
static_assert(sizeof(Context) == 128);

/// A row of indicators of one instrument, made when a bar closes.
struct Features {
  static constexpr unsigned kMost = 55;
  Header header;
  std::uint64_t valid;     // bit i: value i is; one that is not is 0
  std::uint32_t version;   // of the list of features
  std::uint32_t bar;       // number of the bar, from 1
  std::int64_t close;      // of the bar, in ticks
  double value[kMost];
};
static_assert(sizeof(Features) == 512);

/// Asks the process that evaluates the model for the probability of a rise at a row of features.
struct Question {
  Header header;
  std::uint64_t question_id;  // from 1; each is one more than the one before, over all instruments
  std::uint64_t valid;        // as of the row, like its values
  double value[Features::kMost];
  std::uint64_t spare_word;
};
static_assert(sizeof(Question) == 512);

enum class Refusal : std::uint32_t { kNone = 0, kLoading = 1, kLate = 2, kFailed = 3 };

/// What became of a question; they are answered in their order. Its `cause_step` is the question's id.
struct Answer {
  Header header;
  std::uint64_t question_id;
  double probability;  // of a rise; 0 if it is refused
  Refusal refusal;     // why there is none
  std::uint8_t spare[4];
  std::uint64_t spare_words[7];
};
static_assert(sizeof(Answer) == 128);

/// The correlations of one instrument's returns with those of `count` others, from `first` on.
struct Correlations {
  static constexpr unsigned kMost = 48;
  Header header;
  std::uint64_t sample;     // number of the latest one, from 1
  std::uint32_t first, count;
  std::int16_t value[kMost];     // in 1/10,000, away from 0: beyond a limit exactly if the true one is
  std::uint16_t samples[kMost];  // it is of; 0: there is none, and the value is 0
};
static_assert(sizeof(Correlations) == 256);

/// What a strategy wants done. A limit of 0 means "at the market".
struct Intent {
  Header header;
  std::uint64_t intent_id;  // from 1, never used again within a run
  std::uint32_t strategy;
  Side side;
  std::uint8_t reduce_only;
  std::uint8_t spare[2];
  std::int64_t quantity;
  std::int64_t limit;
  std::int64_t stop;        // protective stop in ticks, 0 for none
  std::int64_t created_ns;
  std::int64_t ttl_ns;
  double score;             // -1 .. 1
  std::int64_t target;      // where the profit is taken, in ticks, 0 for nowhere
  std::uint64_t spare_word;
};
static_assert(sizeof(Intent) == 128);

/// An intent that passed every check, with what it has reserved.
struct Order {
  Header header;
  std::uint64_t order_id;   // from 1
  std::uint64_t intent_id;
  std::uint32_t strategy;
  Side side;
  std::uint8_t reduce_only;
  std::uint8_t spare[2];
  std::int64_t quantity;
  std::int64_t limit;       // the worst price to be paid
  std::int64_t stop;
  std::int64_t reserved;    // money
  std::int64_t target;
  std::uint64_t spare_words[2];
};
static_assert(sizeof(Order) == 128);

enum class ExecutionKind : std::uint8_t { kFill = 1, kStop = 2, kRejected = 3, kExpired = 4 };

/// What became of an order at the venue. After kRejected and kExpired, and with `leaves` 0, it is over.
/// kStop is the fill of a stop or a target that the venue held for a position; its order id is 0.
struct Execution {
  Header header;
  std::uint64_t order_id;
  std::uint64_t intent_id;
  std::uint64_t trade_id;   // from 1 for fills, 0 otherwise
  ExecutionKind kind;
  Side side;
  std::uint16_t reason;     // a Denial, of a rejection
  std::uint32_t strategy;
  std::int64_t quantity;
  std::int64_t price;
  std::int64_t leaves;
  std::int64_t fee;         // money; negative for a rebate
  std::int64_t position;    // of the instrument at the venue, after this
  std::uint64_t spare_word;
};
static_assert(sizeof(Execution) == 128);

enum class OutcomeKind : std::uint8_t { kDenied = 1, kApproved = 2, kFill = 3, kStop = 4, kRejected = 5, kExpired = 6 };

/// What ml hears of its intents.
struct Outcome {
  Header header;
  std::uint64_t intent_id;
  std::uint64_t order_id;   // 0 if denied
  OutcomeKind kind;
  Side side;
  std::uint16_t code;       // the first failing Denial; 0 if none
  std::uint32_t strategy;
  std::uint64_t failed;     // bit i: check i of the order of evaluation failed
  std::int64_t quantity;
  std::int64_t price;
  std::int64_t position;    // of the instrument, after this
  std::int64_t leaves;
  std::uint64_t spare_words[2];
};
static_assert(sizeof(Outcome) == 128);

enum class ControlKind : std::uint8_t {
  kFlow = 1, kResume = 2, kReset = 3, kReconciled = 4, kSet = 5, kApply = 6
};

/// What an operator tells risk. It carries the values themselves, so that replay is exact.
struct Control {
  Header header;
  std::int64_t amount;  // money of a flow; otherwise as pipeline.vocabulary.ControlKind says
  ControlKind kind;
  std::uint8_t spare[3];
  std::uint32_t index;    // of a limit
  std::uint64_t request;  // that it is part of, from 1; 0: nobody waits for an answer
  std::uint64_t spare_words[7];
};
static_assert(sizeof(Control) == 128);

/// An instrument as the kernels need it.
struct Instrument {
  std::int64_t tick_e8, lot_e8;   // of price and quantity, in 1e-8
  std::int64_t min_notional_e8;
  std::int64_t taker_fee_e8;      // a rate
};

}  // namespace bot4
