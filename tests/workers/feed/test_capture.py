"""Captured files, line by line."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from workers.feed.capture import CaptureError, Frame, Kind, frames, merged


def test_cryptofeed_s_lines_are_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.xz"
    text = (
        "wss://ws.kraken.com <-> 1618678132.3858151\n"
        'wss://ws.kraken.com <- 1618678132.8253062: {"event":"subscribe"}\n'
        '1618678132.8258188: {"event":"systemStatus"}\n'
        'https://api.binance.com/api/v3/depth?symbol=NKNUSDT -> 1618678133.5: {"lastUpdateId":1}\n'
        "1618678134.25: [1,2]\n"
        'configuration: {"trades":["NKN-USDT"]}\n'
        "\n"
    )
    path.write_bytes(lzma.compress(text.encode()))
    assert list(frames(path)) == [
        Frame(1618678132385815100, Kind.CONNECT, b"", "wss://ws.kraken.com"),
        Frame(1618678132825306200, Kind.SENT, b'{"event":"subscribe"}', "wss://ws.kraken.com"),
        Frame(1618678132825818800, Kind.FRAME, b'{"event":"systemStatus"}'),
        Frame(
            1618678133500000000,
            Kind.REST,
            b'{"lastUpdateId":1}',
            "https://api.binance.com/api/v3/depth?symbol=NKNUSDT",
        ),
        Frame(1618678134250000000, Kind.FRAME, b"[1,2]"),
    ]


def test_hftbacktest_s_lines_have_ns_and_snapshots_among_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(
        gzip.compress(b'1723161253937085768 {"e":1}\n1723161253937085769 {"lastUpdateId":5}\n')
    )
    assert list(frames(path)) == [
        Frame(1723161253937085768, Kind.FRAME, b'{"e":1}'),
        Frame(1723161253937085769, Kind.REST, b'{"lastUpdateId":5}'),
    ]


def test_bare_frames_are_a_connection_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a":1}\n[2]\n', encoding="utf-8")
    assert [frame.kind for frame in frames(path)] == [Kind.CONNECT, Kind.FRAME, Kind.FRAME]


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    for name, times in (("a", (1, 4, 5)), ("b", (2, 3, 6))):
        lines = "".join(f'{time} {{"{name}":0}}\n' for time in times)
        (tmp_path / name).write_text(lines, encoding="utf-8")
    both = merged([tmp_path / "a", tmp_path / "b"])
    assert [frame.received_ns for frame in both] == [1, 2, 3, 4, 5, 6]


def test_a_line_in_no_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\nwhat is this\n", encoding="utf-8")
    with pytest.raises(
        CaptureError, match=r"line was b'what is this', must begin with .*a\.jsonl:2"
    ):
        list(frames(path))


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
def test_a_file_that_is_cut_off_is_named(suffix: str, tmp_path: Path) -> None:
    compress = lzma.compress if suffix == ".xz" else gzip.compress
    path = tmp_path / f"a{suffix}"
    path.write_bytes(compress(b'{"a":1}\n' * 1000)[:-10])
    with pytest.raises(CaptureError, match="could not be decompressed"):
        list(frames(path))
    path.write_bytes(b"no archive")
    with pytest.raises(CaptureError, match="could not be decompressed"):
        list(frames(path))
