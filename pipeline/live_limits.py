"""Limits of risk that a run has, other than those that it was started with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import ConfigError
from pipeline.config.load import changed, leaves
from pipeline.records import Array
from pipeline.stage import load_object

SOURCE = "bot4 limits set"
"""Where such a limit comes from."""


@dataclass(frozen=True, slots=True)
class Change:
    """What would change a run's limits.

    Attributes:
        differ: What [risk] has and would have, by dotted key; only of keys that would change.
        numbers: Index and value of each limit of the kernel that would change, as `RiskLimits.flat`
            has them.
        live: All values in [risk] that would then be others than at the start.
    """

    differ: Mapping[str, tuple[object, object]]
    numbers: list[tuple[int, int]]
    live: dict[str, Any]


def in_run(started: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table [risk] of a run: that of its start, with what was changed since."""
    risk: dict[str, Any] = changed(started, _dotted(live), SOURCE).resolved()["risk"]
    return risk


def planned(
    started: Mapping[str, Any], live: Mapping[str, Any], wanted: Mapping[str, str], cells: Array
) -> Change:
    """Return what `wanted` would change.

    Args:
        started: The configuration at the start of the run.
        live: What is others than at its start, by dotted key in [risk].
        wanted: Values as text, by dotted key in [risk].
        cells: Risk's own, in which the limits in force are.

    Raises:
        ConfigError: one of the values, or what they make together, is not valid; or the run cannot
            have it any more.
    """
    before = in_run(started, live)
    whole = changed(started, {**_dotted(live), **_dotted(wanted)}, SOURCE).resolved()
    after = whole["risk"]
    _check_layout(started["risk"]["open_orders"], before, after)
    old, new = dict(leaves(before)), dict(leaves(after))
    if tables := [key for key in wanted if key not in new]:
        raise ConfigError(f"{SOURCE}: risk.{tables[0]} was a table, must be a key with a value")
    in_force = load_object("workers.risk.account:limits_in_force")(started, cells)
    flat = load_object("workers.risk.settings:RiskLimits").of({**started, "risk": after}).flat()
    start = dict(leaves(started["risk"]))
    return Change(
        {key: (old.get(key), new[key]) for key in wanted if old.get(key) != new[key]},
        [
            (index, value)
            for index, (value, now) in enumerate(zip(flat, in_force.flat(), strict=True))
            if value != now
        ],
        {key: new[key] for key in (*live, *wanted) if start.get(key) != new[key]},
    )


def _dotted(live: Mapping[str, Any]) -> dict[str, Any]:
    return {_quoted(key): value for key, value in live.items()}


def _quoted(key: str) -> str:
    """Return a key of [risk] as TOML has it: of what has a "/" in it, quoted."""
    parts = [part if _is_bare(part) else json.dumps(part) for part in key.split(".")]
    return ".".join(["risk", *parts])


def _is_bare(part: str) -> bool:
    return part.isascii() and part.replace("-", "").replace("_", "").isalnum()


def _check_layout(most: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse what the segment was laid out for; it has cells for `most` orders.

    Raises:
        ConfigError: it would be changed.
    """
    later = "; put it into config.toml for the next run"
    if after["open_orders"] > most:
        raise ConfigError(
            f"{SOURCE}: risk.open_orders was {after['open_orders']}, must be at most {most} in "
            f"this run, which has no cells for more{later}"
        )
    for table, key, default in (
        ("instruments", "asset_class", "crypto"),
        ("strategies", "instruments", []),
    ):
        for name, own in after[table].items():
            if own[key] != before[table].get(name, {}).get(key, default):
                raise ConfigError(
                    f"{SOURCE}: risk.{table}.{name}.{key} was {own[key]!r}, must stay as it is in "
                    f"this run{later}"
                )
