// The fields of the ta stage's state, for its numpy dtypes.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::BarState, open, high, low, close, volume, signed_volume, trades, interval,
              progress, bid, bid_quantity, ask, ask_quantity, last_trade, in_doubt, bars, late,
              restarts)
BOT4_DESCRIBE(bot4::IndicatorState, bars, ema_slow, macd_fast, macd_slow, macd_signal, average_gain,
              average_loss, atr, range, plus, minus, adx, obv, closes, highs, lows, typicals,
              volumes, flows, returns, ks)
BOT4_DESCRIBE(bot4::SampleClock, interval, rows_due, late)
BOT4_DESCRIBE(bot4::SampleState, price, restarts)
