// The fields of the records, for numpy.
#pragma once

#include "../../shm/native/describe.hpp"
#include "loop.hpp"
#include "records.hpp"

#define BOT4_HEADER                                                                            \
  header.sequence, header.cause_step, header.cause_index, header.instrument, header.venue_ns, \
      header.received_ns, header.stamped_ns

BOT4_DESCRIBE(bot4::Market, BOT4_HEADER, kind, aggressor, price, quantity, bid, bid_quantity, ask,
              ask_quantity, venue_sequence, position)
BOT4_DESCRIBE(bot4::Quote, bid, bid_quantity, ask, ask_quantity, received_ns, link_ns, stale)
BOT4_DESCRIBE(bot4::Context, step, sequence, now_ns, source, instrument, halted, mode, quote.bid,
              quote.bid_quantity, quote.ask, quote.ask_quantity, quote.received_ns, quote.link_ns,
              quote.stale, global, blocked, forced)
BOT4_DESCRIBE(bot4::Features, BOT4_HEADER, valid, version, bar, close, value)
BOT4_DESCRIBE(bot4::Question, BOT4_HEADER, question_id, valid, value)
BOT4_DESCRIBE(bot4::Answer, BOT4_HEADER, question_id, probability, refusal)
BOT4_DESCRIBE(bot4::Correlations, BOT4_HEADER, sample, first, count, value, samples)
BOT4_DESCRIBE(bot4::Intent, BOT4_HEADER, intent_id, strategy, side, reduce_only, quantity, limit,
              stop, created_ns, ttl_ns, score, target)
BOT4_DESCRIBE(bot4::Order, BOT4_HEADER, order_id, intent_id, strategy, side, reduce_only, quantity,
              limit, stop, reserved, target)
BOT4_DESCRIBE(bot4::Execution, BOT4_HEADER, order_id, intent_id, trade_id, kind, side, reason,
              strategy, quantity, price, leaves, fee, position)
BOT4_DESCRIBE(bot4::Outcome, BOT4_HEADER, intent_id, order_id, kind, side, code, strategy, failed,
              quantity, price, position, leaves)
BOT4_DESCRIBE(bot4::Control, BOT4_HEADER, amount, kind, index, request)
BOT4_DESCRIBE(bot4::Cursors, taken, ticks)
