"""The processes of a run as their words, quotes, rings and histograms in the segment show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import topology
from pipeline.records import MARKET, QUOTE
from pipeline.stage import Stage
from shm import Segment

MS = 1_000_000
SECOND = 1_000_000_000


class Cast:
    """What the processes would write, at a time that a test tells."""

    def __init__(
        self, segment: Segment, config: dict[str, Any], stages: Mapping[str, Stage]
    ) -> None:
        self.segment = segment
        self.config = config
        self.stages = stages
        self.now = 1000 * SECOND
        self._quotes = segment.table_writer("quotes")
        self._latencies = {
            name: segment.histograms_writer(f"{name}.latency") for name in topology.PIPELINE
        }
        self._market = segment.producer("market")

    def store(self, process: str, **words: int) -> None:
        """Store words of a process."""
        for word, value in words.items():
            self.segment.words(f"{process}.words").store(word, value)

    def begin(self, *processes: str, worked: bool = True) -> None:
        """Have processes (default: all) begin now, and have taken a record."""
        for process in processes or topology.PIPELINE:
            self.store(process, started_ns=self.now, beat=self.now, first_ns=self.now * worked)
        if worked and (not processes or "feed" in processes):
            self.hear()

    def beat(self, *but: str) -> None:
        """Have all beat that have begun, except these."""
        for process in topology.PIPELINE:
            if process not in but and self.segment.words(f"{process}.words").load("beat"):
                self.store(process, beat=self.now)

    def hear(self, *rows: int, quoted: bool = True) -> None:
        """Have the feed hear now of some instruments, by default of all."""
        for row in rows or range(len(self.config["instruments"])):
            quote = np.zeros(1, QUOTE)
            quote["link_ns"] = self.now
            quote["received_ns"] = self.now * quoted
            self._quotes.write(row, quote)

    def take(self, process: str, histogram: str, milliseconds: float, times: int = 1) -> None:
        """Record latencies."""
        for _ in range(times):
            self._latencies[process].record(histogram, int(milliseconds * MS))

    def wait(self, records: int) -> None:
        """Have records of the market wait for ta."""
        assert self._market.push_many(np.zeros(records, MARKET)) == records
