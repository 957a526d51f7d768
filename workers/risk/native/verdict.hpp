// What an intent is judged by, and what the judgement is. workers/risk/verdict.py is the same in slow,
// obvious Python.
#pragma once

#include <bit>

#include "../../../pipeline/native/admission.hpp"
#include "../../../pipeline/native/money.hpp"
#include "../../../pipeline/native/vocabulary.hpp"
#include "limits.hpp"
#include "state.hpp"

namespace bot4 {

/// What a check compared.
struct Compared {
  Wide value, bound;
};

/// What the checks found, and what the order would be.
struct Verdict {
  std::uint64_t failed = 0;  // a bit a check
  std::int64_t limit = 0;
  Wide cost = 0;             // of a buy
  Wide at_risk = 0;          // from the reference to the stop, if it enters
  std::int64_t reference = 0;  // the ask for a buy, the bid for a sell; 0: there is none
  bool reducing = false;
  // What the first failing check compared, in the unit that pipeline.rules.RULES gives it. Of an
  // order that enters and passes: what the position may come to be worth, and the equity.
  Wide value = 0, bound = 0;

  void check(Denial code, bool failing, Wide is = 0, Wide limit_is = 0) {
    check_by(code, failing, [&] { return Compared{is, limit_is}; });
  }
  /// The same; what was compared is reckoned only if it is asked for: divisions cost time.
  template <typename Reckon>
  void check_by(Denial code, bool failing, const Reckon& reckon) {
    if (!failing) return;
    const std::uint64_t bit = bit_of(code);
    if ((failed & (bit - 1)) == 0) {
      const Compared compared = reckon();
      value = compared.value;
      bound = compared.bound;
    }
    failed |= bit;
  }
  /// `is` must not be above `limit_is`.
  void at_most(Denial code, Wide is, Wide limit_is) { check(code, is > limit_is, is, limit_is); }
  /// `is` must not be above a share of `whole`.
  void at_most_of(Denial code, Wide is, Wide whole, std::int64_t share_bp) {
    check_by(code, is * kBasisPoints > whole * share_bp,
             [&] { return Compared{is, floor_div(whole * share_bp, kBasisPoints)}; });
  }
  /// The first failing check in the order of evaluation.
  Denial code() const { return failed == 0 ? Denial::kNone : kChecks[std::countr_zero(failed)]; }
};

/// What an intent is judged by. What is of its instrument, or of its strategy, is null if that is
/// unknown.
struct Facts {
  const Context& context;
  const RiskSettings& settings;
  const Admission& admission;
  const RiskAccount& account;
  const Instrument* instrument = nullptr;
  const InstrumentLimits* limits = nullptr;
  const RiskInstrument* held = nullptr;
  const RiskPart* venue = nullptr;
  const RiskPart* asset_class = nullptr;
  const RiskRecent* recent = nullptr;
  const RiskCurrency* currency = nullptr;  // of its prices; null is the account's own
  const StrategyLimits* strategy = nullptr;
  const RiskStrategy* pace = nullptr;
  const RiskSignal* signal = nullptr;
  bool is_id_used = false;       // by an intent of other content, or of one that is forgotten
  bool has_free_cell = false;
  std::int64_t opposite = 0;     // best limit of our open orders on the other side; 0: there is none
  std::int64_t correlated = 0;   // instruments held the same way, beyond the limit of correlation
};

}  // namespace bot4
