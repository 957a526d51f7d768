"""What the breakers decide by, from a resolved configuration."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pipeline.topology import components
from shm import Breakers, BreakerSettings, RoleTakenError, State

LOOK_S: Final = 0.05
"""How often the supervisor looks, s: what a crashed process leaves in a breaker waits for as long.

A window of time has at most so many calls."""

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


_PAUSE_S: Final = 0.01
_TRIES: Final = 100  # a reload takes far less than this second

_NOBODY: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({})

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


def begin(
    group: Breakers,
    config: Mapping[str, Any],
    now_ns: int | None = None,
    forced: Mapping[str, tuple[str, str]] = _NOBODY,
) -> tuple[str, ...]:
    """Give settings to all breakers that have none, and close those that nobody has begun to use.

    Of a run that is gone on with, all others keep what they have: it may have been loaded since.

    Args:
        group: The breakers.
        config: A resolved configuration.
        now_ns: CLOCK_MONOTONIC, which is read if it is None.
        forced: Actor and reason by name of those that are forced open instead of closed.

    Returns:
        The names of those that were.

    Raises:
        As `apply`.
    """
    settings = settings_of(config)
    unset = {name: each for name, each in settings.items() if group.breaker(name).settings is None}
    if unset:
        _configure(group, unset, config, now_ns, time.sleep)
    opened = []
    for name in group.names:
        breaker = group.breaker(name)
        if name in forced and breaker.state in (State.UNINIT, State.INVALID):
            actor, reason = forced[name]
            breaker.force_open(now_ns, actor=actor, reason=reason)
            opened.append(name)
        else:
            breaker.initialise(now_ns)
    return tuple(opened)


def apply(
    group: Breakers,
    config: Mapping[str, Any],
    now_ns: int | None = None,
    *,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Give all breakers the settings of a configuration, those that are at work included.

    Their states stay as they are. The limits of health, and what is done when the global one opens,
    are the supervisor's, which has read them at its start.

    Args:
        group: The breakers.
        config: A resolved configuration.
        now_ns: CLOCK_MONOTONIC, which is read if it is None.
        wait: Waits for some seconds, while somebody else is doing so.

    Raises:
        BreakerError: a value is wrong; nothing was changed.
        RoleTakenError: somebody else has been doing so for a second; nothing was changed.
    """
    _configure(group, settings_of(config), config, now_ns, wait)


def _configure(
    group: Breakers,
    settings: dict[str, BreakerSettings],
    config: Mapping[str, Any],
    now_ns: int | None,
    wait: Callable[[float], object],
) -> None:
    table = config["breakers"]
    live = group.current_limits.live
    limits = table["min_components"], table["open_bp"], table["close_bp"], live
    for _ in range(_TRIES):
        try:
            group.configure(settings, limits, now_ns)
        except RoleTakenError:
            wait(_PAUSE_S)
        else:
            return
    raise RoleTakenError(
        "the settings of the breakers were not changed: another reload is under way; repeat "
        "(bot4 breaker reload)"
    )
