// The state's fields, from which numpy's dtypes are made.
#pragma once

#include "../../../shm/native/describe.hpp"
#include "state.hpp"

BOT4_DESCRIBE(bot4::RiskAccount, begun, opening_e8, flows_e8, cash_e8, value_e8, equity_e8,
              converted_e8, joined_e8, realised_e8, fees_e8, reserved_e8, at_risk_e8, units, nav_e12, high_water_e12,
              max_drawdown_e6, gross_e8, long_e8, short_e8, next_order_id, open_orders, positions, tick_ns, tat_ns,
              day, week, month, day_open_e8, week_open_e8, month_open_e8, losses, paused_until_ns,
              resumed, mode, mode_code, killed, drawdown, unreconciled, approved, denied, repeated,
              fills, unfilled, request, refused, limits)
BOT4_DESCRIBE(bot4::RiskCurrency, opening_e8, flows_e8, cash_e8, value_e8, realised_e8, fees_e8,
              reserved_e8, worth_e8, bid_e8, ask_e8, seen_ns, invalid, is_base)
BOT4_DESCRIBE(bot4::RiskInstrument, position, cost_e8, value_e8, reserved_buy, reserved_sell, mark,
              bid, ask, jump_bid, jump_ask, worst_bid, worst_ask, long_e8, short_e8, tat_ns,
              spread_e6, entries, trip_e8, trips, trips_e8, cooldown_until_ns, under_way, orders)
BOT4_DESCRIBE(bot4::RiskOrder, order_id, intent_id, leaves, reserved_e8, at_risk_e8, limit,
              instrument, strategy, side, enters, filled)
BOT4_DESCRIBE(bot4::RiskPart, gross_e8, tat_ns)
BOT4_DESCRIBE(bot4::RiskStrategy, tat_ns)
BOT4_DESCRIBE(bot4::RiskSignal, side, count)
BOT4_DESCRIBE(bot4::RiskRecent, next, at_ns, quantity, limit, strategy, side)
BOT4_DESCRIBE(bot4::RiskSpreads, count, value)
BOT4_DESCRIBE(bot4::RiskLimit, changed, value, request, next)
BOT4_DESCRIBE(bot4::RiskDecision, intent_id, order_id, failed, quantity, limit, stop, target,
              created_ns, ttl_ns, decided_ns, price, reference, value, bound, instrument, strategy, side,
              reduce_only, code)
BOT4_DESCRIBE(bot4::RiskCodes, count)
