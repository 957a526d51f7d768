"""`bot4 chaos breakers`: real faults in a real run, and what its breakers make of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.chaos.breakers import STOP_MS, Finding
from pipeline.chaos.faults import FAULTS
from shm import list_segments
from tests.pipeline.supervisor.started import BOT4, PATIENCE_S, environment


@pytest.mark.parametrize("fault", FAULTS)
def test_the_right_breaker_opens_stops_new_risk_and_closes_by_itself(
    tmp_path: Path, fault: str
) -> None:
    process = subprocess.Popen(
        [BOT4, "chaos", "breakers", "--json", "--fault", fault],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TMPDIR=str(tmp_path)),
        cwd=tmp_path,
    )
    try:
        out, errors = process.communicate(timeout=2 * PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    [finding] = json.loads(out)["faults"]
    assert (finding["fault"], finding["breaker"]) == (fault, FAULTS[fault].component)
    assert finding["others"] == []
    assert finding["stopped_ms"] <= STOP_MS
    assert finding["recovered_ms"] is not None
    if FAULTS[fault].stops:
        assert finding["refused"] > 0
        assert finding["reducing"] > 0
    # The only feed, and here the storage, are critical.
    assert finding["global_open"] == (fault in ("stale-feed", "lagging-storage"))
    assert list_segments(f"chaos-{process.pid}") == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_as_it_should_be_is_said() -> None:
    assert Finding("x", "ta", 1.0, refused=1, reducing=1, recovered_ms=1.0).wrong(stops=True) == []
    assert Finding("x", "ta", 1.0, recovered_ms=1.0).wrong(stops=False) == []
    worst = Finding("x", "ta", stopped_ms=51.0, others=["ml"])
    assert worst.wrong(stops=True) == [
        "x: ta did not open within 30 s",
        "x: new risk was taken 51.0 ms after ta had opened",
        "x: ta did not close within 30 s",
        "x: no intent was refused",
        "x: no reducing order passed",
        "x: ml opened too",
    ]
