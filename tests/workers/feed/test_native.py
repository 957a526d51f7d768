"""The decoders' headers by themselves, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

from tests.native.programs import build, expect_success
from tests.workers.feed.frames import SNAPSHOTS, STREAMS
from tests.workers.feed.mutations import mutate
from workers.feed.decoding import VENUES

LIFE = 40  # frames of one decoder, as in the program


def mutated_frames(path: Path, decoders: int) -> None:
    source = random.Random(20261122)
    with path.open("wb") as file:
        for number in range(decoders):
            venue = VENUES[number % len(VENUES)]
            texts = [*STREAMS[venue], *([SNAPSHOTS[venue]] if venue in SNAPSHOTS else [])]
            for i in range(LIFE):
                # In their order, so that there are books which a mutation can break.
                frame = texts[i % len(texts)].encode()
                if source.random() < 0.6:
                    frame = mutate(frame, source)
                file.write(struct.pack("=BI", VENUES.index(venue), len(frame)) + frame)


def test_no_frame_makes_the_decoders_leave_their_memory(tmp_path: Path) -> None:
    binary = build("decoders", "address", tmp_path, folder=Path(__file__).parent)
    frames = tmp_path / "frames"
    mutated_frames(frames, 300)
    output = expect_success(binary, str(frames))
    counted = re.fullmatch(r"(\d+) frames, (\d+) accepted, (\d+) given back\n", output)
    assert counted is not None, output
    total, accepted, given_back = map(int, counted.groups())
    assert total == 300 * LIFE
    # Both ways are taken often.
    assert accepted > total / 10
    assert given_back > total / 20
