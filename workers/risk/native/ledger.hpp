// What every step of risk works on: the cells and where they are, the limits in force, and the books of
// each currency, in which money is conserved. workers/risk/ledger.py is the same in slow, obvious
// Python.
#pragma once

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../../../pipeline/native/admission.hpp"
#include "../../../pipeline/native/kernel.hpp"
#include "../../ta/native/kept_correlations.hpp"
#include "currency.hpp"
#include "limits.hpp"
#include "portfolio.hpp"
#include "state.hpp"

namespace bot4::risk {

/// Groups of cells and output rings, in the order of the stage's declaration.
enum Group : std::size_t {
  kAccount, kInstruments, kOrders, kVenues, kClasses, kStrategies, kSignals, kRecent, kSpreads,
  kOpen, kCorrelations, kDecisions, kCodes, kLimits, kCurrencies
};
enum Output : std::size_t { kOrdersOut, kOutcomesOut };

inline const RiskAccount& account(const State& state) {
  return state.read<RiskAccount>(kAccount, 0);
}
inline RiskAccount& edit_account(State& state) { return state.edit<RiskAccount>(kAccount, 0); }
inline const RiskOrder& order_of(std::uint64_t order_id, const State& state) {
  return state.read<RiskOrder>(kOrders, order_id % state.count(kOrders));
}
constexpr std::uint64_t place(std::int64_t of) { return static_cast<std::uint64_t>(of); }

/// What does not change while risk runs, and the limits in force. All else is state.
class Ledger {
 public:
  Ledger(Currencies of, RiskLimits limits, Admission admission_by, std::vector<Instrument> traded)
      : currencies(std::move(of)),
        admission(std::move(admission_by)),
        instruments(std::move(traded)),
        configured_(std::move(limits)),
        limits_(configured_) {
    if (limits_.instruments.size() != instruments.size())
      throw std::invalid_argument("number of instruments with limits was " +
                                  std::to_string(limits_.instruments.size()) + ", must be " +
                                  std::to_string(instruments.size()));
    for (const auto* each : {&currencies.quoted, &currencies.converts})
      if (each->size() != instruments.size() ||
          std::any_of(each->begin(), each->end(),
                      [&](std::uint32_t number) { return number > currencies.count(); }))
        throw std::invalid_argument("number of a currency must be given for each instrument, and be " +
                                    std::to_string(currencies.count()) + " at most");
    if (currencies.is_base.size() != currencies.count())
      throw std::invalid_argument("number of currencies was " +
                                  std::to_string(currencies.is_base.size()) + ", must be " +
                                  std::to_string(currencies.count()));
  }

  /// Those in force.
  const RiskLimits& limits() const { return limits_; }
  const RiskSettings& settings() const { return limits_.settings; }

  /// The limits in force are state; what lies here is as those cells say, for as long as nobody
  /// changes them.
  bool has_seen_limits(const State& state) const { return account(state).limits == seen_; }
  void see_limits(const State& state) {
    limits_ = configured_;
    for (std::size_t i = 0; i < configured_.count(); ++i)
      if (const auto& limit = state.read<RiskLimit>(kLimits, i); limit.changed != 0)
        limits_.at(i) = limit.value;
    seen_ = account(state).limits;
  }

  /// With a bit for each instrument; kOpen has so many for the longs, then as many for the shorts.
  std::size_t words() const { return (instruments.size() + 63) / 64; }

  /// That of an instrument's prices; null if it is the account's own.
  const RiskCurrency* currency(std::uint32_t index, const State& state) const {
    const std::uint32_t number = currencies.quoted[index];
    return number == 0 ? nullptr : &state.read<RiskCurrency>(kCurrencies, number - 1);
  }
  RiskCurrency* edit_currency(std::uint32_t index, State& state) const {
    const std::uint32_t number = currencies.quoted[index];
    return number == 0 ? nullptr : &state.edit<RiskCurrency>(kCurrencies, number - 1);
  }
  std::int64_t& reserved_of(std::uint32_t index, State& state) const {
    RiskCurrency* const of = edit_currency(index, state);
    return of == nullptr ? edit_account(state).reserved_e8 : of->reserved_e8;
  }
  /// Values a position, and what there is of its currency with it.
  void revalue_in(RiskAccount& account, RiskCurrency* of, RiskInstrument& held,
                  std::uint32_t index) const {
    if (of == nullptr) return revalue(account, held, instruments[index]);
    revalue(*of, held, instruments[index]);
    convert(account, *of);
  }

  void check_conservation(const State& state) const {
    if (currencies.count() == 0)
      return check_books(0, account(state), cost(state, [](std::size_t) { return true; }));
    for (std::uint32_t number = 0; number <= currencies.count(); ++number) {
      const Wide of = cost(state, [&](std::size_t i) { return currencies.quoted[i] == number; });
      if (number == 0) check_books(0, account(state), of);
      else check_books(number, state.read<RiskCurrency>(kCurrencies, number - 1), of);
    }
  }

  const Currencies currencies;
  const Admission admission;
  const std::vector<Instrument> instruments;
  const KeptCorrelations correlations{kCorrelations, instruments.size()};

 private:
  /// Of some instruments: of those in which something is held, as no others have cost anything.
  template <class Is>
  Wide cost(const State& state, const Is& is_one) const {
    Wide cost = 0;
    const std::uint64_t* open = &state.read<std::uint64_t>(kOpen, 0);
    for (std::size_t word = 0; word < words(); ++word)
      for (std::uint64_t bits = open[word] | open[words() + word]; bits != 0; bits &= bits - 1) {
        const std::size_t index = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        if (is_one(index)) cost += state.read<RiskInstrument>(kInstruments, index).cost_e8;
      }
    return cost;
  }

  template <class Books>
  static void check_books(std::uint32_t number, const Books& now, Wide cost) {
    const Wide is = now.cash_e8 + cost;
    const Wide should = Wide{now.opening_e8} + now.flows_e8 + now.realised_e8 - now.fees_e8;
    if (is != should)
      throw std::logic_error("risk: cash + cost of positions was " + to_text(is) + in(number) +
                             ", must be opening equity + flows + realised - fees, " +
                             to_text(should));
  }

  static std::string in(std::uint32_t number) {
    return number == 0 ? std::string() : " in currency " + std::to_string(number);
  }

  const RiskLimits configured_;
  RiskLimits limits_;
  std::uint64_t seen_ = 0;  // changes that limits_ has seen
};

}  // namespace bot4::risk
