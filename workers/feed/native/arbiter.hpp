// What several lines to one venue say, as if there were one.
//
// A line is one connection with its decoder. A second one makes a venue's feed redundant, and a line that
// replaces another overlaps with it. Each trade is told once, by its id. Quotes come from one line, the
// leader of the instrument, until that is stale: then another that is not leads at once, and only if there
// is none is the instrument stale.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "decoder.hpp"

namespace bot4 {

class Arbiter {
 public:
  /// One connection's way in. Before it goes, its decoder has to have said that it is lost.
  class Line final : public Sink {
   public:
    explicit Line(Arbiter& arbiter) : arbiter_(arbiter), of_(arbiter.markets_.size()) {
      arbiter_.lines_.push_back(this);
    }
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    ~Line() override { arbiter_.forget(this); }

    void tell(Market& record) override { arbiter_.take(*this, record); }

    /// Refuses a record that no decoder has made.
    void check(const Market& record) const {
      if (record.header.instrument >= of_.size())
        throw std::invalid_argument("instrument was " + std::to_string(record.header.instrument) +
                                    ", must be below " + std::to_string(of_.size()));
    }

   private:
    friend class Arbiter;
    /// What this line has said of an instrument.
    struct View {
      bool quoted = false;
      bool broken = false;
      bot4::Market quote{};  // the last one
    };
    Arbiter& arbiter_;
    std::vector<View> of_;
  };

  /// `comparable`: update ids are the instrument's, so that of two quotes on different lines the later one
  /// is known; otherwise they count something of their line.
  Arbiter(Sink& out, std::size_t instruments, bool comparable)
      : out_(out), comparable_(comparable), markets_(instruments) {}
  Arbiter(const Arbiter&) = delete;
  Arbiter& operator=(const Arbiter&) = delete;

  /// A predecessor has told trades up to `last_trade` (0: none) and, if so, that the instrument is stale.
  void resume(std::uint32_t instrument, std::uint64_t last_trade, bool stale) {
    Market& market = markets_.at(instrument);
    if (last_trade != 0) market.trades.add(last_trade);
    market.stale = stale;
  }

  /// A predecessor's word on an instrument does not hold any more.
  void doubt(std::uint32_t instrument, StaleReason reason, std::int64_t received_ns) {
    Market& market = markets_.at(instrument);
    if (market.stale) return;
    bot4::Market record{};
    record.header.instrument = instrument;
    record.header.received_ns = received_ns;
    record.kind = MarketKind::kStale;
    record.venue_sequence = static_cast<std::uint64_t>(reason);
    set_stale(market, record);
  }

  /// Ids of trades that no line has told although later ones were.
  struct Gap {
    std::uint32_t instrument;
    std::uint64_t first, last;
  };
  std::vector<Gap> take_gaps() { return std::exchange(gaps_, {}); }

  bool is_stale(std::uint32_t instrument) const { return markets_.at(instrument).stale; }
  std::uint64_t last_trade(std::uint32_t instrument) const { return markets_.at(instrument).trades.last(); }
  /// What was told, of all instruments, and what was not.
  struct Counts {
    std::uint64_t trades = 0;
    std::uint64_t quotes = 0;
    std::uint64_t stales = 0;
    std::uint64_t resyncs = 0;
    std::uint64_t repeated = 0;   // trades that another line had told
    std::uint64_t takeovers = 0;  // of an instrument by another line
  };
  const Counts& counts() const { return counts_; }

 private:
  /// What was told of an instrument.
  struct Market {
    TradeIds trades;
    Line* leader = nullptr;
    bool stale = false;
    bot4::Market quote{};  // the last one
  };

  void take(Line& line, bot4::Market& record) {
    const std::uint32_t instrument = record.header.instrument;
    Market& market = markets_[instrument];
    Line::View& view = line.of_[instrument];
    switch (record.kind) {
      case MarketKind::kTrade:
        take_trade(market, instrument, record);
        return;
      case MarketKind::kQuote:
        view.quoted = true;
        view.quote = record;
        if (market.leader == nullptr && (market.stale || !view.broken)) market.leader = &line;
        if (view.broken) {
          // On the way back, and not there yet: better than what was before.
          if (market.stale && market.leader == &line) tell_quote(market, record);
        } else if (market.stale) {
          // Of a predecessor in this process's place; a line that was broken says kResync before.
          resync(market, line, record);
          tell_quote(market, record);
        } else if (comparable_) {
          if (!is_later(market, record)) return;
          market.leader = &line;
          tell_quote(market, record);
        } else if (market.leader == &line) {
          tell_quote(market, record);
        }
        return;
      case MarketKind::kStale:
        view.broken = true;
        if (market.leader == &line || market.leader == nullptr) replace(market, instrument, record);
        return;
      case MarketKind::kResync:
        view.broken = false;
        if (market.stale) resync(market, line, record);
        return;
    }
  }

  void take_trade(Market& market, std::uint32_t instrument, bot4::Market& record) {
    const std::uint64_t last = market.trades.last();
    switch (market.trades.add(record.venue_sequence)) {
      case TradeIds::Seen::kKnown: ++counts_.repeated; return;
      case TradeIds::Seen::kNewAfterGap:
        if (gaps_.size() < kMostGaps) gaps_.push_back({instrument, last + 1, record.venue_sequence - 1});
        break;
      case TradeIds::Seen::kNew: break;
    }
    ++counts_.trades;
    out_.tell(record);
  }

  /// The leader is lost to the instrument: another one takes over, or it is stale.
  void replace(Market& market, std::uint32_t instrument, bot4::Market& stale) {
    for (Line* const other : lines_) {
      const Line::View& view = other->of_[instrument];
      if (other == market.leader || view.broken || !view.quoted) continue;
      market.leader = other;
      ++counts_.takeovers;
      bot4::Market quote = view.quote;
      if (comparable_ ? is_later(market, quote) : !same_prices(market.quote, quote))
        tell_quote(market, quote);
      return;
    }
    if (!market.stale) set_stale(market, stale);
  }

  void set_stale(Market& market, bot4::Market& record) {
    market.stale = true;
    ++counts_.stales;
    out_.tell(record);
  }

  void resync(Market& market, Line& line, const bot4::Market& because_of) {
    market.stale = false;
    market.leader = &line;
    market.quote = {};
    bot4::Market record{};
    record.header.instrument = because_of.header.instrument;
    record.header.received_ns = because_of.header.received_ns;
    record.kind = MarketKind::kResync;
    ++counts_.resyncs;
    out_.tell(record);
  }

  void tell_quote(Market& market, bot4::Market record) {
    market.quote = record;
    ++counts_.quotes;
    out_.tell(record);
  }

  static bool is_later(const Market& market, const bot4::Market& quote) {
    return quote.venue_sequence > market.quote.venue_sequence;
  }

  static bool same_prices(const bot4::Market& a, const bot4::Market& b) {
    return a.bid == b.bid && a.bid_quantity == b.bid_quantity && a.ask == b.ask &&
           a.ask_quantity == b.ask_quantity;
  }

  void forget(Line* line) {
    std::erase(lines_, line);
    for (Market& market : markets_)
      if (market.leader == line) market.leader = nullptr;
  }

  static constexpr std::size_t kMostGaps = 256;

  Sink& out_;
  bool comparable_;
  std::vector<Market> markets_;
  std::vector<Line*> lines_;
  std::vector<Gap> gaps_;
  Counts counts_;
};

}  // namespace bot4
