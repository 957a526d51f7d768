"""On which line of its file a key is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigError, load
from pipeline.config.lines import lines_of
from tests.pipeline.config.reading import HOME


def test_each_key_has_the_line_on_which_its_statement_begins() -> None:
    text = '''\
# comment
a.b = 1 # here
"c d" = """

# not a comment
[not] = a table
"""
list = [
  1, { x = 2 },
]

[[t]]
k = 1
[t.sub]
[[t]] # again
[t.sub] # with comment
k = [[1],
     [2]]
[[t.sub.deep]]
k = 1
[[t.sub.deep]]
k = 2
[e]
[e.f]
'''
    assert lines_of(text) == {
        ("a",): 2,
        ("a", "b"): 2,
        ("c d",): 3,
        ("list",): 8,
        ("list", 0): 8,
        ("list", 1): 8,
        ("list", 1, "x"): 8,
        ("t",): 12,
        ("t", 0): 12,
        ("t", 0, "k"): 13,
        ("t", 0, "sub"): 14,
        ("t", 1): 15,
        ("t", 1, "sub"): 16,
        ("t", 1, "sub", "k"): 17,
        ("t", 1, "sub", "k", 0): 17,
        ("t", 1, "sub", "k", 0, 0): 17,
        ("t", 1, "sub", "k", 1): 17,
        ("t", 1, "sub", "k", 1, 0): 17,
        ("t", 1, "sub", "deep"): 19,
        ("t", 1, "sub", "deep", 0): 19,
        ("t", 1, "sub", "deep", 0, "k"): 20,
        ("t", 1, "sub", "deep", 1): 21,
        ("t", 1, "sub", "deep", 1, "k"): 22,
        ("e",): 23,
        ("e", "f"): 24,
    }


def test_windows_line_ends_do_not_move_the_lines() -> None:
    Path("c.toml").write_bytes(b"\r\n[risk]\r\nstale_ms = 0\r\n")
    with pytest.raises(ConfigError, match=r"^c\.toml:3: risk\.stale_ms was 0"):
        load(Path("c.toml"), environ=HOME)
