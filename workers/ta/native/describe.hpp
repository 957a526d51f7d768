// The fields of the ta stage's state, for its numpy dtype.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::TaState, open, high, low, close, volume, trades, bid, bid_quantity, ask,
              ask_quantity, bars, fast_sum, slow_sum, true_range_sum, ema, average_gain,
              average_loss, atr, closes)
