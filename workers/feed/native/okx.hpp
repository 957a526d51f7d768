// OKX v5: books alone, verified by a CRC-32 over prices and quantities as they are written, and by
// sequence where the venue sends one.
#pragma once

#include "decoder.hpp"

namespace bot4 {

class Okx final : public Decoder {
 public:
  Okx(std::vector<Listing> listings, std::size_t depth)
      : Decoder(std::move(listings), QuoteSource::kBook), depth_(depth) {}

 private:
  enum Field : unsigned { kEvent, kArg, kChannel, kInstrument, kAction, kData };
  enum EntryField : unsigned { kBids, kAsks, kTime, kChecksum, kSequence, kPrevious };

  struct Entry {
    std::size_t first, last;  // in levels_
    std::int64_t checksum, sequence, previous;
    std::uint64_t time_ms;
    bool chained;
  };

  Verdict take(std::string_view text, std::int64_t received_ns, Sink& sink) override {
    if (text == "pong") return Verdict::kControl;
    Cursor cursor(text);
    Seen seen;
    std::string_view channel, symbol, action;
    levels_.clear();
    entries_.clear();
    malformed_ = unknown_fields_ = false;
    Market* market = nullptr;
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "event") return seen.once(kEvent) && cursor.skip();
      if (key == "arg")
        return seen.once(kArg) && !seen.has(kData) && cursor.object([&](std::string_view field) {
          if (field == "channel") return seen.once(kChannel) && cursor.text(channel);
          if (field == "instId") return seen.once(kInstrument) && cursor.text(symbol);
          return cursor.skip();
        });
      if (key == "action") return seen.once(kAction) && cursor.text(action);
      if (key == "data") {
        if (!seen.once(kData) || !seen.has(kArg)) return false;
        if (channel != "books") return cursor.skip();
        market = find(symbol);
        return cursor.array([&] { return read_entry(cursor, market); });
      }
      unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read || !cursor.at_end()) return Verdict::kFallback;
    if (seen.has(kEvent)) return Verdict::kControl;
    if (!seen.all(kArg, kData) || channel != "books") return Verdict::kUnknown;
    const bool is_snapshot = action == "snapshot";
    if (!seen.all(kInstrument, kAction) || malformed_ || entries_.empty() ||
        (!is_snapshot && action != "update"))
      return Verdict::kMalformed;
    if (market == nullptr) return Verdict::kUnknown;
    if (unknown_fields_) ++counts_.unknown_fields;
    for (const Entry& entry : entries_) apply_entry(*market, entry, is_snapshot, received_ns, sink);
    return Verdict::kOk;
  }

  /// `market` may be none: then only the shape is looked at.
  bool read_entry(Cursor& cursor, const Market* market) {
    Seen seen;
    Entry entry{};
    wire_.clear();
    const bool read = cursor.object([&](std::string_view key) {
      if (key == "bids") return seen.once(kBids) && read_levels(cursor, true);
      if (key == "asks") return seen.once(kAsks) && read_levels(cursor, false);
      if (key == "ts") return seen.once(kTime) && cursor.quoted_whole(entry.time_ms);
      if (key == "checksum") return seen.once(kChecksum) && cursor.signed_whole(entry.checksum);
      if (key == "seqId") return seen.once(kSequence) && cursor.signed_whole(entry.sequence);
      if (key == "prevSeqId") return seen.once(kPrevious) && cursor.signed_whole(entry.previous);
      unknown_fields_ = true;
      return cursor.skip();
    });
    if (!read) return false;
    entry.chained = seen.all(kSequence, kPrevious);
    entry.first = levels_.size();
    constexpr std::uint64_t kYear2200 = 7'258'118'400'000;
    if (!seen.all(kBids, kAsks, kTime, kChecksum) || entry.time_ms > kYear2200 ||
        entry.checksum != static_cast<std::int32_t>(entry.checksum) ||
        (market != nullptr && !convert(market->listing, wire_)))
      malformed_ = true;
    entry.last = levels_.size();
    entries_.push_back(entry);
    return true;
  }

  /// `[price, quantity, of no meaning, number of orders]`
  bool read_levels(Cursor& cursor, bool bids) {
    return cursor.array([&] {
      WireLevel& level = wire_.emplace_back();
      level.bid = bids;
      Decimal ignored;
      return cursor.take('[') && cursor.quoted(level.price) && cursor.take(',') &&
             cursor.quoted(level.quantity) && cursor.take(',') && cursor.quoted(ignored) &&
             cursor.take(',') && cursor.quoted(ignored) && cursor.take(']');
    });
  }

  void apply_entry(Market& market, const Entry& entry, bool is_snapshot, std::int64_t received_ns,
                   Sink& sink) {
    if (!is_snapshot && entry.chained && market.state == BookState::kLive &&
        entry.previous != static_cast<std::int64_t>(market.last_update)) {
      ++counts_.gaps;
      break_book(market, StaleReason::kGap, received_ns, sink);
      wish({Wish::Kind::kResubscribe, market.listing.instrument});
    }
    // A sequence is numbered anew when the venue's own is; -1 comes in snapshots alone, as the previous.
    market.last_update = static_cast<std::uint64_t>(entry.sequence);
    if (!change_book(market, is_snapshot, entry.first, entry.last, depth_)) return;
    const bool matches =
        market.book.okx_checksum(market.listing.ticks, market.listing.lots) == entry.checksum;
    if (matches) ++counts_.checksum_ok;
    verify_book(market, matches, static_cast<std::int64_t>(entry.time_ms) * 1'000'000,
                static_cast<std::uint64_t>(entry.sequence), received_ns, sink);
  }

  std::size_t depth_;
  std::vector<Entry> entries_;
  bool malformed_ = false, unknown_fields_ = false;
};

}  // namespace bot4
