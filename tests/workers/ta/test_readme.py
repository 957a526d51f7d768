"""The table of features in workers/ta/README.md is that of the code."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.signals import TechnicalAnalysis
from workers.ta.features import (
    FLOW_FEATURES,
    MODEL_FEATURES,
    WINDOWS,
    Feature,
    Memory,
    first_bar,
    memory,
)

README = Path(__file__).parents[3] / "workers" / "ta" / "README.md"


def line(feature: Feature, windows: dict[str, int]) -> str:
    """Return a feature's line of the table."""
    kinds = {Memory.WINDOW: "window", Memory.FADING: "fading", Memory.WHOLE: "whole"}
    kind = "flow" if feature in FLOW_FEATURES else kinds[memory(feature)]
    model = "yes" if feature in MODEL_FEATURES else ""
    return f"| `{feature.name.lower()}` | {first_bar(feature, windows)} | {kind} | {model} |"


def test_the_table_of_features_is_up_to_date() -> None:
    defaults = TechnicalAnalysis().model_dump()
    windows = {name: defaults[name] for name in WINDOWS}
    expected = "\n".join(line(feature, windows) for feature in Feature)
    assert expected in README.read_text(encoding="utf-8"), f"the table should be:\n{expected}"
