"""What the breakers decide by, and how what they cannot work by is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.breakers.settings import KEYS, apply, seed_of, settings_of
from pipeline.config import Config, ConfigError, load
from shm import BreakerError, Breakers, BreakerSettings, RoleTakenError, Segment
from shm.breaker_types import PARTICIPANTS
from shm.locks import Claim, role_byte

DEFAULTS = Config().resolved()


def refused(text: str, tmp_path: Path) -> list[str]:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "c.toml", environ={})
    return str(error.value).replace(f"{tmp_path}/", "").splitlines()


def resolved(text: str, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "c.toml").write_text(text)
    return load(tmp_path / "c.toml", environ={}).config.resolved()


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = settings_of(DEFAULTS)
    assert tuple(settings) == topology.components(DEFAULTS)
    assert settings["ta"] == BreakerSettings(
        window="time",
        window_ns=10_000_000_000,
        window_calls=100,
        min_calls=10,
        failure_bp=5000,
        slow_bp=0,
        slow_ns=1_000_000_000,
        consecutive=5,
        cooldown_ns=30_000_000_000,
        cooldown_factor_bp=20_000,
        cooldown_max_ns=300_000_000_000,
        jitter_bp=2000,
        probes=3,
        successes=3,
        failures=1,
        seed=seed_of("ta"),
    )
    critical = {name for name, each in settings.items() if each.critical}
    assert critical == {"feed.sim", "orders.sim", "risk"}


def test_each_rule_has_its_key() -> None:
    table = DEFAULTS["breakers"]
    rules = set(BreakerSettings.__dataclass_fields__) - {"weight", "critical", "seed"}
    assert set(KEYS) == rules
    assert all(key in table and key in table["storage"] for key, _ in KEYS.values())


def test_seeds_are_always_the_same_and_differ() -> None:
    assert seed_of("ta") == 9632248445451680882  # b2sum -l 64, backwards
    settings = settings_of(DEFAULTS)
    assert len({each.seed for each in settings.values()}) == len(settings)


def test_a_component_goes_over_all_and_a_feed_over_each_venues(tmp_path: Path) -> None:
    text = """
    [breakers]
    consecutive = 7
    [breakers.feed]
    consecutive = 3
    critical = false
    weight = 2
    cooldown_s = 1.5
    [breakers.ml]
    window = "count"
    cooldown_factor = 1.25
    """
    settings = settings_of(resolved(text, tmp_path))
    feed, ml = settings["feed.sim"], settings["ml"]
    assert (feed.consecutive, feed.critical, feed.weight) == (3, False, 2)
    assert feed.cooldown_ns == 1_500_000_000
    assert (ml.consecutive, ml.window, ml.cooldown_factor_bp) == (7, "count", 12_500)


def test_a_feed_is_critical_if_it_is_the_only_one_unless_it_is_said(tmp_path: Path) -> None:
    config = Config().resolved()
    config["instruments"][0]["venue"] = "other"
    feeds = {name for name, each in settings_of(config).items() if each.critical}
    assert feeds == {"orders.other", "orders.sim", "risk"}
    config["breakers"]["feed"]["critical"] = True
    assert {"feed.other", "feed.sim"} <= {
        name for name, each in settings_of(config).items() if each.critical
    }


def test_settings_that_cannot_work_are_named_at_their_lines_all_at_once(tmp_path: Path) -> None:
    text = """\
[breakers]
cooldown_s = 0.5
[breakers.ta]
probes = 9
[breakers.ml]
window = "count"
min_calls = 200
[breakers.risk]
slow_bp = 1
slow_ms = 0
cooldown_max_s = 0.25
successes = 16
[breakers.storage]
failure_bp = 0
consecutive = 0
"""
    assert refused(text, tmp_path) == [
        "c.toml:2: breakers.cooldown_s was 0.5, must be >= 1, a bucket of window_s",
        "c.toml:4: breakers.ta.probes was 9, must be <= successes + failures, 4",
        (
            "c.toml:5: breakers.ml.window_calls was 100 (default), must be >= min_calls, 200, or "
            "no rate would ever count"
        ),
        "c.toml:10: breakers.risk.slow_ms was 0, must be > 0 if slow_bp is",
        "c.toml:11: breakers.risk.cooldown_max_s was 0.25, must be >= cooldown_s, 0.5",
        (
            "c.toml:12: breakers.risk.successes was 16, must be less, so that failures and it are "
            "at most 16 together, the permits of an episode"
        ),
        (
            "c.toml:14: breakers.storage.failure_bp was 0, must be > 0, unless slow_bp or "
            "consecutive is, or nothing would ever open it"
        ),
    ]


def test_a_breaker_that_could_never_open_is_refused(tmp_path: Path) -> None:
    text = """\
