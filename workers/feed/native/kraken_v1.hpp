// Kraken, WebSocket v1: books alone, verified by the same CRC-32 as in v2.
//
// `[channel, {"a": [..]}, {"b": [..], "c": "checksum"}, "book-1000", "XBT/USD"]`; a snapshot has "as" and
// "bs" and no checksum. A level is `[price, quantity, time]`, and "r" behind that if it is told again.
#pragma once

#include "decoder.hpp"

namespace bot4 {

class KrakenV1 final : public Decoder {
 public:
  KrakenV1(std::vector<Listing> listings, std::size_t depth)
      : Decoder(std::move(listings), QuoteSource::kBook), depth_(depth) {}

 private:
  enum Field : unsigned { kAsks, kBids, kAskSnapshot, kBidSnapshot, kChecksum };

  Verdict take(std::string_view text, std::int64_t received_ns, Sink& sink) override {
    Cursor cursor(text);
    wire_.clear();
    levels_.clear();
    seen_ = {};
    latest_ns_ = 0;
    unknown_fields_ = false;
    if (cursor.peek() == '{') {
      bool event = false;
      const bool read = cursor.object([&](std::string_view key) {
        event = event || key == "event";
        return cursor.skip();
      });
      if (!read || !cursor.at_end()) return Verdict::kFallback;
      return event ? Verdict::kControl : Verdict::kUnknown;
    }
    std::uint64_t ignored;
    if (!cursor.take('[') || !cursor.whole(ignored)) return Verdict::kFallback;
    // Of other channels the name comes last, too: their payloads are stepped over.
    bool is_book = true;
    std::string_view channel, symbol;
    while (cursor.take(',') && cursor.peek() != '"') {
      const Cursor before = cursor;
      if (is_book && cursor.peek() == '{' && read_changes(cursor)) continue;
      is_book = false;
      cursor = before;
      if (!cursor.skip()) return Verdict::kFallback;
    }
    if (!cursor.text(channel) || !cursor.take(',') || !cursor.text(symbol) || !cursor.take(']') ||
        !cursor.at_end())
      return Verdict::kFallback;
    if (!channel.starts_with("book-")) return Verdict::kUnknown;
    if (!is_book) return Verdict::kFallback;
    Market* const market = find(symbol);
    if (market == nullptr) return Verdict::kUnknown;
    const bool is_snapshot = seen_.all(kAskSnapshot, kBidSnapshot);
    const bool is_update = (seen_.has(kAsks) || seen_.has(kBids)) && seen_.has(kChecksum);
    const bool mixed = (seen_.has(kAskSnapshot) || seen_.has(kBidSnapshot)) &&
                       (seen_.has(kAsks) || seen_.has(kBids) || seen_.has(kChecksum));
    if (is_snapshot == is_update || mixed || checksum_ > 0xffff'ffff ||
        !convert(market->listing, wire_))
      return Verdict::kMalformed;
    if (unknown_fields_) ++counts_.unknown_fields;
    if (!change_book(*market, is_snapshot, 0, levels_.size(), depth_)) return Verdict::kOk;
    bool matches = true;
    if (is_update) {
      matches = market->book.kraken_checksum(market->listing.ticks, market->listing.lots) == checksum_;
      if (matches) ++counts_.checksum_ok;
    }
    verify_book(*market, matches, latest_ns_, 0, received_ns, sink);
    return Verdict::kOk;
  }

  bool read_changes(Cursor& cursor) {
    return cursor.object([&](std::string_view key) {
      if (key == "a") return seen_.once(kAsks) && read_levels(cursor, false);
      if (key == "b") return seen_.once(kBids) && read_levels(cursor, true);
      if (key == "as") return seen_.once(kAskSnapshot) && read_levels(cursor, false);
      if (key == "bs") return seen_.once(kBidSnapshot) && read_levels(cursor, true);
      if (key == "c") return seen_.once(kChecksum) && cursor.quoted_whole(checksum_);
      unknown_fields_ = true;
      return cursor.skip();
    });
  }

  bool read_levels(Cursor& cursor, bool bids) {
    return cursor.array([&] {
      WireLevel& level = wire_.emplace_back();
      level.bid = bids;
      Decimal seconds;
      if (!cursor.take('[') || !cursor.quoted(level.price) || !cursor.take(',') ||
          !cursor.quoted(level.quantity) || !cursor.take(',') || !cursor.quoted(seconds))
        return false;
      constexpr std::uint64_t kYear2200 = 7'258'118'400;
      if (seconds.decimals > 9 || seconds.digits / kPowersOfTen[seconds.decimals] > kYear2200) return false;
      latest_ns_ = std::max(
          latest_ns_, static_cast<std::int64_t>(seconds.digits * kPowersOfTen[9 - seconds.decimals]));
      std::string_view again;
      if (cursor.take(',') && !cursor.text(again)) return false;
      return cursor.take(']');
    });
  }

  std::size_t depth_;
  Seen seen_;
  std::uint64_t checksum_ = 0;
  std::int64_t latest_ns_ = 0;
  bool unknown_fields_ = false;
};

}  // namespace bot4
