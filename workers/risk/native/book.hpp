// The book-keeping of fills and marks; workers/risk/book.py is the same in Python. Cash is rounded once, when a fill is booked; what a position
// cost is kept as a total, so nothing is ever lost to an average.
#pragma once

#include "../../../pipeline/native/money.hpp"
#include "limits.hpp"
#include "state.hpp"

namespace bot4 {

/// Books a signed quantity at a price: what it closes is realised, what it opens is cost. The books
/// are those of the instrument's currency: of the account or a RiskCurrency.
template <class Books>
void book_fill(Books& books, RiskInstrument& held, const Instrument& instrument,
                      Wide lots, std::int64_t price, std::int64_t fee) {
  const Wide position = held.position;
  const bool closes = position != 0 && (lots > 0) != (position > 0);
  const Wide closing = !closes                      ? Wide{0}
                       : lots > 0 ? std::min(lots, -position)
                                  : std::max(lots, -position);
  const Wide flow = amount_e8(price, -lots, instrument);  // into cash
  // Of a fill through zero a part: rounded by itself, and what is left of the flow opens.
  const Wide closing_flow = amount_e8(price, -closing, instrument);
  const Wide released =
      closing == 0 ? Wide{0} : floor_div(held.cost_e8 * (closing < 0 ? -closing : closing),
                                         position < 0 ? -position : position);

  books.cash_e8 = checked("cash_e8", books.cash_e8 + flow - fee);
  books.realised_e8 = checked("realised_e8", books.realised_e8 + closing_flow - released);
  books.fees_e8 = checked("fees_e8", Wide{books.fees_e8} + fee);
  held.cost_e8 = checked("cost_e8", held.cost_e8 - released - (flow - closing_flow));
  held.position = checked("position", position + lots);
}

/// Values a position at the side of the quote where it could be closed.
template <class Books>
void revalue(Books& books, RiskInstrument& held, const Instrument& instrument) {
  held.mark = held.position > 0 ? held.bid : held.position < 0 ? held.ask : 0;
  const std::int64_t before = held.value_e8;
  held.value_e8 = checked("value_e8", amount_e8(held.mark, held.position, instrument));
  books.value_e8 = checked("value_e8", Wide{books.value_e8} - before + held.value_e8);
}

/// Whether a quote is so far from the last one that another has to confirm it; 0 bp: never.
constexpr bool is_jump(std::int64_t bid, std::int64_t ask, const Quote& quote,
                       std::int64_t jump_bp) {
  const Wide before = Wide{bid} + ask;
  const Wide moved = Wide{quote.bid} + quote.ask - before;
  return jump_bp != 0 && (moved < 0 ? -moved : moved) * kBasisPoints > before * jump_bp;
}

}  // namespace bot4
