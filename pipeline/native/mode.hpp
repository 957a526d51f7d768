// How much may still be done: what the modes and the halt word of a step's context leave open to an
// order. pipeline/mode.py is the same in Python, with the table.
#pragma once

#include <cstdint>

#include "records.hpp"
#include "vocabulary.hpp"

namespace bot4 {

/// What is beyond the last mode counts as that one.
constexpr Mode mode_of(const Context& context) {
  return context.mode < static_cast<std::uint64_t>(Mode::kEmergency)
             ? static_cast<Mode>(context.mode)
             : Mode::kEmergency;
}

/// Nothing at all is sent when halted, and in an emergency only what reduces and is flagged so.
constexpr bool is_killed(const Context& context, bool reducing, bool flagged) {
  return context.halted != 0 || (mode_of(context) == Mode::kEmergency && !(reducing && flagged));
}

constexpr bool is_paused(const Context& context, bool reducing) {
  return mode_of(context) == Mode::kPaused && !reducing;
}

constexpr bool is_reduce_only(const Context& context, bool reducing) {
  return mode_of(context) >= Mode::kReduced && !reducing;
}

/// Whether risk closes what is held.
constexpr bool closes_positions(const Context& context) { return mode_of(context) >= Mode::kReduced; }

}  // namespace bot4
