// How the feed publishes: each market record to two rings and the table of quotes, exactly once.
//
// The ring `market` is the record of what happened; the ring `ticks`, for the paper venue, is the same
// again. A feed that was killed between the two pushes left `ticks` behind by what `market` has more,
// and its successor copies that before anything else. The table holds the latest quote, so writing it
// again does no harm.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <deque>
#include <span>
#include <stdexcept>

#include "../../../pipeline/native/records.hpp"
#include "../../../shm/native/metrics.hpp"
#include "../../../shm/native/ring.hpp"
#include "../../../shm/native/table.hpp"
#include "sink.hpp"

namespace bot4 {

class Publisher {
 public:
  struct Words {
    shm::Word* committed;  // records published
    shm::Word* beat;
    shm::Word* first_ns;
    shm::Word* crash;      // [point:8][record:56], as in the stages' loop
  };
  /// Where a test may have the feed kill itself.
  enum class CrashPoint : std::uint8_t { kReceived = 1, kOnMarket = 2, kOnTicks = 3, kQuoted = 4 };

  Publisher(shm::RingHeader* market, shm::Bell ta, shm::RingHeader* ticks, shm::TableHeader* quotes,
            shm::HistogramWords* through, Words words)
      : market_ring_(market),
        ticks_ring_(ticks),
        market_(market, ta),
        ticks_(ticks),
        quotes_table_(quotes),
        quotes_(quotes),
        through_(through),
        words_(words) {
    while (ticks_.published() < market_.published())
      if (!ticks_.push(&at(ticks_.published())))
        throw std::runtime_error("ring ticks has no room for what ring market has; something has "
                                 "overwritten the segment, remove it");
    // The predecessor may have died between the pushes and the quote, or half-way through that.
    if (market_.published() != 0) write_quote(at(market_.published() - 1));
    words_.committed->store(market_.published(), std::memory_order_release);
  }

  /// Publishes a record, whose sequence, cause and stamp are filled in here. One without a position has
  /// that of the one before it. False if one of the rings is full: nothing was published then.
  bool publish(Market& record) {
    if (!has_room()) return false;
    crash_if(CrashPoint::kReceived);
    if (record.position == 0) record.position = position();
    const std::uint64_t sequence = market_.published();
    record.header.sequence = sequence;
    record.header.cause_step = sequence;
    record.header.cause_index = 0;
    record.header.stamped_ns = shm::monotonic_ns();
    market_.push(&record);
    crash_if(CrashPoint::kOnMarket);
    ticks_.push(&record);
    crash_if(CrashPoint::kOnTicks);
    write_quote(record);
    crash_if(CrashPoint::kQuoted);
    const std::int64_t now = shm::monotonic_ns();
    through_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - record.header.received_ns)));
    words_.committed->store(sequence + 1, std::memory_order_release);
    words_.beat->store(static_cast<std::uint64_t>(now), std::memory_order_relaxed);
    if (words_.first_ns->load(std::memory_order_relaxed) == 0)
      words_.first_ns->store(static_cast<std::uint64_t>(now), std::memory_order_relaxed);
    return true;
  }

  /// Something came over the link at `ns`, be it a PING: quotes that have not changed are not stale.
  void heard(std::int64_t ns) {
    for (std::uint32_t row = 0; row < quotes_table_->rows; ++row) heard(ns, row);
  }
  /// The same for the instruments of one venue's links.
  void heard(std::int64_t ns, std::span<const std::uint32_t> instruments) {
    for (const std::uint32_t instrument : instruments) heard(ns, instrument);
  }

  bool has_room() const { return has_room(market_ring_) && has_room(ticks_ring_); }
  std::uint64_t published() const { return market_.published(); }

  /// What was said of an instrument last, by whichever process.
  Quote quote(std::uint32_t instrument) const {
    Quote quote{};
    shm::TableReader(quotes_table_).read(instrument, &quote);
    return quote;
  }

  /// The highest trade id of an instrument that the ring still has; 0 if none.
  std::uint64_t last_trade(std::uint32_t instrument) {
    const std::uint64_t end = market_.published();
    const std::uint64_t begin = end - std::min(end, market_ring_->capacity);
    std::uint64_t highest = 0;
    for (std::uint64_t sequence = begin; sequence < end; ++sequence) {
      const Market& record = at(sequence);
      if (record.kind == MarketKind::kTrade && record.header.instrument == instrument)
        highest = std::max(highest, record.venue_sequence);
    }
    return highest;
  }

  /// How many trades and quotes the ring has at its end that are of the message at `position()`.
  std::uint64_t told_there() {
    const std::uint64_t end = market_.published();
    const std::uint64_t begin = end - std::min(end, market_ring_->capacity);
    std::uint64_t count = 0;
    for (std::uint64_t sequence = end; sequence > begin; --sequence) {
      const Market& record = at(sequence - 1);
      if (record.position != at(end - 1).position) break;
      if (is_of_the_market(record)) ++count;
    }
    return count;
  }

  /// Whether a venue said it, rather than the feed about what the venue said.
  static bool is_of_the_market(const Market& record) {
    return record.kind == MarketKind::kTrade || record.kind == MarketKind::kQuote;
  }

  /// Where the source is to go on; 0 if nothing was published yet, or the source has no positions.
  std::uint64_t position() {
    return market_.published() == 0 ? 0 : at(market_.published() - 1).position;
  }

 private:
  static bool has_room(const shm::RingHeader* ring) {
    // Acquire: the consumer's reads of a slot are over before it is written again. The producers
    // look once more for themselves.
    return ring->tail.load(std::memory_order_relaxed) -
               ring->head.load(std::memory_order_acquire) < ring->capacity;
  }

  const Market& at(std::uint64_t sequence) {
    return reinterpret_cast<const Market*>(
        market_ring_->slots())[sequence & (market_ring_->capacity - 1)];
  }

  void heard(std::int64_t ns, std::uint32_t instrument) {
    Quote quote = this->quote(instrument);
    if (quote.received_ns == 0 || quote.link_ns >= ns) return;
    quote.link_ns = ns;
    quotes_.write(instrument, &quote);
  }

  void write_quote(const Market& record) {
    const std::uint32_t instrument = record.header.instrument;
    Quote quote = this->quote(instrument);
    if (record.kind == MarketKind::kQuote) {
      quote.bid = record.bid;
      quote.bid_quantity = record.bid_quantity;
      quote.ask = record.ask;
      quote.ask_quantity = record.ask_quantity;
      quote.received_ns = record.header.received_ns;
    }
    if (record.kind == MarketKind::kStale) quote.stale = record.venue_sequence;
    if (record.kind == MarketKind::kResync) quote.stale = 0;
    quote.link_ns = record.header.received_ns;
    quotes_.write(instrument, &quote);
  }

  void crash_if(CrashPoint point) {
    const std::uint64_t crash = words_.crash->load(std::memory_order_relaxed);
    if (crash == 0) [[likely]]
      return;
    const std::uint64_t record = crash & ((std::uint64_t{1} << 56) - 1);
    if (market_.published() < record || static_cast<CrashPoint>(crash >> 56) != point) return;
    words_.crash->store(0, std::memory_order_relaxed);
    kill(getpid(), SIGKILL);
  }

  shm::RingHeader* market_ring_;
  shm::RingHeader* ticks_ring_;
  shm::RingProducer market_;
  shm::RingProducer ticks_;
  shm::TableHeader* quotes_table_;
  shm::TableWriter quotes_;
  shm::HistogramWriter through_;
  Words words_;
};

