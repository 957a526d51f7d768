// What a decoder tells: trades, best prices, and whether they hold.
#pragma once

#include <vector>

#include "../../../pipeline/native/records.hpp"

namespace bot4 {

/// Why what was said of an instrument does not hold any more: `venue_sequence` of a kStale.
enum class StaleReason : std::uint64_t {
  kGap = 1,       // a message was lost
  kChecksum = 2,  // the book is not the venue's
  kCrossed = 3,   // bid >= ask
  kSilence = 4,   // the connection said nothing for longer than it can
  kDisconnected = 5,
};

/// Takes records in the order in which they became known. All but the sequence, the cause and the stamp,
/// which are the publisher's, is filled in.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void tell(Market& record) = 0;
};

/// Keeps them.
class Recorder final : public Sink {
 public:
  void tell(Market& record) override { records.push_back(record); }

  std::vector<Market> records;
};

}  // namespace bot4
