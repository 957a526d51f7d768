"""The kernel's headers by themselves, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.native.programs import build, expect_success
from tests.workers.ta.market import SHORT, Array, all_emitted, drive, hostile_market
from workers.ta.features import WINDOWS

KINDS: dict[str, dict[str, Any]] = {
    "tick": {"trades_per_bar": 3},
    "time": {"interval_ms": 700, "flat_bars": 3},
    "volume": {"lots_per_bar": 2_000_000},
}
"""By the name of the bars, in the order of BarKind: what kernel.cpp takes."""

WINDOW_CHOICES = (dict.fromkeys(WINDOWS, 1), WINDOWS, SHORT)
"""In the order that kernel.cpp knows them by."""

MARKETS = {1: (9_000, 1), 3: (9_000, 1), 50: (9_000, 20)}
"""By the number of instruments: records, and seconds between samples, in which all rows of one are
published."""


# One test, so that workers in parallel do not each compile.
def test_no_market_makes_the_kernel_overflow_or_say_what_is_not_finite(tmp_path: Path) -> None:
    program = build("kernel", "address", tmp_path, folder=Path(__file__).parent)
    path, output = tmp_path / "market", tmp_path / "emitted"
    for row, (instruments, (count, seconds)) in enumerate(MARKETS.items()):
        market: list[Array] = list(hostile_market(instruments, count, instruments))
        path.write_bytes(b"".join(record.tobytes() for record in market))
        for kind, (bar, own) in enumerate(KINDS.items()):
            # Each of them with each number of instruments, and with each kind of bars.
            windows = (kind + row) % len(WINDOW_CHOICES)
            arguments = map(str, (instruments, kind, seconds, windows))
            printed = expect_success(program, str(path), *arguments, str(output))
            settings = {
                **own,
                "bar": bar,
                "correlation_ms": 1_000 * seconds,
                **WINDOW_CHOICES[windows],
            }
            emitted = all_emitted(drive("native", instruments, **settings), market)
            assert output.read_bytes() == b"".join(each.tobytes() for each in emitted.values())
            # It is not only refused.
            assert len(emitted["features"]) > 100, printed
            assert len(emitted["correlations"]) > 100, printed
            assert emitted["correlations"]["samples"].max() > 5
