"""The measurement of risk's checks does what it says, on a few of them."""

from __future__ import annotations

import json

from click.testing import CliRunner

from perf import risk
from pipeline.vocabulary import Denial


def test_it_prints_what_was_measured_and_of_what_mix() -> None:
    done = CliRunner().invoke(risk.main, ["--checks", "1000", "--rounds", "2", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [row["mode"] for row in found["results"]] == ["single", "batch"]
    for row in [*found["results"], *found["peers"], found["empty_step"]]:
        assert row["checks"] >= 1000
        assert 0 < row["p50_us"] <= row["p95_us"] <= row["p99_us"] <= row["p999_us"]
        assert row["checks_per_s"] > 0
    assert 0.15 <= found["denied_share"] <= 0.25
    assert len(set(found["codes"]) - {"NONE"}) >= 8
    assert set(found["codes"]) <= {code.name for code in Denial}


def test_orders_under_way_are_held_at_some_200() -> None:
    desk = risk.measure("single", 3000)
    account = desk.driver.state("account")[0]
    assert account["open_orders"] == len(desk.orders) == risk.OPEN_ORDERS
    assert desk.open_at_most <= risk.OPEN_ORDERS + risk.CHUNK
