// Binance: trades, aggregate trades, best prices, and books kept by updates from a REST snapshot on.
//
// The spot and the futures venues differ in how updates are chained: spot numbers them without a hole
// (first update id = last one's final + 1), futures name the final id of the update before (`pu`).
#pragma once

#include <deque>

#include "decoder.hpp"

namespace bot4 {

class Binance final : public Decoder {
 public:
  /// `futures`: the chain of updates must be by `pu`. `time_ns`: a unit of the venue's times. What was
  /// asked for in us may come in ms nevertheless, from a capture: that is seen.
  Binance(std::vector<Listing> listings, QuoteSource quotes, bool futures, std::int64_t time_ns)
      : Decoder(std::move(listings), quotes, true), futures_(futures), time_ns_(time_ns) {}

  Verdict snapshot(std::uint32_t instrument, std::string_view text, std::int64_t received_ns,
                   Sink& sink) override {
    Market& market = market_of(instrument);
    Cursor cursor(text);
    Seen seen;
    std::uint64_t last = 0;
    wire_.clear();
    levels_.clear();
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "lastUpdateId") return seen.once(0) && cursor.whole(last);
      if (key == "bids") return seen.once(1) && read_levels(cursor, true);
      if (key == "asks") return seen.once(2) && read_levels(cursor, false);
      return cursor.skip();
    });
    if (!read || !cursor.at_end()) return Verdict::kFallback;
    if (!seen.all(0, 1, 2) || !convert(market.listing, wire_)) return Verdict::kMalformed;
    if (market.state == BookState::kLive) return Verdict::kOk;  // nobody waits for it any more
    ++counts_.snapshots;
    start_book(market, last, received_ns, sink);
    return Verdict::kOk;
  }

 private:
  /// An update that came before its snapshot.
  struct Kept {
    std::uint64_t previous, final;
    std::int64_t venue_ns;
    std::vector<BookLevel> levels;
  };
  static constexpr std::size_t kMostKept = 4096;
  static constexpr std::uint64_t kLatest = 7'258'118'400'000'000'000;  // the year 2200, in ns
  static constexpr std::uint64_t kMs = 1'000'000;                      // ns

  enum Field : unsigned {
    kType, kTradeTime, kEventTime, kSymbol, kTradeId, kPrice, kQuantity, kBuyerIsMaker, kFinal, kFirst,
    kPrevious, kAggregateId, kBid, kBidQuantity, kAsk, kAskQuantity, kBids, kAsks, kPosition, kExecution,
  };
  enum class Kind { kNone, kTrade, kAggregate, kTicker, kDepth, kOther, kShutdown };

  /// What a message says, as it was written.
  struct Wire {
    Seen seen;
    Kind kind = Kind::kNone;
    bool unknown_fields = false;
    bool reply = false;
    bool buyer_is_maker = false;
    std::string_view symbol, execution;
    std::uint64_t trade_time = 0, event_time = 0, trade_id = 0, aggregate_id = 0;
    std::uint64_t first = 0, final = 0, previous = 0, position = 0;
    Decimal price, quantity, bid, bid_quantity, ask, ask_quantity;
  };

  Verdict take(std::string_view text, std::int64_t received_ns, Sink& sink) override {
    Cursor cursor(text);
    Wire wire;
    wire_.clear();
    levels_.clear();
    bool enveloped = false, other = false;
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "stream") {
        std::string_view ignored;
        // First, if at all: then the other member is "data".
        const bool is_first = !enveloped && !other;
        enveloped = true;
        return is_first && cursor.text(ignored);
      }
      if (enveloped && key == "data") {
        if (other) return false;
        other = true;
        if (cursor.peek() != '{') return cursor.skip();
        return cursor.object([&](std::string_view field) { return read_field(cursor, field, wire); });
      }
      if (enveloped) {
        wire.unknown_fields = true;
        return cursor.skip();
      }
      other = true;
      return read_field(cursor, key, wire);
    });
    if (!read || !cursor.at_end() || (enveloped && !other)) return Verdict::kFallback;
    const Verdict verdict = apply_message(wire, received_ns, sink);
    if (verdict == Verdict::kOk && wire.unknown_fields) ++counts_.unknown_fields;
    if (verdict == Verdict::kUnknown && !enveloped && wire.reply) return Verdict::kControl;
    return verdict;
  }

  static Kind kind_of(std::string_view type) {
    if (type == "trade") return Kind::kTrade;
    if (type == "bookTicker") return Kind::kTicker;
    if (type == "depthUpdate") return Kind::kDepth;
    if (type == "aggTrade") return Kind::kAggregate;
    if (type == "serverShutdown") return Kind::kShutdown;
    return Kind::kOther;
  }

  bool read_field(Cursor& cursor, std::string_view key, Wire& wire) {
    if (key.size() > 1 && (key == "result" || key == "error" || key == "code")) {
      wire.reply = true;
      return cursor.skip();
    }
    // The fields of other messages have the same names and other types.
    if (wire.kind == Kind::kOther || wire.kind == Kind::kShutdown) return key != "e" && cursor.skip();
    Seen& seen = wire.seen;
    if (key.size() == 1) {
      switch (key[0]) {
        case 'e': {
          std::string_view type;
          if (!seen.once(kType) || !cursor.text(type)) return false;
          wire.kind = kind_of(type);
          return true;
        }
        case 'E': return seen.once(kEventTime) && cursor.whole(wire.event_time);
        case 'T': return seen.once(kTradeTime) && cursor.whole(wire.trade_time);
        case 's': return seen.once(kSymbol) && cursor.text(wire.symbol);
        case 't': return seen.once(kTradeId) && cursor.whole(wire.trade_id);
        case 'p': return seen.once(kPrice) && cursor.quoted(wire.price);
        case 'q': return seen.once(kQuantity) && cursor.quoted(wire.quantity);
        case 'm': return seen.once(kBuyerIsMaker) && cursor.boolean(wire.buyer_is_maker);
        case 'u': return seen.once(kFinal) && cursor.whole(wire.final);
        case 'U': return seen.once(kFirst) && cursor.whole(wire.first);
        case 'B': return seen.once(kBidQuantity) && cursor.quoted(wire.bid_quantity);
        case 'A': return seen.once(kAskQuantity) && cursor.quoted(wire.ask_quantity);
        case 'b':
          if (cursor.peek() == '[') return seen.once(kBids) && !seen.has(kBid) && read_levels(cursor, true);
          return seen.once(kBid) && !seen.has(kBids) && cursor.quoted(wire.bid);
        case 'a':
          if (wire.kind == Kind::kAggregate)
            return seen.once(kAggregateId) && cursor.whole(wire.aggregate_id);
          if (cursor.peek() == '[') return seen.once(kAsks) && !seen.has(kAsk) && read_levels(cursor, false);
          return seen.once(kAsk) && !seen.has(kAsks) && cursor.quoted(wire.ask);
        case 'i': return seen.once(kPosition) && cursor.whole(wire.position);
        case 'X': return seen.once(kExecution) && cursor.text(wire.execution);
        case 'M': case 'f': case 'l': return cursor.skip();
        default: break;
      }
    } else if (key == "pu") {
      return seen.once(kPrevious) && cursor.whole(wire.previous);
    } else if (key == "ps" || key == "st") {
      return cursor.skip();
    }
    wire.unknown_fields = true;
    return cursor.skip();
  }

  bool read_levels(Cursor& cursor, bool bids) {
    return cursor.array([&] {
      WireLevel& level = wire_.emplace_back();
      level.bid = bids;
      return cursor.take('[') && cursor.quoted(level.price) && cursor.take(',') &&
             cursor.quoted(level.quantity) && cursor.take(']');
    });
  }

  Verdict apply_message(const Wire& wire, std::int64_t received_ns, Sink& sink) {
    const Seen& seen = wire.seen;
    Kind kind = wire.kind;
    // Spot's best prices do not say what they are.
    if (kind == Kind::kNone && seen.has(kFinal) && (seen.has(kBidQuantity) || seen.has(kAskQuantity)))
      kind = Kind::kTicker;
    if (kind == Kind::kNone || kind == Kind::kOther) return Verdict::kUnknown;
    if (kind == Kind::kShutdown) return Verdict::kControl;
    const std::uint64_t time = seen.has(kTradeTime) ? wire.trade_time : wire.event_time;
    // In us that would be 1970.
    const std::int64_t unit_ns = time <= kLatest / kMs ? std::max(time_ns_, std::int64_t{kMs}) : time_ns_;
    const std::uint64_t latest = kLatest / static_cast<std::uint64_t>(unit_ns);
    if (!seen.has(kSymbol) || wire.trade_time > latest || wire.event_time > latest)
      return Verdict::kMalformed;
    Market* const market = find(wire.symbol);
    if (market == nullptr) return Verdict::kUnknown;
    const std::int64_t venue_ns = static_cast<std::int64_t>(time) * unit_ns;
    switch (kind) {
      case Kind::kTrade:
      case Kind::kAggregate: {
        Trade trade{};
        const bool complete = seen.all(kPrice, kQuantity, kTradeTime, kBuyerIsMaker) &&
                              seen.has(kind == Kind::kTrade ? kTradeId : kAggregateId);
        if (!complete) return Verdict::kMalformed;
        // On futures: liquidations and the insurance fund, which are not the market's.
        if (seen.has(kExecution) && wire.execution != "MARKET") return Verdict::kUnknown;
        if (!convert_trade(market->listing, wire.price, wire.quantity, trade)) return Verdict::kMalformed;
        trade.id = kind == Kind::kTrade ? wire.trade_id : wire.aggregate_id;
        trade.venue_ns = venue_ns;
        trade.position = wire.position;
        trade.aggressor = wire.buyer_is_maker ? Side::kSell : Side::kBuy;
        const std::uint64_t before = market->trades.last();
        const std::uint64_t gaps = counts_.trade_gaps;
        tell_trade(*market, trade, received_ns, sink, true);
        if (counts_.trade_gaps != gaps)
          wish({Wish::Kind::kTrades, market->listing.instrument, before + 1, trade.id - 1});
        return Verdict::kOk;
      }
      case Kind::kTicker: {
        Top top;
        if (!seen.all(kFinal, kBid, kBidQuantity, kAsk, kAskQuantity) ||
            !convert_top(market->listing, wire.bid, wire.bid_quantity, wire.ask, wire.ask_quantity, top))
          return Verdict::kMalformed;
        if (wire.final <= market->last_ticker) {
          ++counts_.repeated;
          return Verdict::kOk;
        }
        market->last_ticker = wire.final;
        tell_ticker(*market, top, venue_ns, wire.final, wire.position, received_ns, sink);
        return Verdict::kOk;
      }
      default: {
        if (!seen.all(kFirst, kFinal, kBids, kAsks) || (futures_ && !seen.has(kPrevious)) ||
            wire.first > wire.final || wire.first == 0 || !convert(market->listing, wire_))
          return Verdict::kMalformed;
        update_book(*market, futures_ ? wire.previous : wire.first - 1, wire.final, venue_ns, received_ns,
                    sink);
        return Verdict::kOk;
      }
    }
  }

  /// `previous`: the final id of the update before.
  void update_book(Market& market, std::uint64_t previous, std::uint64_t final, std::int64_t venue_ns,
                   std::int64_t received_ns, Sink& sink) {
    ++counts_.book_updates;
    if (market.last_update != 0 && final <= market.last_update) {
      ++counts_.repeated;
      return;
    }
    const bool gap = market.last_update != 0 && previous > market.last_update;
    market.last_update = final;
    if (market.state == BookState::kLive && !gap) {
      apply(market.book, levels_);
      if (!tell_book(market, venue_ns, final, received_ns, sink)) ask_for_snapshot(market);
      return;
    }
    std::deque<Kept>& kept = kept_[market.listing.instrument];
    if (gap) {
      ++counts_.gaps;
      const bool was_live = market.state == BookState::kLive;
      break_book(market, StaleReason::kGap, received_ns, sink);
      kept.clear();
      if (was_live) ask_for_snapshot(market);
    }
    if (market.state == BookState::kNew) market.state = BookState::kWaiting;
    // Stale after a lost connection: nobody has asked yet.
    if (kept.empty()) ask_for_snapshot(market);
    if (kept.size() == kMostKept) kept.pop_front();
    kept.push_back({previous, final, venue_ns, levels_});
  }

  void ask_for_snapshot(const Market& market) {
    wish({Wish::Kind::kSnapshot, market.listing.instrument});
  }

  /// The snapshot is in `levels_`. What was kept goes on from it, or it came too early.
  void start_book(Market& market, std::uint64_t last, std::int64_t received_ns, Sink& sink) {
    std::deque<Kept>& kept = kept_[market.listing.instrument];
    while (!kept.empty() && kept.front().final <= last) kept.pop_front();
    // Without anything kept, of a crossed book, the snapshot may be older than what was applied to that.
    if (kept.empty() ? last < market.last_update : kept.front().previous > last) {
      if (market.state == BookState::kNew) market.state = BookState::kWaiting;
      ask_for_snapshot(market);
      return;
    }
    market.book.clear();
    apply(market.book, levels_);
    std::int64_t venue_ns = 0;
    for (const Kept& each : kept) {
      apply(market.book, each.levels);
      venue_ns = each.venue_ns;
    }
    kept.clear();
    market.last_update = std::max(market.last_update, last);
    if (!tell_book(market, venue_ns, market.last_update, received_ns, sink)) ask_for_snapshot(market);
  }

  void forget() override {
    for (const auto& market : markets_) market->last_update = 0;
    kept_.clear();
  }

  bool futures_;
  std::int64_t time_ns_;
  std::unordered_map<std::uint32_t, std::deque<Kept>> kept_;  // by instrument
};

}  // namespace bot4
