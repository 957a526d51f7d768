"""What a circuit breaker decides by, as integers only, so that no comparison can meet a NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from shm.breaker_types import BUCKETS, LARGEST_LEASE_NS, MOST_CALLS, PROBES, BreakerSettingsError

SECOND_NS = 1_000_000_000
LONGEST_NS = 1 << 53  # 104 days, so that deadlines fit into 37 bits of ticks (4.5 years of uptime)
MOST = (1 << 32) - 1  # of counts: what an event's fields hold
MOST_WEIGHT = 1 << 20
WINDOWS = ("time", "count")

# The least and the largest value of each field, whatever the others are.
_LIMITS = {
    "window_ns": (0, LONGEST_NS),
    "window_calls": (0, MOST_CALLS),
    "min_calls": (1, MOST),
    "failure_bp": (0, 10_000),
    "slow_bp": (0, 10_000),
    "slow_ns": (0, LONGEST_NS),
    "consecutive": (0, MOST),
    "cooldown_ns": (1, LONGEST_NS),
    "cooldown_factor_bp": (10_000, 1_000_000),
    "cooldown_max_ns": (1, LONGEST_NS),
    "jitter_bp": (0, 5_000),
    "probes": (1, PROBES),
    "successes": (1, PROBES),
    "failures": (0, PROBES - 1),
    "max_stay_ns": (1, LONGEST_NS),
    "lease_ns": (1, LARGEST_LEASE_NS),
    "weight": (1, MOST_WEIGHT),
    "seed": (0, (1 << 64) - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """The settings of one breaker; rates in basis points (10000 = all), times in nanoseconds.

    Args:
        window: "time", the last `window_ns` in 10 buckets, or "count", the last `window_calls`.
        window_ns: length of a window of time.
        window_calls: length of a window of calls, at most 1024.
        min_calls: with fewer in the window there is no rate.
        failure_bp: the rate of failures at which it opens; 0: no such rule.
        slow_bp: the rate of slow calls at which it opens; 0: no such rule.
        slow_ns: a call is slow if it took longer.
        consecutive: failures in a row that open it, whatever `min_calls`; 0: no such rule.
        cooldown_ns: the stay in OPEN before probes are let through.
        cooldown_factor_bp: what it grows by with each failed episode of probes; 20000: doubles.
        cooldown_max_ns: where it stops growing.
        jitter_bp: how far it is stretched or shortened at most; 2000: 20 %.
        probes: permits in flight at once in HALF_OPEN.
        successes: of probes that close it.
        failures: of probes that it allows; one more opens it again.
        max_stay_ns: in HALF_OPEN, then it opens again.
        lease_ns: how long a probe may take.
        weight: in the global state.
        critical: whether its being open makes the global state open.
        seed: of the jitter.

    Raises:
        BreakerSettingsError: names every field that is wrong, its value and its limit.
    """

    window: str = "time"
    window_ns: int = 10 * SECOND_NS
    window_calls: int = 100
    min_calls: int = 10
    failure_bp: int = 5_000
    slow_bp: int = 0
    slow_ns: int = 0
    consecutive: int = 5
    cooldown_ns: int = 30 * SECOND_NS
    cooldown_factor_bp: int = 20_000
    cooldown_max_ns: int = 300 * SECOND_NS
    jitter_bp: int = 2_000
    probes: int = 3
    successes: int = 3
    failures: int = 1
    max_stay_ns: int = 60 * SECOND_NS
    lease_ns: int = 10 * SECOND_NS
    weight: int = 1
    critical: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        problems = self._wrong_fields()
        if not problems:  # the rules between fields need fields that are numbers
            problems = self._wrong_together()
        if problems:
            raise BreakerSettingsError(problems)

    def words(self) -> tuple[int, ...]:
        """Return the fields in the order above, as in breaker_settings.hpp.

        `window` is 0 for time and 1 for count, `critical` 0 or 1.
        """
        return (
            WINDOWS.index(self.window),
            *(int(getattr(self, field.name)) for field in fields(self)[1:]),
        )

    @classmethod
    def from_words(cls, words: Sequence[int]) -> BreakerSettings:
        """Return the settings that have these `words`."""
        values = dict(zip((field.name for field in fields(cls)), words, strict=True))
        window, critical = WINDOWS[values.pop("window")], bool(values.pop("critical"))
        return cls(window=window, critical=critical, **values)

    def _wrong_fields(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        if self.window not in WINDOWS:
            problems["window"] = f'window was {self.window!r}, must be "time" or "count"'
        for name, (least, largest) in _LIMITS.items():
            value = getattr(self, name)
            # A bool is an int to Python, and 3.0 compares like one.
            if type(value) is not int:
                problems[name] = f"{name} was {value!r}, must be an integer"
            elif not least <= value <= largest:
                problems[name] = f"{name} was {value}, must be in {least} .. {largest}"
        if type(self.critical) is not bool:
            problems["critical"] = f"critical was {self.critical!r}, must be True or False"
        return problems

    def _wrong_together(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        if self.window == "time":
            if self.window_ns < BUCKETS:
                problems["window_ns"] = (
                    f"window_ns was {self.window_ns}, must be >= {BUCKETS}, a nanosecond a bucket"
                )
            if self.cooldown_ns < self.window_ns // BUCKETS:
                problems["cooldown_ns"] = (
                    f"cooldown_ns was {self.cooldown_ns}, must be >= "
                    f"{self.window_ns // BUCKETS}, a bucket of window_ns"
                )
        elif self.window_calls < self.min_calls:
            problems["window_calls"] = (
                f"window_calls was {self.window_calls}, must be >= min_calls, {self.min_calls}, "
                "or no rate would ever count"
            )
        if self.failure_bp == self.slow_bp == self.consecutive == 0:
            problems["failure_bp"] = (
                "failure_bp, slow_bp and consecutive were all 0, must be > 0 for at least one, "
                "or nothing would ever open it"
            )
        if self.slow_bp > 0 and self.slow_ns == 0:
            problems["slow_ns"] = "slow_ns was 0, must be > 0 if slow_bp is"
        if self.cooldown_max_ns < self.cooldown_ns:
            problems["cooldown_max_ns"] = (
                f"cooldown_max_ns was {self.cooldown_max_ns}, must be >= cooldown_ns, "
                f"{self.cooldown_ns}"
            )
        if self.successes + self.failures > PROBES:
            problems["successes"] = (
                f"successes + failures were {self.successes + self.failures}, must be <= {PROBES}, "
                "the permits of an episode"
            )
        if self.probes > self.successes + self.failures:
            problems["probes"] = (
                f"probes was {self.probes}, must be <= successes + failures, "
                f"{self.successes + self.failures}"
            )
        return problems