[breakers]
min_calls = 41
[breakers.ta]
consecutive = 0
window_s = 2.0
[breakers.ml]
consecutive = 0
window_s = 2.0
min_calls = 40
[breakers.risk]
consecutive = 0
window = "count"
[breakers.storage]
consecutive = 0
window_s = 2.0
"""
    looks = "at most 40, the looks in window_s, one each 50 ms, or nothing would ever open it"
    assert refused(text, tmp_path) == [
        f"c.toml:4: breakers.ta.consecutive was 0, must be > 0, or min_calls, 41, {looks}"
    ]
    text = text.replace("= 40", "= 41").replace("consecutive = 0\nwindow_s", "window_s", 1)
    assert refused(text, tmp_path) == [
        f"c.toml:8: breakers.ml.min_calls was 41, must be {looks}, unless consecutive is > 0"
    ]
    text = "breakers.consecutive = 0\nbreakers.window_s = 2.05\nbreakers.min_calls = 42\n"
    (said,) = refused(text, tmp_path)
    assert said.startswith("c.toml:3: breakers.min_calls was 42, must be at most 41, ")
    resolved("breakers.consecutive = 1\nbreakers.min_calls = 1000\n", tmp_path)


def test_the_storage_is_probed_again_soon(tmp_path: Path) -> None:
    assert settings_of(DEFAULTS)["storage"].cooldown_max_ns == 30_000_000_000
    settings = settings_of(resolved("breakers.cooldown_max_s = 60.0\n", tmp_path))
    assert settings["ta"].cooldown_max_ns == 60_000_000_000
    assert settings["storage"].cooldown_max_ns == 30_000_000_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("window = 'calls'", "window was 'calls', must be 'time' or 'count'"),
        ("window_s = nan", "window_s was nan, must be a finite number"),
        ("probes = 0", "probes was 0, must be greater than or equal to 1"),
        ("cooldown_factor = 0.5", "cooldown_factor was 0.5, must be greater than or equal to 1"),
        ("close_bp = 5000", "close_bp was 5000, must be less than breakers.open_bp, 5000"),
        ("on_open = 'sell'", "on_open was 'sell', must be 'refuse', 'flatten' or 'halt'"),
        ("min_components = 7", "min_components was 7, must be at most 6, the number of components"),
        ("feed.critical = 1", 'feed.critical was 1, must be true, false or "auto"'),
        ("risk.critical = 'auto'", "risk.critical was 'auto', must be a valid boolean"),
        ("ta.beat_ms = 100", "ta.beat_ms was 100, must be greater than or equal to 300"),
    ],
)
def test_a_wrong_value_is_named(line: str, message: str, tmp_path: Path) -> None:
    (problem,) = refused(f"breakers.{line}\n", tmp_path)
    assert problem == f"c.toml:1: breakers.{message}"


def test_a_limit_that_a_component_does_not_have_is_unknown(tmp_path: Path) -> None:
    (problem,) = refused("breakers.storage.beat_ms = 400\n", tmp_path)
    assert problem.startswith("c.toml:1: unknown key breakers.storage.beat_ms; ")


def test_applied_settings_reach_breakers_that_are_at_work(
    segment: Segment, config: dict[str, Any]
) -> None:
    group = segment.breakers("breakers")
    apply(group, config, 1)
    ta = group.breaker("ta")
    ta.initialise(1)
    config["breakers"]["ta"]["consecutive"] = 2
    apply(group, config, 2)
    ta.fail_once(3)
    assert ta.state.name == "CLOSED"
    ta.fail_once(4)
    assert ta.state.name == "OPEN"


def test_of_settings_that_are_wrong_none_is_applied(
    segment: Segment, config: dict[str, Any]
) -> None:
    group = segment.breakers("breakers")
    apply(group, config, 1)
    ta = group.breaker("ta")
    ta.initialise(1)
    config["breakers"]["ta"]["consecutive"] = 1
    config["breakers"]["storage"]["successes"] = 20
    with pytest.raises(BreakerError, match="successes was 20"):
        apply(group, config, 2)
    config["breakers"]["storage"]["successes"] = 3
    config["breakers"]["close_bp"] = 9000
    with pytest.raises(BreakerError, match="close"):
        apply(group, config, 2)
    ta.fail_once(3)
    assert ta.state.name == "CLOSED"


def test_limits_that_somebody_has_made_for_real_trading_stay_so(
    segment: Segment, config: dict[str, Any]
) -> None:
    group = segment.breakers("breakers")
    group.limits(1, 5000, 3500, live=True)
    apply(group, config, 1)
    limits = (config["breakers"]["min_components"], 5000, 3500, True)
    assert tuple(group.current_limits) == limits


@pytest.fixture
def other_reload(segment: Segment) -> Iterator[Claim]:
    """Somebody who is loading settings."""
    fd = os.open(segment.path, os.O_RDWR)
    region = segment.layout.regions["breakers"]
    claim = Claim(fd, role_byte(region.index, PARTICIPANTS), 1, "the reload")
    yield claim
    claim.release()
    os.close(fd)


def test_a_reload_waits_for_another_one(
    segment: Segment, config: dict[str, Any], other_reload: Claim
) -> None:
    config["breakers"]["consecutive"] = 2
    group: Breakers = segment.breakers("breakers")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            other_reload.release()

    apply(group, config, 1, wait=wait)
    assert len(waited) == 3
    for name in group.names:
        settings = group.breaker(name).settings
        assert settings is not None
        assert settings.consecutive == 2


def test_a_reload_that_waits_for_too_long_changes_nothing_and_says_what_to_do(
    segment: Segment, config: dict[str, Any], other_reload: Claim
) -> None:
    group = segment.breakers("breakers")
    before = [group.breaker(name).settings for name in group.names], group.current_limits
    config["breakers"] |= {"consecutive": 2, "min_components": 1}
    waited: list[float] = []
    with pytest.raises(RoleTakenError, match="another reload is under way; repeat"):
        apply(group, config, 1, wait=waited.append)
    assert sum(waited) == pytest.approx(1.0)
    after = [group.breaker(name).settings for name in group.names], group.current_limits
    assert after == before
