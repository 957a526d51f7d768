// The state's fields, from which numpy's dtypes are made.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::ExecutorInstrument, bid, ask, received_ns, venue_ns, position, stop, target,
              strategy)
BOT4_DESCRIBE(bot4::ExecutorStage, last_trade_id)
