// What the decoders of all venues share: one object a connection, with the books of its instruments.
//
// A message is read to its end and every number in it is converted before anything is done about it,
// so that a message that is refused has changed nothing. What it should have changed shows at the next
// one, by sequence or checksum.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "book.hpp"
#include "rfc3339.hpp"
#include "scan.hpp"
#include "sink.hpp"
#include "trade_ids.hpp"
#include "vocabulary.hpp"

namespace bot4 {

class Decoder {
 public:
  static constexpr std::size_t kUnlimited = ~std::size_t{0};

  virtual ~Decoder() = default;

  Verdict decode(std::string_view text, std::int64_t received_ns, Sink& sink) {
    ++counts_.messages;
    return counted(take(text, received_ns, sink));
  }

  /// The same for a message for which that was kFallback, in the library parser's plain spelling.
  Verdict decode_again(std::string_view text, std::int64_t received_ns, Sink& sink) {
    const Verdict verdict = take(text, received_ns, sink);
    return counted(verdict == Verdict::kFallback ? Verdict::kMalformed : verdict);
  }

  /// The library parser could not read it either.
  void refuse() { ++counts_.malformed; }

  /// The answer to Wish::kSnapshot. kFallback as above.
  virtual Verdict snapshot(std::uint32_t, std::string_view, std::int64_t, Sink&) {
    throw std::invalid_argument("snapshots of this venue's books come with its messages");
  }

  /// A trade from elsewhere: the answer to Wish::kTrades. False if it was known.
  bool trade(std::uint32_t instrument, std::uint64_t id, std::int64_t price, std::int64_t quantity,
             Side aggressor, std::int64_t venue_ns, std::int64_t received_ns, Sink& sink) {
    return tell_trade(market_of(instrument), {price, quantity, id, venue_ns, 0, aggressor}, received_ns,
                      sink, false);
  }

  /// A new connection: its sequences begin anew. `lost` comes before.
  virtual void connected() {
    for (const auto& market : markets_) market->last_ticker = 0;
  }

  /// Nothing that was told holds any more.
  void lost(StaleReason reason, std::int64_t received_ns, Sink& sink) {
    for (const auto& market : markets_) {
      if (market->state == BookState::kLive) break_book(*market, reason, received_ns, sink);
      else if (market->state == BookState::kWaiting) market->state = BookState::kNew;
      if (market->last_top.told && quotes_ == QuoteSource::kTicker)
        set_broken(*market, kTickerBroken, reason, received_ns, sink);
    }
    forget();
  }

  const Counts& counts() const { return counts_; }
  bool has_wishes() const { return !wishes_.empty(); }
  std::vector<Wish> take_wishes() { return std::exchange(wishes_, {}); }
  BookState state(std::uint32_t instrument) { return market_of(instrument).state; }
  const Book& book(std::uint32_t instrument) { return market_of(instrument).book; }
  std::uint64_t last_trade(std::uint32_t instrument) { return market_of(instrument).trades.last(); }

 protected:
  static constexpr std::uint8_t kBookBroken = 1, kTickerBroken = 2;

  /// The best prices, and what was told of them last.
  struct Top {
    std::int64_t bid = 0, bid_quantity = 0, ask = 0, ask_quantity = 0;
    bool told = false;

    bool operator==(const Top&) const = default;
    bool crossed() const { return bid != 0 && ask != 0 && bid >= ask; }
  };

  /// What is known of an instrument.
  struct Market {
    explicit Market(Listing of) : listing(std::move(of)) {}

    Listing listing;
    Book book;
    BookState state = BookState::kNew;
    std::uint8_t broken = 0;          // kBookBroken, kTickerBroken
    std::uint64_t last_ticker = 0;    // update id
    std::uint64_t last_update = 0;    // of the book, or of what is kept for it
    Top last_top;
    TradeIds trades;
  };

  struct Trade {
    std::int64_t price, quantity;
    std::uint64_t id;
    std::int64_t venue_ns;
    std::uint64_t position;
    Side aggressor;
  };

  /// A level as it was written.
  struct WireLevel {
    Decimal price, quantity;
    bool bid;
  };

  /// `whole_lots`: of quantities in books and of best prices only these are kept.
  Decoder(std::vector<Listing> listings, QuoteSource quotes, bool whole_lots = false)
      : quotes_(quotes), whole_lots_(whole_lots) {
    for (Listing& listing : listings) {
      const std::string symbol = listing.symbol;
      markets_.push_back(std::make_unique<Market>(std::move(listing)));
      if (!by_symbol_.emplace(symbol, markets_.back().get()).second)
        throw std::invalid_argument("symbol " + symbol + " was listed twice, must be once");
    }
  }

  /// Reads a message to its end, then does what it says.
  virtual Verdict take(std::string_view text, std::int64_t received_ns, Sink& sink) = 0;

  /// The connection was lost: what a venue keeps besides books.
  virtual void forget() {}

