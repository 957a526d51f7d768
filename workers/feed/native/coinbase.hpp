// Coinbase Advanced Trade: books, trades, best prices; one sequence over all channels of a connection.
#pragma once

#include <optional>

#include "decoder.hpp"

namespace bot4 {

class Coinbase final : public Decoder {
 public:
  Coinbase(std::vector<Listing> listings, QuoteSource quotes) 
      : Decoder(std::move(listings), quotes, true) {}

  void connected() override {
    Decoder::connected();
    sequence_.reset();
  }

 private:
  enum class Channel { kNone, kBook, kTrades, kTicker, kControl, kOther };
  enum Field : unsigned { kChannel, kTimestamp, kSequence, kEvents, kType };
  enum EventField : unsigned {
    kEventType, kProduct, kUpdates, kEventTrades, kTickers, kSide, kTime, kPrice, kQuantity, kTradeId,
    kBid, kBidQuantity, kAsk, kAskQuantity,
  };

  struct Entry {
    Market* market;
    std::size_t first, last;  // in levels_, of a book
    bool is_snapshot;
    Trade trade;
    Top top;
  };

  Verdict take(std::string_view text, std::int64_t received_ns, Sink& sink) override {
    Cursor cursor(text);
    Seen seen;
    Channel channel = Channel::kNone;
    std::string_view timestamp;
    std::uint64_t sequence = 0;
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
      if (key == "sequence_num") return seen.once(kSequence) && cursor.whole(sequence);
      if (key == "timestamp") return seen.once(kTimestamp) && cursor.text(timestamp);
      if (key == "events") {
        if (!seen.once(kEvents) || !seen.has(kChannel)) return false;
        if (channel == Channel::kControl || channel == Channel::kOther) return cursor.skip();
        return cursor.array([&] { return read_event(cursor, channel); });
      }
      if (key == "type") return seen.once(kType) && cursor.skip();
      if (key != "client_id") unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read || !cursor.at_end()) return Verdict::kFallback;
    // {"type":"error","message":..}, the one message without a channel and a sequence.
    if (!seen.has(kChannel)) return seen.has(kType) ? Verdict::kControl : Verdict::kUnknown;
    std::int64_t venue_ns = 0;
    if (!seen.all(kSequence, kTimestamp, kEvents) || malformed_ || !to_unix_ns(timestamp, venue_ns))
      return Verdict::kMalformed;
    if (!follow(sequence, received_ns, sink)) return Verdict::kOk;
    if (channel == Channel::kControl) return Verdict::kControl;
    if (channel == Channel::kOther || entries_.empty()) return Verdict::kUnknown;
    if (unknown_fields_) ++counts_.unknown_fields;
    // Trades come newest first.
    if (channel == Channel::kTrades) std::reverse(entries_.begin(), entries_.end());
    for (const Entry& entry : entries_) {
      Market& market = *entry.market;
      if (channel == Channel::kTrades) {
        tell_trade(market, entry.trade, received_ns, sink, false);
      } else if (channel == Channel::kTicker) {
        tell_ticker(market, entry.top, venue_ns, sequence, 0, received_ns, sink);
      } else if (change_book(market, entry.is_snapshot, entry.first, entry.last, kUnlimited)) {
        verify_book(market, true, venue_ns, sequence, received_ns, sink);
      }
    }
    return Verdict::kOk;
  }

  static Channel channel_of(std::string_view name) {
    if (name == "l2_data") return Channel::kBook;
    if (name == "market_trades") return Channel::kTrades;
    if (name == "ticker" || name == "ticker_batch") return Channel::kTicker;
    if (name == "heartbeats" || name == "subscriptions") return Channel::kControl;
    return Channel::kOther;
  }

  /// False if the message was here already. A lost one makes every book of the connection stale.
  bool follow(std::uint64_t sequence, std::int64_t received_ns, Sink& sink) {
    if (sequence_ == sequence) {
      ++counts_.repeated;
      return false;
    }
    const bool gap = sequence_.has_value() && sequence != *sequence_ + 1;
    sequence_ = sequence;
    if (!gap) return true;
    ++counts_.gaps;
    for (const auto& market : markets_) {
      if (market->state == BookState::kNew) continue;
      break_book(*market, StaleReason::kGap, received_ns, sink);
      wish({Wish::Kind::kResubscribe, market->listing.instrument});
    }
    return true;
  }

