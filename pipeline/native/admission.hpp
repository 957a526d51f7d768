// What the circuit breakers leave open to an order, as a step's context tells of them.
// pipeline/admission.py is the same in Python, and says which bits are whose.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../../shm/native/breakers.hpp"
#include "records.hpp"

namespace bot4 {

class Admission {
 public:
  /// Bits of Context::blocked and Context::forced: for each instrument those of its venue; and
  /// those of whoever makes intents.
  ///
  /// Throws std::invalid_argument if there are not as many masks as instruments.
  Admission(std::vector<std::uint64_t> venue_masks, std::uint64_t strategy_mask,
            std::size_t instruments)
      : venue_masks_(std::move(venue_masks)), strategy_mask_(strategy_mask) {
    if (venue_masks_.size() != instruments)
      throw std::invalid_argument("venue_masks: their number was " +
                                  std::to_string(venue_masks_.size()) +
                                  ", must be that of the instruments, " +
                                  std::to_string(instruments));
  }

  /// Whether an order may go on. One that reduces is stopped only by an operator's word about its
  /// venue: or nothing could ever recover.
  bool admits(const Context& context, std::size_t instrument, bool reducing) const {
    const std::uint64_t venue = venue_masks_[instrument];
    if ((context.forced & venue) != 0) return false;
    if (reducing) return true;
    // By the states that are good: one that nobody knows must stop us.
    return (context.global == static_cast<std::uint64_t>(shm::GlobalState::kClosed) ||
            context.global == static_cast<std::uint64_t>(shm::GlobalState::kDegraded)) &&
           (context.blocked & (venue | strategy_mask_)) == 0;
  }

  /// Which breakers are not closed of those that it depends on.
  std::uint64_t blocking(const Context& context, std::size_t instrument) const {
    return (context.blocked | context.forced) & (venue_masks_[instrument] | strategy_mask_);
  }

 private:
  std::vector<std::uint64_t> venue_masks_;
  std::uint64_t strategy_mask_;
};

}  // namespace bot4
