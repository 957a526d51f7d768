"""A watch over a cast, with a clock that the test turns, and all that it says and does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.breakers.subscribers import Event
from pipeline.breakers.watch import BreakerWatch
from pipeline.notify.notice import Notice
from pipeline.vocabulary import Mode
from shm import Breaker, Breakers, State
from tests.pipeline.breakers.cast import MS, Cast

LOOK = 50 * MS
UNTIL_RESUMED = "new risk is refused and positions are closed until `bot4 resume`"


class Stand:
    """A watch, and all that it has said and done."""

    def __init__(self, cast: Cast, forced: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.cast = cast
        self.forced = forced or {}
        self.said: list[str] = []
        self.events: list[Event] = []
        self.told: list[Notice] = []
        self.halts: list[str] = []
        self.lag = 0
        self.resume()

    def resume(self, *, killed: bool = False) -> None:
        """Have another watch go on with what there is, maybe that of a run that was killed."""
        self.group: Breakers = self.cast.segment.breakers("breakers")
        self.watch = BreakerWatch(
            self.group,
            self.cast.segment,
            self.cast.config,
            self.cast.stages,
            self.said.append,
            self.halts.append,
            now_ns=self.cast.now,
            publish=self.events.append,
            tell=self.told.append,
            raise_mode=self.raise_mode,
            lag_ns=lambda now_ns: self.lag,
            resumed=killed,
            forced=self.forced,
        )

    def raise_mode(self, mode: Mode, reason: str) -> None:
        """Do it as the supervisor does, without a record."""
        assert reason.startswith("the global breaker opened: ")
        self.cast.segment.words("run").store("mode", mode)

    def run(
        self, duration: int = LOOK, silent: tuple[str, ...] = (), *, judge: bool = True
    ) -> None:
        """Look all the time; all are alive but the `silent` ones."""
        for _ in range(duration // LOOK):
            self.cast.now += LOOK
            self.cast.beat(*silent)
            if "feed" not in silent:
                self.cast.hear()
            self.watch.tick(self.cast.now, judge=judge)

    def breaker(self, name: str) -> Breaker:
        return self.group.breaker(name)

    def states(self) -> dict[str, State]:
        return {name: self.group.breaker(name).state for name in self.group.names}

    def word(self, word: str) -> int:
        return self.cast.segment.words("run").load(word)


NewStand = Callable[..., Stand]
