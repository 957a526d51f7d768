// The state's fields, from which numpy's dtypes are made.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::RiskAccount, begun, opening_e8, cash_e8, value_e8, equity_e8, high_water_e8,
              realised_e8, fees_e8, reserved_e8, next_order_id, open_orders, drawdown, approved,
              denied, fills, unfilled)
BOT4_DESCRIBE(bot4::RiskInstrument, position, cost_e8, value_e8, reserved_buy, reserved_sell, mark,
              bid, ask)
BOT4_DESCRIBE(bot4::RiskOrder, order_id, intent_id, leaves, reserved_e8, instrument, side)
