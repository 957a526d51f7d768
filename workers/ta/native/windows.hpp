// How many bars each indicator looks at.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "state.hpp"

namespace bot4 {

struct Windows {
  std::uint64_t fast, slow;  // of the moving averages
  std::uint64_t macd_fast, macd_slow, macd_signal;
  std::uint64_t rsi, bollinger, atr, adx;
  std::uint64_t stochastic, stochastic_signal;
  std::uint64_t vwap, cci, mfi, keltner, donchian, roc, williams, volatility;
};

/// A key of the configuration, and the most that it may be.
struct WindowKey {
  const char* name;
  std::uint64_t Windows::*window;
  std::uint64_t most;
};

inline constexpr std::uint64_t kFading = 1000;  // exponential means keep no window: any will do
inline constexpr WindowKey kWindowKeys[] = {
    {"fast", &Windows::fast, IndicatorState::kLong},
    {"slow", &Windows::slow, IndicatorState::kLong},
    {"macd_fast", &Windows::macd_fast, kFading},
    {"macd_slow", &Windows::macd_slow, kFading},
    {"macd_signal", &Windows::macd_signal, kFading},
    {"rsi", &Windows::rsi, kFading},
    {"bollinger", &Windows::bollinger, IndicatorState::kWindow},
    {"atr", &Windows::atr, kFading},
    {"adx", &Windows::adx, kFading},
    {"stochastic", &Windows::stochastic, IndicatorState::kWindow},
    {"stochastic_signal", &Windows::stochastic_signal, IndicatorState::kWindow},
    {"vwap", &Windows::vwap, IndicatorState::kWindow},
    {"cci", &Windows::cci, IndicatorState::kWindow},
    {"mfi", &Windows::mfi, IndicatorState::kWindow},
    {"keltner", &Windows::keltner, IndicatorState::kWindow},
    {"donchian", &Windows::donchian, IndicatorState::kWindow},
    {"roc", &Windows::roc, IndicatorState::kWindow},
    {"williams", &Windows::williams, IndicatorState::kWindow},
    {"volatility", &Windows::volatility, IndicatorState::kWindow},
};
static_assert(sizeof(Windows) == sizeof kWindowKeys / sizeof *kWindowKeys * sizeof(std::uint64_t));

/// Keeps whoever did not ask within the rings. Throws std::invalid_argument.
inline const Windows& checked(const Windows& windows) {
  for (const WindowKey& key : kWindowKeys) {
    const std::uint64_t window = windows.*key.window;
    if (window < 1 || window > key.most)
      throw std::invalid_argument(std::string("window ") + key.name + " was " +
                                  std::to_string(window) + ", must be in 1 .. " +
                                  std::to_string(key.most));
  }
  return windows;
}

}  // namespace bot4
