"""The seeded market."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.exchange.samples import LISTINGS
from workers.exchange.listing import Listing, ListingError
from workers.exchange.market import BLOCK, EVENT, QUOTE, TRADE, Events, SeededMarket


def market(seed: int = 1, volatility_bp: float = 2) -> SeededMarket:
    return SeededMarket(LISTINGS, seed, volatility_bp)


WHOLE = market().events(1, 5 * BLOCK)
SHARED = market()


def test_the_first_events_are_the_same_for_ever() -> None:
    digest = hashlib.sha256()
    events = WHOLE[:10_000]
    assert EVENT.names is not None
    for name in EVENT.names:
        digest.update(events[name].astype("<i8").tobytes())
    assert digest.hexdigest() == (
        "16a73887c8d384ba1de38e72c8fce839ee3d5f4e5f6de6a834101a0f951733a0"
    )


@given(first=st.integers(1, 3 * BLOCK), count=st.integers(0, BLOCK + 2))
def test_any_part_equals_that_of_the_whole(first: int, count: int) -> None:
    assert np.array_equal(SHARED.events(first, count), WHOLE[first - 1 : first - 1 + count])


@pytest.mark.parametrize("first", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_no_event_is_lost_where_blocks_meet(first: int) -> None:
    events = market().events(first, 3)
    assert events["index"].tolist() == [first, first + 1, first + 2]


def test_the_way_to_a_far_event_does_not_matter() -> None:
    far, middle = 150 * BLOCK + 7, 70 * BLOCK
    fresh = market().events(far, 5)
    other = market()
    other.events(middle, 1)
    assert np.array_equal(other.events(far, 5), fresh)
    # Back to the beginning, and on from a state that was kept.
    assert np.array_equal(other.events(1, 5), WHOLE[:5])
    assert np.array_equal(other.events(middle, 5), market().events(middle, 5))


def test_a_far_event_is_approached_in_small_steps() -> None:
    far = 10 * BLOCK + 1
    near = market()
    steps = 1
    while not near.approach(far, 3):
        steps += 1
    assert steps == 4
    assert near.approach(1, 1)
    assert np.array_equal(near.events(far, 1), market().events(far, 1))


def of(instrument: int) -> Events:
    events: Events = WHOLE[WHOLE["instrument"] == instrument]
    return events


@pytest.mark.parametrize("instrument", range(len(LISTINGS)))
def test_ids_are_as_the_venue_promises(instrument: int) -> None:
    events = of(instrument)
    trades, quotes = (events[events["kind"] == kind] for kind in (TRADE, QUOTE))
    assert np.array_equal(trades["trade_id"], np.arange(1, len(trades) + 1))
    assert np.array_equal(quotes["update_id"], quotes["index"])
    assert not trades["update_id"].any()
    assert not quotes["trade_id"].any()


def test_each_kind_fills_its_own_fields_only() -> None:
    trades, quotes = (WHOLE[WHOLE["kind"] == kind] for kind in (TRADE, QUOTE))
    assert len(trades) + len(quotes) == len(WHOLE)
    for name in ("bid", "bid_quantity", "ask", "ask_quantity"):
        assert not trades[name].any()
        assert (quotes[name] > 0).all()
    for name in ("price", "quantity"):
        assert not quotes[name].any()
        assert (trades[name] > 0).all()
    assert set(trades["aggressor"].tolist()) == {-1, 1}
    assert not quotes["aggressor"].any()


def test_about_half_are_trades_and_all_instruments_take_part() -> None:
    assert abs(np.mean(WHOLE["kind"] == TRADE) - 0.5) < 0.03
    shares = np.bincount(WHOLE["instrument"]) / len(WHOLE)
    assert len(shares) == len(LISTINGS)
    assert np.all(np.abs(shares - 1 / 3) < 0.03)


@pytest.mark.parametrize("instrument", range(len(LISTINGS)))
def test_trades_take_place_at_the_latest_bid_or_ask(instrument: int) -> None:
    price = LISTINGS[instrument].price
    bid, ask = price, price + 1
    for event in of(instrument):
        if event["kind"] == QUOTE:
            assert 0 < event["bid"] < event["ask"]
            bid, ask = event["bid"], event["ask"]
        else:
            assert event["price"] == (ask if event["aggressor"] > 0 else bid)


def test_prices_move_as_much_as_configured() -> None:
    quotes = of(0)[of(0)["kind"] == QUOTE]
    steps = np.diff(np.log((quotes["bid"] + quotes["ask"]) / 2))
    assert 1.9e-4 < steps.std() < 2.1e-4


def test_prices_stay_between_half_and_twice_the_first() -> None:
    events = SeededMarket(LISTINGS[:1], 3, 1000).events(1, 5 * BLOCK)
    asks = events["ask"][events["kind"] == QUOTE] / LISTINGS[0].price
    assert asks.min() < 0.6
    assert asks.max() > 1.7
    assert (asks > 0.499).all()
    assert (asks < 2.01).all()


def test_without_volatility_the_middle_does_not_move() -> None:
    events = SeededMarket(LISTINGS[:1], 3, 0).events(1, 100)
    quotes = events[events["kind"] == QUOTE]
    assert (quotes["bid"] <= LISTINGS[0].price).all()
    assert (quotes["ask"] >= LISTINGS[0].price).all()


@pytest.mark.parametrize("price", [1, 2, 2**50 - 1])
def test_the_cheapest_and_the_dearest_are_not_crossed(price: int) -> None:
    events = SeededMarket((Listing("X", 1, 1, price),), 1, 50).events(1, BLOCK)
    quotes = events[events["kind"] == QUOTE]
    assert (quotes["bid"] > 0).all()
    assert (quotes["bid"] < quotes["ask"]).all()


def test_another_seed_is_another_market() -> None:
    assert not np.array_equal(market(2).events(1, 100), WHOLE[:100])


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ListingError, match="listings were none"):
        SeededMarket((), 1, 2)
    with pytest.raises(ListingError, match=r"exchange\.seed was -1, must be"):
        market(-1)
    with pytest.raises(ListingError, match=r"exchange\.volatility_bp was 1001, must be"):
        market(1, 1001)
    with pytest.raises(ListingError, match="price of X was 0 ticks, must be"):
        SeededMarket((Listing("X", 1, 1, 0),), 1, 2)
    with pytest.raises(ValueError, match=r"events\(0, 1\)"):
        SHARED.events(0, 1)


def test_events_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        SHARED.events(1, 1)["price"] = 3
