// How much may still be done: what the modes and the halt word of a step's context leave open to an
// order. pipeline/mode.py is the same in Python, with the table.
#pragma once

#include <cstdint>

#include "records.hpp"

namespace bot4 {

/// Context::mode. What is beyond the last one counts as that one.
enum Mode : std::uint64_t { kNormal = 0, kPaused = 1, kReduced = 2, kEmergency = 3 };

/// Nothing at all is sent when halted, and in an emergency only what reduces and is flagged so.
constexpr bool is_killed(const Context& context, bool reducing, bool flagged) {
  return context.halted != 0 || (context.mode >= kEmergency && !(reducing && flagged));
}

constexpr bool is_paused(const Context& context, bool reducing) {
  return context.mode == kPaused && !reducing;
}

constexpr bool is_reduce_only(const Context& context, bool reducing) {
  return context.mode >= kReduced && !reducing;
}

/// Whether risk closes what is held.
constexpr bool closes_positions(const Context& context) { return context.mode >= kReduced; }

}  // namespace bot4