  Market* find(std::string_view symbol) {
    // Most messages are about the instrument of the last one.
    if (last_found_ != nullptr && last_found_->listing.symbol == symbol) return last_found_;
    const auto found = by_symbol_.find(symbol);
    return last_found_ = found == by_symbol_.end() ? nullptr : found->second;
  }

  Market& market_of(std::uint32_t instrument) {
    for (const auto& market : markets_)
      if (market->listing.instrument == instrument) return *market;
    throw std::invalid_argument("instrument was " + std::to_string(instrument) +
                                ", must be one that the decoder was made with");
  }

  /// What rests in a book may be no multiple of the lot, if an order is older than that. Its whole lots
  /// are what can be traded. A checksum, however, is of all digits.
  bool convert_resting(const Listing& listing, Decimal quantity, std::int64_t& out) const {
    return whole_lots_ ? listing.lots.whole_units(quantity, out) : listing.lots.units(quantity, out);
  }

  /// False if a price is no multiple of the tick or is 0, or a quantity cannot be.
  bool convert(const Listing& listing, const WireLevel& wire, Level& out) const {
    out.price_decimals = wire.price.decimals;
    out.quantity_decimals = wire.quantity.decimals;
    return listing.ticks.units(wire.price, out.price) && out.price != 0 &&
           convert_resting(listing, wire.quantity, out.quantity);
  }

  /// Appends them to `levels_`.
  bool convert(const Listing& listing, std::span<const WireLevel> wire) {
    for (const WireLevel& each : wire) {
      Level level;
      if (!convert(listing, each, level)) return false;
      levels_.push_back({level, each.bid});
    }
    return true;
  }

  static bool convert_trade(const Listing& listing, Decimal price, Decimal quantity, Trade& out) {
    return listing.ticks.units(price, out.price) && listing.lots.units(quantity, out.quantity) &&
           out.price != 0 && out.quantity != 0;
  }

  bool convert_top(const Listing& listing, Decimal bid, Decimal bid_quantity, Decimal ask,
                   Decimal ask_quantity, Top& out) const {
    return listing.ticks.units(bid, out.bid) &&
           convert_resting(listing, bid_quantity, out.bid_quantity) &&
           listing.ticks.units(ask, out.ask) && convert_resting(listing, ask_quantity, out.ask_quantity);
  }

  struct BookLevel {
    Level level;
    bool bid;
  };

  static void apply(Book& book, std::span<const BookLevel> levels) {
    for (const BookLevel& each : levels) {
      if (each.bid) book.bids.set(each.level);
      else book.asks.set(each.level);
    }
  }

  bool tell_trade(Market& market, const Trade& trade, std::int64_t received_ns, Sink& sink,
                  bool contiguous) {
    switch (market.trades.add(trade.id)) {
      case TradeIds::Seen::kKnown: ++counts_.repeated; return false;
      case TradeIds::Seen::kNew: break;
      case TradeIds::Seen::kNewAfterGap:
        if (contiguous) ++counts_.trade_gaps;
        break;
    }
    bot4::Market record = about(market, MarketKind::kTrade, trade.venue_ns, received_ns);
    record.price = trade.price;
    record.quantity = trade.quantity;
    record.aggressor = trade.aggressor;
    record.venue_sequence = trade.id;
    record.position = trade.position;
    ++counts_.trades;
    sink.tell(record);
    return true;
  }

  /// The venue's own word on the best prices.
  void tell_ticker(Market& market, Top top, std::int64_t venue_ns, std::uint64_t sequence,
                   std::uint64_t position, std::int64_t received_ns, Sink& sink) {
    ++counts_.tickers;
    if (quotes_ != QuoteSource::kTicker) return;
    if (top.crossed()) {
      ++counts_.crossed;
      set_broken(market, kTickerBroken, StaleReason::kCrossed, received_ns, sink);
      return;
    }
    clear_broken(market, kTickerBroken, received_ns, sink);
    tell_quote(market, top, venue_ns, sequence, position, received_ns, sink);
  }

  /// After a book that is live has changed: false if it cannot be, and then it is stale.
  bool tell_book(Market& market, std::int64_t venue_ns, std::uint64_t sequence,
                 std::int64_t received_ns, Sink& sink) {
    if (market.book.crossed()) {
      ++counts_.crossed;
      break_book(market, StaleReason::kCrossed, received_ns, sink);
      return false;
    }
    market.state = BookState::kLive;
    clear_broken(market, kBookBroken, received_ns, sink);
    if (quotes_ != QuoteSource::kBook) return true;
    Top top;
    if (market.book.bids.size() != 0) {
      top.bid = market.book.bids.best().price;
      top.bid_quantity = market.book.bids.best().quantity;
    }
    if (market.book.asks.size() != 0) {
      top.ask = market.book.asks.best().price;
      top.ask_quantity = market.book.asks.best().quantity;
    }
    top.told = true;
    if (top != market.last_top) tell_quote(market, top, venue_ns, sequence, 0, received_ns, sink);
    return true;
  }

