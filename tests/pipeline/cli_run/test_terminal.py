"""What a run shows on a terminal."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import topology
from pipeline.kill.words import halt
from shm import Segment, list_segments
from tests.pipeline.cli_run.terminal import Terminal


def test_a_terminal_shows_a_live_table_and_control_c_ends_it_in_order(
    terminal: Terminal, name: str
) -> None:
    # In the table by and by: all stages, with rates, and orders at its foot.
    terminal.read_until(r"^feed +\d+ +[\d,]+ +0 +\d[\d,]* +\d")
    for stage in topology.PIPELINE:
        terminal.read_until(rf"^{stage} +\d+ ")
    terminal.read_until(r"tick to order p50 [\d,.]+, p99 [\d,.]+, p99.9 [\d,.]+ us over")
    assert f"bot4 {name}: " in terminal.seen
    assert "…" not in terminal.seen
    terminal.type(b"\x03")
    assert terminal.end() == 0
    assert "ended by signal" in terminal.seen
    assert re.search(r"memory \d+ MB", terminal.seen)
    assert list_segments(name) == []


def test_brackets_in_a_reason_are_no_markup_on_a_terminal(
    terminal: Terminal, name: str, tmp_path: Path
) -> None:
    terminal.read_until(r"^executor +\d+ +\d+ +\d+ +[\d,]*[1-9]")
    # By the word: bot4 kill would end by force what is slow.
    [info] = list_segments(name)
    with Segment.attach(name, run_id=info.run_id) as segment:
        assert halt(segment, "[/b][red]", "anna")
    assert terminal.end() == 4
    assert "halted: [/b][red] (by " in terminal.seen
    assert "ended by halted: [/b][red]" in terminal.seen
