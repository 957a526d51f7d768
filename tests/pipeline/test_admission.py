"""Which bits of a context are whose, and what the breakers let go on.

That native and reference agree is tested where both are used, with the stages.
"""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.admission import BreakerMasks, admits
from pipeline.instruments import instruments_from
from pipeline.stage import StageError
from pipeline.topology import components
from shm.breaker_types import GlobalState
from tests.pipeline.kernels import context
from workers import native


def traded_on(*venues: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("tick", "lot", "min_notional", "maker_fee", "taker_fee"), "1")
    names = {"base": "ONE", "quote": "USDT"}
    return {
        "instruments": [
            {"symbol": f"{number}", "venue": venue, **names, **numbers}
            for number, venue in enumerate(venues)
        ]
    }


def test_the_masks_are_those_of_the_venue_of_each_instrument_and_of_who_makes_intents() -> None:
    config = traded_on("b", "a", "b")
    names = components(config)
    masks = BreakerMasks.of(config)

    def whose(mask: int) -> set[str]:
        return {name for bit, name in enumerate(names) if mask >> bit & 1}

    assert [whose(mask) for mask in masks.venue_masks] == [
        {"feed.b", "orders.b"},
        {"feed.a", "orders.a"},
        {"feed.b", "orders.b"},
    ]
    assert whose(masks.strategy_mask) == {"ta", "ml"}


def test_no_more_venues_are_traded_than_a_context_has_bits_for() -> None:
    most = BreakerMasks.of(traded_on(*(f"{number}" for number in range(30))))
    assert max(*most.venue_masks, most.strategy_mask) < 1 << 64
    with pytest.raises(StageError, match="components with a breaker was 66, must be <= 64"):
        BreakerMasks.of(traded_on(*(f"{number}" for number in range(31))))


@pytest.mark.parametrize("state", [*GlobalState, 4, 2**64 - 1])
def test_only_a_global_state_that_is_known_to_be_good_lets_new_risk_go_on(state: int) -> None:
    masks = BreakerMasks((1,), 2)
    told = context(**{"global": state})[0]
    is_good = state in (GlobalState.CLOSED, GlobalState.DEGRADED)
    assert admits(told, masks, 0, reducing=False) == is_good
    assert admits(told, masks, 0, reducing=True)


@pytest.mark.parametrize(
    ("blocked", "forced", "opening", "reducing"),
    [
        (0b000, 0b000, True, True),
        (0b001, 0b000, False, True),  # its venue
        (0b100, 0b000, False, True),  # the strategy
        (0b010, 0b010, True, True),  # another venue
        (0b101, 0b100, False, True),  # a strategy that was forced open
        (0b001, 0b001, False, False),
        (0b000, 0b001, False, False),
    ],
)
def test_what_is_blocked_stops_new_risk_and_a_venue_forced_open_stops_all(
    blocked: int, forced: int, opening: bool, reducing: bool
) -> None:
    masks = BreakerMasks((0b001, 0b010), 0b100)
    told = context(**{"global": GlobalState.CLOSED}, blocked=blocked, forced=forced)[0]
    assert admits(told, masks, 0, reducing=False) == opening
    assert admits(told, masks, 0, reducing=True) == reducing


def test_a_native_kernel_wants_a_mask_for_each_instrument() -> None:
    instruments = instruments_from(traded_on("a", "a"))
    for masks in ([], [3], [3, 3, 3]):
        with pytest.raises(
            ValueError,
            match=f"venue_masks: their number was {len(masks)}, must be that of the instruments, 2",
        ):
            native.paper_executor(
                slippage_bp=0, venue_masks=masks, strategy_mask=0, instruments=instruments
            )
