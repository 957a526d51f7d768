"""The book below its top."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.exchange.samples import LISTINGS
from workers.exchange.history import History
from workers.exchange.ladder import LEVELS, PERIOD, Ladder, Top, changes
from workers.exchange.listing import Listing
from workers.exchange.market import QUOTE, TRADE, SeededMarket

MARKET = SeededMarket(LISTINGS, 1, 2)
HISTORY = History(MARKET, LISTINGS)


@pytest.mark.parametrize("instrument", [0, 1, 2])
def test_each_quote_is_the_top_of_a_ladder(instrument: int) -> None:
    ladder = Ladder(LISTINGS, 1)
    tops = HISTORY.tops(instrument, 0, 6000)
    assert len(tops) > 500
    for top in tops:
        book = ladder.book(instrument, top)
        assert book.update_id == top.update_id
        assert book.bids[0] == (top.bid, top.bid_quantity)
        assert book.asks[0] == (top.ask, top.ask_quantity)
        assert len(book.bids) == len(book.asks) == LEVELS >= 25
        assert all(high > low > 0 for (high, _), (low, _) in itertools.pairwise(book.bids))
        assert all(low < high for (low, _), (high, _) in itertools.pairwise(book.asks))
        assert all(quantity > 0 for _, quantity in book.bids + book.asks)


def test_a_book_follows_from_seed_and_quote_alone() -> None:
    forwards, backwards = Ladder(LISTINGS, 1), Ladder(LISTINGS, 1)
    tops = HISTORY.tops(0, 0, 3 * PERIOD)
    made = {top.update_id: forwards.book(0, top) for top in tops}
    for top in reversed(tops):
        assert backwards.book(0, top) == made[top.update_id]
    other = Ladder(LISTINGS, 2)
    assert other.book(0, tops[0]).bids[1:] != made[tops[0].update_id].bids[1:]


def test_little_changes_from_one_quote_to_the_next() -> None:
    ladder = Ladder(LISTINGS, 1)
    books = [ladder.book(1, top) for top in HISTORY.tops(1, 0, 20_000)]
    counts = [len(changes(old.bids, new.bids)) for old, new in itertools.pairwise(books)]
    assert 1 < sum(counts) / len(counts) < 12


def test_levels_change_their_quantities_with_time() -> None:
    ladder = Ladder(LISTINGS, 1)
    first, later = (
        ladder.book(0, Top(number, 5_999_999, 1, 6_000_001, 1)) for number in (1, 1 + PERIOD)
    )
    same = [a == b for a, b in zip(first.bids[1:], later.bids[1:], strict=True)]
    assert [price for price, _ in first.bids] == [price for price, _ in later.bids]
    assert not any(same)


def test_there_are_no_bids_below_one_tick() -> None:
    ladder = Ladder([Listing("XUSD", 10**6, 10**6, 5)], 1)
    book = ladder.book(0, Top(1, 3, 7, 4, 7))
    assert [price for price, _ in book.bids] == [3, 2, 1]
    assert ladder.book(0, Top(2, 1, 7, 2, 7)).bids == ((1, 7),)
    assert len(book.asks) == LEVELS


_SIDE = st.dictionaries(st.integers(1, 40), st.integers(1, 5), min_size=1, max_size=30)


@given(_SIDE, _SIDE, st.booleans(), st.sampled_from([None, 1, 2, 10]))
def test_changes_lead_from_one_side_to_the_other(
    old: dict[int, int], new: dict[int, int], rising: bool, depth: int | None
) -> None:
    before, after = (tuple(sorted(side.items(), reverse=not rising)) for side in (old, new))
    kept = dict(before[:depth])
    for price, quantity in changes(before, after, depth):
        if quantity:
            kept[price] = quantity
        else:
            del kept[price]
    # Who keeps no more than `depth` levels drops the worst.
    levels = sorted(kept.items(), reverse=not rising)[:depth]
    if len(after) > 1:  # a single level does not tell which way is up
        assert tuple(levels) == after[:depth]


def test_the_past_is_that_of_the_market() -> None:
    events = MARKET.events(1, 9000)
    mine = events[events["instrument"] == 2]
    for index in (1, 5, 4096, 4097, 9000):
        past = mine[mine["index"] <= index]
        quotes, trades = past[past["kind"] == QUOTE], past[past["kind"] == TRADE]
        top = HISTORY.top(2, index)
        if len(quotes):
            assert (top.update_id, top.bid) == (quotes["index"][-1], quotes["bid"][-1])
        else:
            assert (top.update_id, top.bid, top.ask) == (0, 400, 401)
        found = HISTORY.trades(2, index, 1000)
        assert found["trade_id"].tolist() == trades["trade_id"][-1000:].tolist()
        assert HISTORY.last_price(2, index) == (trades["price"][-1] if len(trades) else 400)


def test_statistics_are_those_of_the_last_whole_block() -> None:
    assert HISTORY.statistics(0, 4096).trades == 0
    day = HISTORY.statistics(0, 4097)
    trades = HISTORY.trades(0, 4096, 4096)
    assert day == HISTORY.statistics(0, 8192)
    assert day.trades == len(trades)
    assert day.volume == trades["quantity"].sum()
    assert (day.low, day.high) == (trades["price"].min(), trades["price"].max())
    assert (day.open, day.last) == (trades["price"][0], trades["price"][-1])
