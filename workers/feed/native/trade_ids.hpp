// Which trades of an instrument were told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace bot4 {

/// The ids of an instrument's trades, so that each is told once however often and in which order it comes.
class TradeIds {
 public:
  enum class Seen { kNew, kNewAfterGap, kKnown };

  Seen add(std::uint64_t id) {
    if (id > last_) {
      const bool gap = last_ != 0 && id != last_ + 1;
      if (gap) {
        // Trades that come late split a gap: there may be more by now.
        while (missing_.size() >= kMostGaps) missing_.pop_front();
        missing_.push_back({last_ + 1, id - 1});
      }
      last_ = id;
      return gap ? Seen::kNewAfterGap : Seen::kNew;
    }
    for (auto each = missing_.begin(); each != missing_.end(); ++each) {
      if (id < each->first || id > each->last) continue;
      const Range whole = *each;
      each = missing_.erase(each);
      if (id < whole.last) each = missing_.insert(each, {id + 1, whole.last});
      if (whole.first < id) missing_.insert(each, {whole.first, id - 1});
      return Seen::kNew;
    }
    return Seen::kKnown;
  }
  std::uint64_t last() const { return last_; }

 private:
  static constexpr std::size_t kMostGaps = 64;  // of older ones, what comes late is taken as known

  struct Range {
    std::uint64_t first, last;
  };
  std::uint64_t last_ = 0;
  std::deque<Range> missing_;
};

}  // namespace bot4
