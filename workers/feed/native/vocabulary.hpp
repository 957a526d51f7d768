// The words between a decoder and its connection; workers/feed/decoding.py has them for Python.
#pragma once

#include <cstdint>
#include <string>

#include "decimal.hpp"

namespace bot4 {

enum class Verdict : std::uint8_t {
  kOk = 0,
  kControl = 1,    // a reply, a heartbeat, a notice: the connection may want to look at it
  kUnknown = 2,    // of a type or a symbol that is of no interest
  kFallback = 3,   // not the shape known here: the library parser has to read it
  kMalformed = 4,  // it says what cannot be
};

/// From the first message about it, a book is kWaiting for its snapshot, or, if it was live before, kStale.
enum class BookState : std::uint8_t { kNew = 0, kWaiting = 1, kLive = 2, kStale = 3 };

/// Where best prices come from: the top of the book, or the venue's own message about them.
enum class QuoteSource : std::uint8_t { kBook = 0, kTicker = 1 };

struct Counts {
  std::uint64_t messages = 0;
  std::uint64_t trades = 0;
  std::uint64_t tickers = 0;
  std::uint64_t book_updates = 0;     // messages about books, applied or kept for it; no REST snapshots
  std::uint64_t snapshots = 0;        // of books
  std::uint64_t gaps = 0;             // in the sequence of messages
  std::uint64_t trade_gaps = 0;       // in the trades' ids
  std::uint64_t checksum_ok = 0;
  std::uint64_t checksum_failed = 0;
  std::uint64_t crossed = 0;
  std::uint64_t stales = 0;
  std::uint64_t resyncs = 0;
  std::uint64_t repeated = 0;         // trades and updates that were known already
  std::uint64_t control = 0;
  std::uint64_t unknown = 0;
  std::uint64_t unknown_fields = 0;   // messages with such; they count as what they are as well
  std::uint64_t fallback = 0;
  std::uint64_t malformed = 0;
};

/// What the connection has to do so that a decoder can go on.
struct Wish {
  enum class Kind : std::uint8_t {
    kSnapshot = 1,     // fetch one of the book, over REST
    kResubscribe = 2,  // to the book, for a new snapshot
    kTrades = 3,       // fetch those with ids from `first` to `last`
  };
  Kind kind;
  std::uint32_t instrument;
  std::uint64_t first = 0, last = 0;
};

/// An instrument, as its venue names and scales it.
struct Listing {
  std::string symbol;
  std::uint32_t instrument;  // index into the configured instruments
  Scale ticks, lots;
};

}  // namespace bot4
