"""Mutated frames: never a crash, and what is accepted is what the library and the reference read.

`Pair` compares verdicts, records, counts, states and books after every frame, so one byte that is
read otherwise fails here even if its effect shows later.
"""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.workers.feed.frames import LISTINGS, SNAPSHOTS, STREAMS, depth
from tests.workers.feed.mutations import mutate
from tests.workers.feed.pair import Pair
from workers import _native
from workers.feed import decoding
from workers.feed.decoding import VENUES, QuoteSource, StaleReason, Verdict


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32),
    share=st.sampled_from((0.1, 0.5)),
    quotes=st.sampled_from(list(QuoteSource)),
)
def test_mutated_streams_are_read_alike(
    venue: str, seed: int, share: float, quotes: QuoteSource
) -> None:
    source = random.Random(seed)
    pair = Pair(venue, LISTINGS[venue], quotes=quotes, depth=depth(venue))
    for i, text in enumerate(STREAMS[venue]):
        if i == 4 and venue in SNAPSHOTS:
            snapshot = SNAPSHOTS[venue].encode()
            pair.snapshot(mutate(snapshot, source) if source.random() < share else snapshot)
        if source.random() < 0.03:
            pair.lost(StaleReason.SILENCE)
            pair.connected()
        frame = text.encode()
        verdict, _ = pair.decode(mutate(frame, source) if source.random() < share else frame)
        assert verdict is not Verdict.FALLBACK
        if source.random() < 0.5:
            pair.wishes()


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=100)
@given(
    text=st.one_of(st.binary(max_size=200), st.text('{}[]",:0123456789.-eE \\utabs', max_size=60))
)
@example(text='{"type":"error","data":{"x":[9223372036854775808e55]}}')  # short as it is written
@example(text='{"type":"error","data":{"x":[1.5e-62]}}')
def test_arbitrary_text_is_read_alike(venue: str, text: bytes | str) -> None:
    Pair(venue, LISTINGS[venue], depth=depth(venue)).decode(text)


@pytest.mark.parametrize("venue", VENUES)
def test_what_is_given_back_for_the_library_has_changed_nothing(venue: str) -> None:
    source = random.Random(7)
    for _ in range(300):
        native = decoding.decoder(venue, LISTINGS[venue], depth=depth(venue))
        sink = _native.Recorder()
        before = native.counts()
        text = mutate(source.choice(STREAMS[venue]).encode(), source)
        if native.decode(text, 1, sink) != Verdict.FALLBACK:
            continue
        assert len(sink) == 0
        assert native.counts() == {**before, "messages": 1, "fallback": 1}
        assert all(native.state(each.instrument) == 0 for each in LISTINGS[venue])


@pytest.mark.parametrize("venue", VENUES)
def test_the_plain_spelling_is_one_that_needs_no_library(venue: str) -> None:
    native = decoding.decoder(venue, LISTINGS[venue], depth=depth(venue))
    for text in STREAMS[venue]:
        with contextlib.suppress(decoding.PlainError):
            plain = decoding.plain(text.encode())
            assert (
                native.decode(plain, 1, _native.Recorder()) & ~decoding.WISHES != Verdict.FALLBACK
            )