  /// A book does not hold any more, or, if it never did, has to be waited for anew.
  void break_book(Market& market, StaleReason reason, std::int64_t received_ns, Sink& sink) {
    const bool was_live = market.state == BookState::kLive;
    if (was_live || market.state == BookState::kStale) {
      market.state = BookState::kStale;
      set_broken(market, kBookBroken, reason, received_ns, sink);
    } else {
      market.state = BookState::kWaiting;
    }
    market.book.clear();
  }

  /// A message about a book whose snapshots come over the connection; its levels are in `levels_` from
  /// `first` up to `last`. False if it was ignored, as there is no book that it could change.
  bool change_book(Market& market, bool is_snapshot, std::size_t first, std::size_t last,
                   std::size_t depth) {
    ++counts_.book_updates;
    if (is_snapshot) {
      ++counts_.snapshots;
      market.book.clear();
    } else if (market.state != BookState::kLive) {
      // Once: the snapshot may be under way, and its subscriber is patient.
      if (market.state == BookState::kNew) {
        market.state = BookState::kWaiting;
        wish({Wish::Kind::kResubscribe, market.listing.instrument});
      }
      return false;
    }
    apply(market.book, std::span(levels_).subspan(first, last - first));
    market.book.truncate(depth);
    return true;
  }

  /// Goes on after `change_book`: `matches` if there was no checksum, or the right one.
  void verify_book(Market& market, bool matches, std::int64_t venue_ns, std::uint64_t sequence,
                   std::int64_t received_ns, Sink& sink) {
    if (!matches) {
      ++counts_.checksum_failed;
      break_book(market, StaleReason::kChecksum, received_ns, sink);
    }
    if (!matches || !tell_book(market, venue_ns, sequence, received_ns, sink))
      wish({Wish::Kind::kResubscribe, market.listing.instrument});
  }

  void wish(Wish wish) {
    for (const Wish& each : wishes_)
      if (each.kind == wish.kind && each.instrument == wish.instrument && each.first == wish.first) return;
    wishes_.push_back(wish);
  }

  Counts counts_;
  QuoteSource quotes_;
  bool whole_lots_;
  std::vector<std::unique_ptr<Market>> markets_;
  // Of the message that is being read; kept for their memory.
  std::vector<WireLevel> wire_;
  std::vector<BookLevel> levels_;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  Verdict counted(Verdict verdict) {
    switch (verdict) {
      case Verdict::kOk: break;
      case Verdict::kControl: ++counts_.control; break;
      case Verdict::kUnknown: ++counts_.unknown; break;
      case Verdict::kFallback: ++counts_.fallback; break;
      case Verdict::kMalformed: ++counts_.malformed; break;
    }
    return verdict;
  }

  static bot4::Market about(const Market& market, MarketKind kind, std::int64_t venue_ns,
                            std::int64_t received_ns) {
    bot4::Market record{};
    record.header.instrument = market.listing.instrument;
    record.header.venue_ns = venue_ns;
    record.header.received_ns = received_ns;
    record.kind = kind;
    return record;
  }

  void tell_quote(Market& market, Top top, std::int64_t venue_ns, std::uint64_t sequence,
                  std::uint64_t position, std::int64_t received_ns, Sink& sink) {
    bot4::Market record = about(market, MarketKind::kQuote, venue_ns, received_ns);
    record.bid = top.bid;
    record.bid_quantity = top.bid_quantity;
    record.ask = top.ask;
    record.ask_quantity = top.ask_quantity;
    record.venue_sequence = sequence;
    record.position = position;
    top.told = true;
    market.last_top = top;
    sink.tell(record);
  }

  void set_broken(Market& market, std::uint8_t what, StaleReason reason, std::int64_t received_ns,
                  Sink& sink) {
    const bool held = market.broken == 0;
    market.broken |= what;
    if (!held) return;
    bot4::Market record = about(market, MarketKind::kStale, 0, received_ns);
    record.venue_sequence = static_cast<std::uint64_t>(reason);
    ++counts_.stales;
    sink.tell(record);
  }

  void clear_broken(Market& market, std::uint8_t what, std::int64_t received_ns, Sink& sink) {
    if ((market.broken & what) == 0) return;
    market.broken = static_cast<std::uint8_t>(market.broken & ~what);
    if (quotes_ == QuoteSource::kBook) market.last_top = {};  // told again, changed or not
    if (market.broken != 0) return;
    bot4::Market record = about(market, MarketKind::kResync, 0, received_ns);
    ++counts_.resyncs;
    sink.tell(record);
  }

  std::unordered_map<std::string, Market*, Hash, std::equal_to<>> by_symbol_;
  Market* last_found_ = nullptr;
  std::vector<Wish> wishes_;
};

}  // namespace bot4
