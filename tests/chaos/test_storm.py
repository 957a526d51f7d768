"""A thousand SIGKILLs at moments that nobody chose."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from shm import list_segments


def test_a_thousand_kills_tear_lose_and_reorder_nothing(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.storm", name, "1000", "7"],
        capture_output=True,
        text=True,
        timeout=240,
        # Measuring coverage would make most of them die before they have begun; those that are
        # killed could not report it anyway.
        env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(result)
    assert result["kills"] == 1000
    assert result["records"] > 10_000
    assert (result["torn"], result["gaps"], result["lost"]) == (0, 0, 0)
    assert list_segments(name) == []
