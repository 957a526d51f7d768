"""The segment of a run without its processes, which the tests are in place of."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click.testing
from click.testing import CliRunner
from rich.console import Console

from pipeline.breakers.audit import FILE, AuditEntry, read
from pipeline.breakers.figures import BreakerFigures, figures_of
from pipeline.breakers.settings import apply
from pipeline.cli import main
from shm import Breaker, Breakers, Segment

SECOND = 1_000_000_000
NAMES = ("feed.sim", "orders.sim", "ta", "ml", "risk", "storage")


class Run:
    """A run that commands find under its name, with a state directory of its own."""

    def __init__(self, segment: Segment, config: dict[str, Any]) -> None:
        self.segment = segment
        self.config = config
        self.group: Breakers = segment.breakers("breakers")
        apply(self.group, config)
        for name in self.group.names:
            self.group.breaker(name).initialise()

    @property
    def trail(self) -> Path:
        return Path(self.config["state_dir"]) / FILE

    def entries(self) -> list[AuditEntry]:
        return read(self.trail)[0]

    def breaker(self, name: str) -> Breaker:
        return self.group.breaker(name)

    def state(self, name: str) -> str:
        return self.breaker(name).state.name

    def calls(self, name: str, *outcomes: bool) -> None:
        breaker = self.breaker(name)
        for ok in outcomes:
            breaker.complete(breaker.acquire(), ok)

    def bot4(self, *arguments: str) -> click.testing.Result:
        """Run `bot4 breaker` with this run's name and state directory."""
        flags = ["--name", self.segment.name, "--set", f"state_dir={self.config['state_dir']}"]
        return CliRunner().invoke(main, ["breaker", *arguments, *flags])

    def look(self, name: str = "", now_ns: int | None = None) -> BreakerFigures:
        found = {each.name: each for each in figures_of(self.segment, self.config, now_ns).breakers}
        return found[name]


def shown(renderable: object, width: int = 130) -> str:
    screen = Console(file=io.StringIO(), record=True, width=width)
    screen.print(renderable)
    return screen.export_text()
