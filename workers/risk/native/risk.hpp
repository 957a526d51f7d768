// Risk: intents in, orders and outcomes out; executions are booked; on ticks marks are taken, and
// positions closed if all of them are to be. workers/risk/reference.py is the same in slow, obvious
// Python. A check and its reservation are one step of the only writer.
#pragma once

#include <utility>
#include <vector>

#include "../../../pipeline/native/kernel.hpp"
#include "control.hpp"
#include "executions.hpp"
#include "intents.hpp"
#include "ledger.hpp"
#include "ticks.hpp"

namespace bot4 {

class Risk final : public Kernel {
 public:
  enum Input : std::uint32_t { kExecutionsIn, kControlIn, kIntentsIn, kCorrelationsIn };

  Risk(RiskOpening opening, Currencies currencies, RiskLimits limits, Admission admission,
       std::vector<Instrument> instruments)
      : opening_(opening),
        ledger_(std::move(currencies), std::move(limits), std::move(admission),
                std::move(instruments)) {}

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (risk::account(state).begun == 0) begin(context, state);
    if (!ledger_.has_seen_limits(state)) ledger_.see_limits(state);
    switch (context.source) {
      case kExecutionsIn:
        return risk::book(ledger_, context, *static_cast<const Execution*>(input), state, emit);
      case kIntentsIn:
        return risk::decide(ledger_, context, *static_cast<const Intent*>(input), state, emit);
      case kCorrelationsIn:
        return ledger_.correlations.take(*static_cast<const Correlations*>(input), state);
      case kControlIn:
        return risk::obey(ledger_, context, *static_cast<const Control*>(input), state);
      default: risk::look(ledger_, context, state, emit);
    }
  }

 private:
  void begin(const Context& context, State& state) const {
    RiskAccount& account = risk::edit_account(state);
    account.begun = 1;
    for (std::size_t i = 0; i < ledger_.currencies.count(); ++i) {
      const CurrencyOpening& opening = ledger_.currencies.openings[i];
      auto& currency = state.edit<RiskCurrency>(risk::kCurrencies, i);
      currency.opening_e8 = currency.cash_e8 = opening.balance_e8;
      currency.bid_e8 = opening.bid_e8;
      currency.ask_e8 = opening.ask_e8;
      currency.invalid = 1;  // until it is seen in this run
      currency.is_base = ledger_.currencies.is_base[i];
      convert(account, currency);
    }
    account.joined_e8 = account.converted_e8;
    account.opening_e8 = account.cash_e8 =
        checked("opening_e8", Wide{opening_.equity_e8} - account.converted_e8);
    account.units = opening_.units;
    account.high_water_e12 = opening_.high_water_e12;
    account.day = opening_.day;
    account.week = opening_.week;
    account.month = opening_.month;
    account.day_open_e8 = opening_.day_open_e8;
    account.week_open_e8 = opening_.week_open_e8;
    account.month_open_e8 = opening_.month_open_e8;
    account.losses = opening_.losses;
    account.mode = risk::place(opening_.mode);
    account.mode_code = risk::place(opening_.mode_code);
    account.killed = risk::place(opening_.killed);
    account.drawdown = risk::place(opening_.drawdown);
    // Of its cooldown nobody knows how much has passed: it begins again.
    if (account.mode_code == static_cast<std::uint64_t>(Denial::kConsecLosses))
      account.paused_until_ns = context.now_ns + ledger_.settings().losses_ns;
    value_units(account);
    account.next_order_id = 1;
    account.tick_ns = context.now_ns;
  }

  const RiskOpening opening_;
  risk::Ledger ledger_;
};

}  // namespace bot4
