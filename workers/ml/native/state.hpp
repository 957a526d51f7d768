// What the ml stage remembers. All zero: nothing has happened yet.
#pragma once

#include <cstdint>

namespace bot4 {

/// Of an instrument.
struct MlState {
  std::int64_t position;  // in lots, as the outcomes tell it
  std::uint64_t pending;  // the intent that is not over yet; 0: none
  std::int64_t wanted;    // 1: long, -1: flat, 0: nothing
  double score;           // of the signal that it is wanted for
  std::int64_t spent;     // 1: the score that led to the last entry must first go below ml.enter_bp
  std::uint64_t asked;    // rows that a model was configured for ...
  std::uint64_t missing;  // ... of which it had no answer ...
  std::uint64_t stale;    // ... or was too old
  std::int64_t entering;  // lots of the pending entry that are not filled
  double move;            // in ticks, by which the risk of what is held is measured; see rules.hpp
  // If another process evaluates the model: whose answer the last row waits for.
  std::uint64_t question;  // 0: it waits for none
  std::int64_t asked_ns;
  std::int64_t close;  // the last one, in ticks; 0: none yet
};
static_assert(sizeof(MlState) == 104);

/// Of the stage.
struct MlStage {
  std::uint64_t last_intent_id;
  // If another process evaluates the model:
  std::uint64_t last_question;      // that was asked, ...
  std::uint64_t last_answer;        // ... and that was answered; what is between is under way
  std::int64_t silent_since_ns;     // of the last answer, or of the first question since
  std::uint64_t late;               // rows whose answer was over its budget, each a slow call
  std::uint64_t refused;            // answers that were none
  std::uint64_t ignored;            // answers that nobody waited for
  std::uint64_t unasked;            // rows for which there were too many questions under way
};
static_assert(sizeof(MlStage) == 64);

/// What would have been earned in an instrument by one way to score, at closes and net of costs.
struct MlBook {
  std::int64_t position;  // 1: long, 0: flat
  std::int64_t entered;   // the close at which it was entered, and where it would be left, in ticks
  std::int64_t stop, target;
  std::int64_t spent;     // as in MlState
  std::uint64_t trades;   // that are over
  double result_bp;       // their sum
  double open_bp;         // of the position, if it were left now
};
static_assert(sizeof(MlBook) == 64);

/// Of the strategy "moving-average" in an instrument.
struct MovingAverageState {
  std::int64_t sign;  // of fast - slow, when it last was not 0; 0: it never was
};
static_assert(sizeof(MovingAverageState) == 8);

}  // namespace bot4
