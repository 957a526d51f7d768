// What operators ask for: flows of money, modes and limits. workers/risk/control.py is the same in
// slow, obvious Python.
#pragma once

#include <stdexcept>
#include <string>

#include "ledger.hpp"

namespace bot4::risk {

namespace detail {

/// Keeps what a limit is to be; nothing is compared with it yet.
inline void set(const Ledger& ledger, const Control& control, State& state) {
  if (control.index >= ledger.limits().count())
    throw std::invalid_argument("control " + std::to_string(control.header.sequence) +
                                ": index was " + std::to_string(control.index) +
                                ", must be below " + std::to_string(ledger.limits().count()));
  auto& limit = state.edit<RiskLimit>(kLimits, control.index);
  limit.request = control.request;
  limit.next = control.amount;
}

/// Puts the limits in force that this request has set. `see_limits` follows with the next step.
inline bool apply(const Control& control, RiskAccount& account, State& state) {
  for (std::size_t i = 0; i < state.count(kLimits); ++i) {
    if (const auto& limit = state.read<RiskLimit>(kLimits, i);
        limit.request == 0 || limit.request != control.request)
      continue;
    auto& limit = state.edit<RiskLimit>(kLimits, i);
    limit = {1, limit.next, 0, 0};
  }
  account.limits += 1;
  return true;
}

/// Begins the counts of orders in a row anew: an operator has seen to what they were of.
[[gnu::noinline, gnu::cold]] inline void enable(State& state) {
  for (std::size_t i = 0; i < state.count(kSignals); ++i)
    if (state.read<RiskSignal>(kSignals, i).count != 0) state.edit<RiskSignal>(kSignals, i) = {};
}

/// Does what a control says; false if that is refused.
inline bool act(const Ledger& ledger, const Context& context, const Control& control,
                RiskAccount& account, State& state) {
  switch (control.kind) {
    case ControlKind::kFlow: {
      if (control.index > ledger.currencies.count())
        throw std::invalid_argument("control " + std::to_string(control.header.sequence) +
                                    ": index was " + std::to_string(control.index) +
                                    ", must be at most " +
                                    std::to_string(ledger.currencies.count()));
      const bool is_booked =
          control.index == 0
              ? book_flow(account, control.amount)
              : book_flow(account, state.edit<RiskCurrency>(kCurrencies, control.index - 1),
                          control.amount);
      ledger.check_conservation(state);
      return is_booked;
    }
    case ControlKind::kResume:
      enable(state);
      // A pause that is there, and none that is still to come.
      if (account.mode == static_cast<std::uint64_t>(Mode::kPaused)) account.resumed = 1;
      resume(account, ledger.settings(), context.now_ns);
      return true;
    case ControlKind::kReset:
      if (!reset(account, ledger.settings(), control.amount == 1)) return false;
      enable(state);
      return true;
    case ControlKind::kReconciled:
      account.unreconciled = control.amount == 1 ? 0 : 1;
      return true;
    case ControlKind::kApply: return apply(control, account, state);
    case ControlKind::kSet: break;
  }
  throw std::invalid_argument("control " + std::to_string(control.header.sequence) +
                              ": kind was " + std::to_string(static_cast<int>(control.kind)) +
                              ", must be in 1 .. 6");
}

}  // namespace detail

/// A request that was dealt with is not again: whoever hands it on may have been killed meanwhile.
inline void obey(const Ledger& ledger, const Context& context, const Control& control,
                 State& state) {
  RiskAccount& account = edit_account(state);
  if (control.request != 0 && control.request <= account.request) return;
  if (control.kind == ControlKind::kSet) return detail::set(ledger, control, state);
  const bool is_done = detail::act(ledger, context, control, account, state);
  if (control.request == 0) return;
  account.request = control.request;
  account.refused = is_done ? 0 : 1;
}

}  // namespace bot4::risk
