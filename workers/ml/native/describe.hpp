// The fields of the ml stage's state, for its numpy dtypes.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::MlState, position, pending, wanted, score, spent, asked, missing, stale,
              entering, move)
BOT4_DESCRIBE(bot4::MlStage, last_intent_id)
BOT4_DESCRIBE(bot4::MlBook, position, entered, stop, target, spent, trades, result_bp, open_bp)
BOT4_DESCRIBE(bot4::MovingAverageState, sign)