  bool read_event(Cursor& cursor, Channel channel) {
    Seen seen;
    std::string_view type, product;
    const std::size_t first_entry = entries_.size();
    wire_.clear();
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "type") return seen.once(kEventType) && cursor.text(type);
      if (channel == Channel::kBook) {
        if (key == "product_id") return seen.once(kProduct) && cursor.text(product);
        if (key == "updates")
          return seen.once(kUpdates) && cursor.array([&] { return read_update(cursor); });
      } else if (channel == Channel::kTrades && key == "trades") {
        return seen.once(kEventTrades) && cursor.array([&] { return read_trade(cursor); });
      } else if (channel == Channel::kTicker && key == "tickers") {
        return seen.once(kTickers) && cursor.array([&] { return read_ticker(cursor); });
      }
      unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read) return false;
    const bool is_snapshot = type == "snapshot";
    const unsigned content = channel == Channel::kBook     ? kUpdates
                             : channel == Channel::kTrades ? kEventTrades
                                                           : kTickers;
    if (!seen.has(kEventType) || (!is_snapshot && type != "update") || !seen.has(content)) {
      malformed_ = true;
      entries_.resize(first_entry);
      return true;
    }
    if (channel != Channel::kBook) return true;
    if (!seen.has(kProduct)) {
      malformed_ = true;
      return true;
    }
    Entry entry{};
    entry.market = find(product);
    if (entry.market == nullptr) return true;
    entry.is_snapshot = is_snapshot;
    entry.first = levels_.size();
    if (!convert(entry.market->listing, wire_)) malformed_ = true;
    entry.last = levels_.size();
    entries_.push_back(entry);
    return true;
  }

  bool read_update(Cursor& cursor) {
    WireLevel& level = wire_.emplace_back();
    Seen seen;
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "side") {
        std::string_view side;
        if (!seen.once(kSide) || !cursor.text(side)) return false;
        level.bid = side == "bid";
        if (!level.bid && side != "offer") malformed_ = true;
        return true;
      }
      if (key == "price_level") return seen.once(kPrice) && cursor.quoted(level.price);
      if (key == "new_quantity") return seen.once(kQuantity) && cursor.quoted(level.quantity);
      if (key != "event_time") unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read) return false;
    if (!seen.all(kSide, kPrice, kQuantity)) malformed_ = true;
    return true;
  }

  bool read_trade(Cursor& cursor) {
    Seen seen;
    std::string_view product, side, time;
    std::uint64_t id = 0;
    Decimal price, quantity;
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "product_id") return seen.once(kProduct) && cursor.text(product);
      if (key == "trade_id") return seen.once(kTradeId) && cursor.quoted_whole(id);
      if (key == "price") return seen.once(kPrice) && cursor.quoted(price);
      if (key == "size") return seen.once(kQuantity) && cursor.quoted(quantity);
      if (key == "side") return seen.once(kSide) && cursor.text(side);
      if (key == "time") return seen.once(kTime) && cursor.text(time);
      unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read) return false;
    Entry entry{};
    if (!seen.all(kProduct, kTradeId, kPrice, kQuantity, kSide, kTime) ||
        (side != "BUY" && side != "SELL") || !to_unix_ns(time, entry.trade.venue_ns)) {
      malformed_ = true;
      return true;
    }
    entry.market = find(product);
    if (entry.market == nullptr) return true;
    if (!convert_trade(entry.market->listing, price, quantity, entry.trade)) malformed_ = true;
    entry.trade.id = id;
    // The side is the maker's.
    entry.trade.aggressor = side == "BUY" ? Side::kSell : Side::kBuy;
    entries_.push_back(entry);
    return true;
  }

  bool read_ticker(Cursor& cursor) {
    Seen seen;
    std::string_view product;
    Decimal bid, bid_quantity, ask, ask_quantity;
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "product_id") return seen.once(kProduct) && cursor.text(product);
      if (key == "best_bid") return seen.once(kBid) && cursor.quoted(bid);
      if (key == "best_bid_quantity") return seen.once(kBidQuantity) && cursor.quoted(bid_quantity);
      if (key == "best_ask") return seen.once(kAsk) && cursor.quoted(ask);
      if (key == "best_ask_quantity") return seen.once(kAskQuantity) && cursor.quoted(ask_quantity);
      return cursor.skip();  // the day's figures
    });
    if (!read) return false;
    if (!seen.all(kProduct, kBid, kBidQuantity, kAsk, kAskQuantity)) {
      malformed_ = true;
      return true;
    }
    Entry entry{};
    entry.market = find(product);
    if (entry.market == nullptr) return true;
    if (!convert_top(entry.market->listing, bid, bid_quantity, ask, ask_quantity, entry.top))
      malformed_ = true;
    entries_.push_back(entry);
    return true;
  }

  std::optional<std::uint64_t> sequence_;
  std::vector<Entry> entries_;
  bool malformed_ = false, unknown_fields_ = false;
};

}  // namespace bot4
