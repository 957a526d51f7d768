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
};
static_assert(sizeof(MlState) == 32);

/// Of the stage.
struct MlStage {
  std::uint64_t last_intent_id;
};
static_assert(sizeof(MlStage) == 8);

/// Of the strategy "moving-average" in an instrument.
struct MovingAverageState {
  std::int64_t sign;  // of fast - slow, when it last was not 0; 0: it never was
};
static_assert(sizeof(MovingAverageState) == 8);

}  // namespace bot4
