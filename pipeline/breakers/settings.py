"""What the breakers decide by, from a resolved configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from pipeline.topology import components
from shm import Breakers, BreakerSettings

KEYS: Final[Mapping[str, tuple[str, int]]] = {
    "window": ("window", 1),
    "window_ns": ("window_s", 1_000_000_000),
    "window_calls": ("window_calls", 1),
    "min_calls": ("min_calls", 1),
    "failure_bp": ("failure_bp", 1),
    "slow_bp": ("slow_bp", 1),
    "slow_ns": ("slow_ms", 1_000_000),
    "consecutive": ("consecutive", 1),
    "cooldown_ns": ("cooldown_s", 1_000_000_000),
    "cooldown_factor_bp": ("cooldown_factor", 10_000),
    "cooldown_max_ns": ("cooldown_max_s", 1_000_000_000),
    "jitter_bp": ("jitter_bp", 1),
    "probes": ("probes", 1),
    "successes": ("successes", 1),
    "failures": ("failures", 1),
    "max_stay_ns": ("max_stay_s", 1_000_000_000),
    "lease_ns": ("lease_s", 1_000_000_000),
}
"""Field of the settings -> key of the configuration, and how many of the field's units one of the
key's is."""


_APPLIED: Final = frozenset(
    [key for key, _ in KEYS.values()]
    + ["weight", "critical", "min_components", "open_bp", "close_bp"]
)


def kind_of(component: str) -> str:
    """Return the table of a component: "feed" of "feed.sim"."""
    return component.partition(".")[0]


def value_of(table: Mapping[str, Any], component: str, key: str) -> Any:
    """Return what holds for a component: its own value, or that of the table of all."""
    own = table[kind_of(component)].get(key) if component else None
    return table[key] if own is None else own


def settings_from(
    table: Mapping[str, Any], component: str, *, critical: bool = False
) -> BreakerSettings:
    """Return the settings of a component, or those of all ("").

    Args:
        table: The table ``breakers`` of a configuration.
        component: Its name, e.g. "feed.sim".
        critical: Whether its being open makes the global state open.

    Raises:
        BreakerSettingsError: no breaker can work by them.
    """
    fields: dict[str, Any] = {}
    for field, (key, unit) in KEYS.items():
        value = value_of(table, component, key)
        fields[field] = value if unit == 1 else round(value * unit)
    return BreakerSettings(
        **fields,
        weight=table[kind_of(component)]["weight"] if component else 1,
        critical=critical,
        seed=seed_of(component),
    )


def seed_of(component: str) -> int:
    """Return what the jitter of a component's cooldowns follows from.

    The first 8 bytes, little endian, of the BLAKE2b hash of its name: always the same, so that a
    replay waits as long, and different for each, so that not all probe at once.
    """
    return int.from_bytes(hashlib.blake2b(component.encode(), digest_size=8).digest(), "little")


def settings_of(config: Mapping[str, Any]) -> dict[str, BreakerSettings]:
    """Return the settings of each component of a resolved configuration."""
    table = config["breakers"]
    names = components(config)
    feeds = sum(kind_of(name) == "feed" for name in names)
    made = {}
    for name in names:
        critical = table[kind_of(name)]["critical"]
        if critical == "auto":
            critical = feeds == 1
        made[name] = settings_from(table, name, critical=critical)
    return made


def left_for_the_next_run(running: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the keys of ``breakers`` that differ and that `apply` does not reach.

    The limits of health and ``on_open`` are the supervisor's, which read them when it began.
    """
    return [
        f"breakers.{path}"
        for path, value in _values(wanted["breakers"]).items()
        if path.rpartition(".")[2] not in _APPLIED
        and _values(running["breakers"]).get(path) != value
    ]


def _values(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        found |= _values(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found


def begin(group: Breakers, config: Mapping[str, Any], now_ns: int | None = None) -> None:
    """Give all breakers their settings, and close those that nobody has yet begun to use.

    Raises:
        As `apply`.
    """
    apply(group, config, now_ns)
    for name in group.names:
        group.breaker(name).initialise(now_ns)


def apply(group: Breakers, config: Mapping[str, Any], now_ns: int | None = None) -> None:
    """Give all breakers the settings of a configuration, those that are at work included.

    Their states stay as they are. The limits of health, and what is done when the global one opens,
    are the supervisor's, which has read them at its start. `now_ns` is of CLOCK_MONOTONIC, which is
    read if it is None.

    Raises:
        BreakerError: a value is wrong; nothing was changed.
        RoleTakenError: somebody else is doing so at this moment.
    """
    table = config["breakers"]
    settings = settings_of(config)
    group.limits(table["min_components"], table["open_bp"], table["close_bp"])
    for name, each in settings.items():
        group.breaker(name).configure(each, now_ns)
