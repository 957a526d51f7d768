"""When a process that died is started again, and when that is given up."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Limits on restarts, in seconds.

    Attributes:
        budget: So many deaths of one process within `window_s` are restarted; one more halts.
        backoff_s: Before the second restart in a row of a process that did no work in between;
            doubled with each further one, up to `backoff_max_s`.
    """

    budget: int
    window_s: float
    backoff_s: float
    backoff_max_s: float


class Restarts:
    """The history of one process."""

    def __init__(self, policy: RestartPolicy, random_source: random.Random) -> None:
        """Begin with none. The random source jitters the backoff."""
        self._policy = policy
        self._random = random_source
        self._deaths: deque[float] = deque()
        self._fruitless = 0

    def died(self, now: float, *, had_worked: bool) -> float | None:
        """Note a death at `now` (seconds, monotonic); return the delay before the restart.

        A process that had done some work starts again at once: that is a crash, not a crash loop.

        Returns:
            None if the budget is exceeded.
        """
        self._deaths.append(now)
        while now - self._deaths[0] > self._policy.window_s:
            self._deaths.popleft()
        if len(self._deaths) > self._policy.budget:
            return None
        self._fruitless = 0 if had_worked else self._fruitless + 1
        if self._fruitless <= 1:
            return 0.0
        longest = self._policy.backoff_s * 2.0 ** (self._fruitless - 2)
        return min(self._policy.backoff_max_s, longest) * self._random.uniform(0.5, 1.0)

    @property
    def recent(self) -> int:
        """Deaths within the window, as of the last one."""
        return len(self._deaths)
