// Kraken, WebSocket v2: books verified by CRC-32, trades, and best prices.
#pragma once

#include "decoder.hpp"

namespace bot4 {

class Kraken final : public Decoder {
 public:
  /// `depth`: of the book as subscribed. No deletion is sent for what falls out below it.
  Kraken(std::vector<Listing> listings, QuoteSource quotes, std::size_t depth)
      : Decoder(std::move(listings), quotes), depth_(depth) {}

 private:
  enum class Channel { kNone, kBook, kTrade, kTicker, kControl, kOther };
  enum Field : unsigned { kChannel, kType, kData, kMethod };
  enum EntryField : unsigned {
    kSymbol, kBids, kAsks, kChecksum, kTimestamp, kSide, kPrice, kQuantity, kTradeId, kBid, kBidQuantity,
    kAsk, kAskQuantity,
  };

  /// One element of `data`.
  struct Entry {
    Market* market;
    std::size_t first, last;  // in levels_
    std::uint64_t checksum;
    std::int64_t venue_ns;
    Trade trade;
    Top top;
  };

  Verdict take(std::string_view text, std::int64_t received_ns, Sink& sink) override {
    Cursor cursor(text);
    Seen seen;
    Channel channel = Channel::kNone;
    std::string_view type;
    wire_.clear();
    levels_.clear();
    entries_.clear();
    malformed_ = unknown_fields_ = false;
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "channel") {
        std::string_view name;
        if (!seen.once(kChannel) || !cursor.text(name)) return false;
        channel = channel_of(name);
        return true;
      }
      if (key == "method" || key == "error") {
        seen.once(kMethod);
        return cursor.skip();
      }
      if (channel != Channel::kBook && channel != Channel::kTrade && channel != Channel::kTicker) {
        // Before the channel, it cannot be known what these are.
        const bool early = !seen.has(kChannel) && !seen.has(kMethod) && (key == "type" || key == "data");
        unknown_fields_ = true;
        return !early && cursor.skip();
      }
      if (key == "type") return seen.once(kType) && !seen.has(kData) && cursor.text(type);
      if (key == "data")
        return seen.once(kData) && seen.has(kType) &&
               cursor.array([&] { return read_entry(cursor, channel); });
      unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read || !cursor.at_end()) return Verdict::kFallback;
    if (channel == Channel::kControl || seen.has(kMethod)) return Verdict::kControl;
    if (channel == Channel::kNone || channel == Channel::kOther) return Verdict::kUnknown;
    if (!seen.all(kType, kData) || malformed_) return Verdict::kMalformed;
    const bool is_snapshot = type == "snapshot";
    if (!is_snapshot && type != "update") return Verdict::kUnknown;
    if (entries_.empty()) return Verdict::kUnknown;
    if (unknown_fields_) ++counts_.unknown_fields;
    for (const Entry& entry : entries_) apply_entry(entry, channel, is_snapshot, received_ns, sink);
    return Verdict::kOk;
  }

  static Channel channel_of(std::string_view name) {
    if (name == "book") return Channel::kBook;
    if (name == "trade") return Channel::kTrade;
    if (name == "ticker") return Channel::kTicker;
    if (name == "heartbeat" || name == "status" || name == "pong") return Channel::kControl;
    return Channel::kOther;
  }

  bool read_entry(Cursor& cursor, Channel channel) {
    Seen seen;
    std::string_view symbol, side, timestamp;
    std::uint64_t checksum = 0, trade_id = 0;
    Decimal price, quantity, bid, bid_quantity, ask, ask_quantity;
    wire_.clear();
    const auto book_field = [&](std::string_view key) {
      if (key == "bids") return seen.once(kBids) && read_levels(cursor, true);
      if (key == "asks") return seen.once(kAsks) && read_levels(cursor, false);
      if (key == "checksum") return seen.once(kChecksum) && cursor.whole(checksum);
      unknown_fields_ = true;
      return cursor.skip();
    };
    const auto trade_field = [&](std::string_view key) {
      if (key == "side") return seen.once(kSide) && cursor.text(side);
      if (key == "price") return seen.once(kPrice) && cursor.number(price);
      if (key == "qty") return seen.once(kQuantity) && cursor.number(quantity);
      if (key == "trade_id") return seen.once(kTradeId) && cursor.whole(trade_id);
      if (key != "ord_type") unknown_fields_ = true;
      return cursor.skip();
    };
    const auto ticker_field = [&](std::string_view key) {
      if (key == "bid") return seen.once(kBid) && cursor.number(bid);
      if (key == "bid_qty") return seen.once(kBidQuantity) && cursor.number(bid_quantity);
      if (key == "ask") return seen.once(kAsk) && cursor.number(ask);
      if (key == "ask_qty") return seen.once(kAskQuantity) && cursor.number(ask_quantity);
      return cursor.skip();  // the day's figures
    };
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "symbol") return seen.once(kSymbol) && cursor.text(symbol);
      if (key == "timestamp") return seen.once(kTimestamp) && cursor.text(timestamp);
      switch (channel) {
        case Channel::kBook: return book_field(key);
        case Channel::kTrade: return trade_field(key);
        default: return ticker_field(key);
      }
    });
    if (!read) return false;

    Entry entry{};
    const bool is_trade = channel == Channel::kTrade;
    bool good = seen.has(kSymbol);
    if (seen.has(kTimestamp)) good = good && to_unix_ns(timestamp, entry.venue_ns);
    entry.market = good ? find(symbol) : nullptr;
    if (good && entry.market == nullptr) return true;
    if (good && channel == Channel::kBook) {
      entry.first = levels_.size();
      good = seen.all(kBids, kAsks, kChecksum) && checksum <= 0xffff'ffff &&
             convert(entry.market->listing, wire_);
      entry.last = levels_.size();
      entry.checksum = checksum;
    } else if (good && is_trade) {
      good = seen.all(kSide, kPrice, kQuantity, kTradeId, kTimestamp) &&
             (side == "buy" || side == "sell") &&
             convert_trade(entry.market->listing, price, quantity, entry.trade);
      entry.trade.id = trade_id;
      entry.trade.venue_ns = entry.venue_ns;
      entry.trade.aggressor = side == "buy" ? Side::kBuy : Side::kSell;
    } else if (good) {
      good = seen.all(kBid, kBidQuantity, kAsk, kAskQuantity) &&
             convert_top(entry.market->listing, bid, bid_quantity, ask, ask_quantity, entry.top);
    }
    if (good) entries_.push_back(entry);
    else malformed_ = true;
    return true;
  }

  bool read_levels(Cursor& cursor, bool bids) {
    return cursor.array([&] {
      WireLevel& level = wire_.emplace_back();
      level.bid = bids;
      Seen seen;
      const bool read = cursor.object([&](std::string_view key) {
        if (key == "price") return seen.once(kPrice) && cursor.number(level.price);
        if (key == "qty") return seen.once(kQuantity) && cursor.number(level.quantity);
        unknown_fields_ = true;
        return cursor.skip();
      });
      return read && seen.all(kPrice, kQuantity);
    });
  }

  void apply_entry(const Entry& entry, Channel channel, bool is_snapshot, std::int64_t received_ns,
                   Sink& sink) {
    Market& market = *entry.market;
    if (channel == Channel::kTrade) {
      tell_trade(market, entry.trade, received_ns, sink, false);
    } else if (channel == Channel::kTicker) {
      tell_ticker(market, entry.top, entry.venue_ns, 0, 0, received_ns, sink);
    } else if (change_book(market, is_snapshot, entry.first, entry.last, depth_)) {
      const bool matches =
          market.book.kraken_checksum(market.listing.ticks, market.listing.lots) == entry.checksum;
      if (matches) ++counts_.checksum_ok;
      verify_book(market, matches, entry.venue_ns, 0, received_ns, sink);
    }
  }

  std::size_t depth_;
  std::vector<Entry> entries_;
  bool malformed_ = false, unknown_fields_ = false;
};

}  // namespace bot4
