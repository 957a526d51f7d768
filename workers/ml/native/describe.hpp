// The fields of the ml stage's state, for its numpy dtypes.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::MlState, position, pending, wanted, score, spent, asked, missing, stale,
              entering, move, question, asked_ns, close)
BOT4_DESCRIBE(bot4::MlStage, last_intent_id, last_question, last_answer, silent_since_ns, late,
              refused, ignored, unasked)
BOT4_DESCRIBE(bot4::MlBook, position, entered, stop, target, spent, trades, result_bp, open_bp)
BOT4_DESCRIBE(bot4::MovingAverageState, sign)