/// Publishes what is told. What finds no room is kept, in order: a message may tell more than one record,
/// and is not to be read again. Who reads the messages stops until `flush` is true.
///
/// A source may number its messages (`at`) and send them all again on each connection (`begin`), so that
/// what is kept of them, books above all, is made anew. Trades and quotes that were published are then
/// dropped; that something is stale or is not any more is told when it is so.
class Outbox final : public Sink {
 public:
  explicit Outbox(Publisher& publisher) : publisher_(publisher) {}

  /// A predecessor has told all of the messages before `position`, and so many records of that one.
  void resume(std::uint64_t position, std::uint64_t records) {
    resume_ = position;
    records_ = records;
  }

  /// The source begins anew. Returns behind which message it goes on.
  std::uint64_t begin() {
    if (at_ != 0 && at_ >= resume_) resume(at_ + 1, 0);
    at_ = 0;
    return resume_ == 0 ? 0 : resume_ - 1;
  }

  /// What is told from now on is of the message with that number, from 1.
  void at(std::uint64_t position) {
    at_ = position;
    left_ = position < resume_ ? ~std::uint64_t{0} : position == resume_ ? records_ : 0;
  }

  void tell(Market& record) override {
    if (at_ != 0) {
      if (left_ != 0 && Publisher::is_of_the_market(record)) {
        --left_;
        ++(record.kind == MarketKind::kTrade ? dropped_.trades : dropped_.quotes);
        return;
      }
      record.position = std::max(at_, resume_);
    }
    if (!kept_.empty() || !publisher_.publish(record)) kept_.push_back(record);
  }

  /// Publishes as much as there is room for. True if nothing is left.
  bool flush() {
    while (!kept_.empty() && publisher_.publish(kept_.front())) kept_.pop_front();
    return kept_.empty();
  }

  std::size_t kept() const { return kept_.size(); }

  /// Of what was told here, that which had been published.
  struct Dropped {
    std::uint64_t trades = 0;
    std::uint64_t quotes = 0;
  };
  const Dropped& dropped() const { return dropped_; }

  /// Where the source is to go on: behind what is kept, too.
  std::uint64_t position() {
    for (auto each = kept_.rbegin(); each != kept_.rend(); ++each)
      if (each->position != 0) return each->position;
    return publisher_.position();
  }

 private:
  Publisher& publisher_;
  std::deque<Market> kept_;
  std::uint64_t at_ = 0;       // 0: positions are the source's, if it has any
  std::uint64_t resume_ = 0;   // messages before it were told, ...
  std::uint64_t records_ = 0;  // ... and so many records of it
  std::uint64_t left_ = 0;     // of this message, to be dropped
  Dropped dropped_;
};

}  // namespace bot4
