// From trades to bars: by time, by number of trades, or by volume. workers/ta/reference/bars.py is the
// same in slow, obvious Python.
//
// A time bar is that of the trades dated in one interval: those of a whole multiple of its length
// since the epoch, without its end. It closes with the first trade of a later one, as no clock says
// that all trades of an interval have arrived. A bar of trades or of volume closes with the trade that
// completes it, which belongs to it as a whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "../../../pipeline/native/records.hpp"
#include "../../feed/native/sink.hpp"
#include "state.hpp"

namespace bot4 {

enum class BarKind : std::uint8_t { kTick, kTime, kVolume };

struct BarSettings {
  BarKind kind;
  std::uint64_t trades;      // in a bar, of kTick
  std::int64_t interval_ns;  // of kTime
  std::int64_t lots;         // in a bar, of kVolume
  std::uint64_t flat_bars;   // intervals without trades that are bridged, of kTime
};

/// A bar that has closed, as integers.
struct ClosedBar {
  std::int64_t high, low, close, volume, signed_volume;
  std::int64_t end_ns;  // of a time bar: where its interval ends; 0 for others
};

/// What a trade has led to, in this order.
struct BarEvents {
  bool is_lost = false;    // trades are missing: what is known of the past leads no further
  bool is_closed = false;
  ClosedBar bar;
  std::uint64_t flat = 0;  // intervals without trades, whose bars are flat, at its close
  bool is_gap = false;     // too many of them: the past is too long ago
};

class BarBuilder {
 public:
  explicit BarBuilder(const BarSettings& settings) : settings_(settings) {
    if (settings.trades < 1 || settings.interval_ns < 1 || settings.lots < 1)
      throw std::invalid_argument("trades, interval and lots of a bar must be at least 1");
  }

  void take_quote(const Market& market, BarState& own) const {
    own.bid = market.bid;
    own.bid_quantity = market.bid_quantity;
    own.ask = market.ask;
    own.ask_quantity = market.ask_quantity;
  }

  /// The latest quote does not hold any more, and trades may be lost; not by a book that is wrong.
  void take_stale(const Market& market, BarState& own) const {
    own.bid = own.bid_quantity = own.ask = own.ask_quantity = 0;
    const auto reason = static_cast<StaleReason>(market.venue_sequence);
    if (reason != StaleReason::kChecksum && reason != StaleReason::kCrossed) own.in_doubt = 1;
  }

  /// Takes a trade with a price and a quantity above 0.
  BarEvents take_trade(const Market& market, BarState& own) const {
    BarEvents events;
    const std::uint64_t id = market.venue_sequence;
    const bool is_next = id != 0 && own.last_trade != 0 && id == own.last_trade + 1;
    const bool is_in_order = id == 0 || id > own.last_trade;
    if (own.in_doubt != 0 && !is_next && own.progress != kNone) {
      events.is_lost = true;
      forget(own);
    }
    own.in_doubt = 0;
    own.last_trade = events.is_lost ? id : std::max(own.last_trade, id);
    if (settings_.kind == BarKind::kTime) {
      const std::int64_t interval = interval_of(market, own);
      if (own.progress == kNone) {
        if (market.header.venue_ns <= 0) {
          ++own.late;  // of an interval that is not known
          return events;
        }
        begin(own, interval);
      } else if (interval > own.interval) {
        close_interval(interval, own, events);
      } else if (interval < own.interval) {
        if (!is_in_order || !is_beyond_bridge(own.interval - interval)) {
          ++own.late;
          return events;
        }
        // The venue's clock was set back, or was wrong before: nothing would be in time any more.
        events.is_lost = true;
        forget(own);
        begin(own, interval);
      }
    } else if (own.progress != kNone && !is_in_order) {
      ++own.late;
      return events;
    } else {
      own.progress = kWhole;
    }
    add(market, is_in_order || own.trades == 0, own);
    if ((settings_.kind == BarKind::kTick && own.trades >= settings_.trades) ||
        (settings_.kind == BarKind::kVolume && own.volume >= settings_.lots))
      close(0, own, events);
    return events;
  }

 private:
  // Beyond this a double does not hold a volume exactly.
  static constexpr std::int64_t kMostVolume = std::int64_t{1} << 53;

  enum Progress : std::uint64_t {
    kNone,     // no trade yet
    kPartial,  // the interval had begun before its trades could be seen
    kWhole,
  };

  std::int64_t interval_of(const Market& market, const BarState& own) const {
    // A trade without a date is of the bar that is being built.
    return market.header.venue_ns > 0 ? market.header.venue_ns / settings_.interval_ns : own.interval;
  }

  bool is_beyond_bridge(std::int64_t intervals) const {
    return static_cast<std::uint64_t>(intervals) > settings_.flat_bars + 1;
  }

  static void begin(BarState& own, std::int64_t interval) {
    own.interval = interval;
    own.progress = kPartial;
  }

  static void forget(BarState& own) {
    own.trades = 0;
    own.progress = kNone;
    ++own.restarts;
  }

  void close_interval(std::int64_t next, BarState& own, BarEvents& events) const {
    const bool is_whole = own.progress == kWhole;
    if (is_whole) close((own.interval + 1) * settings_.interval_ns, own, events);
    own.trades = 0;
    own.progress = kWhole;
    const std::int64_t empty = next - own.interval - 1;
    own.interval = next;
    if (empty == 0 || !is_whole) return;
    if (is_beyond_bridge(empty + 1)) {
      events.is_gap = true;
      ++own.restarts;
    } else {
      events.flat = static_cast<std::uint64_t>(empty);
      own.bars += events.flat;
    }
  }

  static void add(const Market& market, bool is_last, BarState& own) {
    if (own.trades == 0) {
      own.open = own.high = own.low = market.price;
      own.volume = own.signed_volume = 0;
    }
    own.high = std::max(own.high, market.price);
    own.low = std::min(own.low, market.price);
    if (is_last) own.close = market.price;
    const std::int64_t quantity = std::min(market.quantity, kMostVolume - own.volume);
    own.volume += quantity;
    own.signed_volume += quantity * static_cast<std::int64_t>(market.aggressor);
    ++own.trades;
  }

  static void close(std::int64_t end_ns, BarState& own, BarEvents& events) {
    events.is_closed = true;
    events.bar = {own.high, own.low, own.close, own.volume, own.signed_volume, end_ns};
    own.trades = 0;
    ++own.bars;
  }

  BarSettings settings_;
};

}  // namespace bot4
