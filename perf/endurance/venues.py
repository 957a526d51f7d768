"""The connectors of three venues in a pipeline, against one exchange with faults."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from perf.endurance import faults
from perf.endurance.observed import Observed
from perf.endurance.run import endure, started
from pipeline.config.model import Config
from pipeline.instruments import SIMULATOR
from pipeline.records import QUOTE
from shm import Segment

_BETWEEN: Final = {"binance": "", "kraken": "/", "coinbase": "-"}
"""What stands between the currencies in the names of its instruments."""

_FRESH_S: Final = 3.0
"""A quote is live that was confirmed no longer ago."""

_SEED: Final = 4
_PATIENCE_S: Final = 5.0

METHOD = f"""\
Binance, Kraken and Coinbase, three instruments each, as they are read from the internet, but
from a `bot4 exchange` on loopback that sends as fast as it is read, and misbehaves by a seeded
script of all its faults; the last {faults.QUIET_S:g} s are quiet. Fails, beyond the above, if
- at the end a book is not live, or a quote older than {_FRESH_S:g} s;
- a quote was published whose bid is not below its ask, or a trade twice;
- a kind of fault that was ordered never happened."""


def run(
    seconds: float, quiet: float = faults.QUIET_S, kinds: Sequence[faults.Kind] = faults.KINDS
) -> dict[str, Any]:
    """Run the pipeline for so many seconds; return all that there is to tell, as plain data."""
    listed = Config().resolved()["instruments"]
    observed = Observed()
    found: dict[str, Any] = {}

    @contextlib.contextmanager
    def watch(segment: Segment) -> Iterator[None]:
        with observed.following(segment):
            yield
            found["counters"] = segment.counters("feed.counters")
            found["wedged"] = _wedged(segment, len(_BETWEEN) * len(listed))

    with _exchange(faults.script(seconds, quiet, _SEED, kinds)) as places:
        report = endure(seconds, {}, config=_configuration(listed, places), watch=watch)
        made = _asked(places["control"])["counts"]
    counters = found.get("counters", {})
    elapsed = report["samples"][-1]["seconds"] if report["samples"] else 0.0
    told = {
        "messages": counters.get("messages", 0),
        "messages_per_s": round(counters.get("messages", 0) / elapsed) if elapsed else None,
        "trades": observed.trades,
        "quotes": observed.quotes,
        "faults": made,
        "stales": observed.stales,
        "resyncs": observed.resyncs,
        "gaps": observed.stales["gap"],
        "malformed": counters.get("malformed", 0),
        "recoveries": max(0, counters.get("connects", 0) - len(_BETWEEN)),
        "restarts": sum(each["restarts"] for each in report["summary"].get("stages", {}).values()),
        "crossed": observed.crossed,
        "trades_repeated": observed.repeated(),
        "trades_missing": observed.missing(),
        "records_unseen": observed.unseen,
        "wedged": found.get("wedged"),
    }
    report["problems"] += judged(told, _ordered(kinds))
    return {**report, **told}


def judged(told: Mapping[str, Any], ordered: Sequence[str]) -> list[str]:
    """Return what is wrong with a feed that was told so much."""
    problems = [
        f"{what} were {told[key]:,}, must be none"
        for key, what in (
            ("crossed", "crossed quotes that were published"),
            ("trades_repeated", "trades that were published twice"),
            ("records_unseen", "records that the observer was too slow to see"),
        )
        if told[key]
    ]
    if told["wedged"] is None:
        problems.append("the books could not be looked at: the run ended before")
    problems += told["wedged"] or []
    problems += [
        f"fault {name} never happened, must happen: run for longer"
        for name in ordered
        if not told["faults"].get(name)
    ]
    return problems


def _ordered(kinds: Sequence[faults.Kind]) -> list[str]:
    names = {part.partition("=")[0] for kind in kinds for part in kind.fault.split(",")}
    # What only delays is not counted by the simulator.
    return sorted(names - {"latency", "jitter", "slow-reader"})


def _wedged(segment: Segment, instruments: int) -> list[str]:
    """Return which instruments have no quote that holds."""
    reader = segment.table_reader("quotes")
    quotes = np.zeros(instruments, QUOTE)
    now = time.monotonic_ns()
    problems = []
    for row in range(instruments):
        reader.read(row, quotes[row : row + 1])
        quote = quotes[row]
        age = (now - int(quote["link_ns"])) / 1e9
        if quote["stale"] or not quote["received_ns"] or age > _FRESH_S:
            problems.append(
                f"instrument {row} was stale for reason {int(quote['stale'])}, last heard of "
                f"{age:.1f} s ago, must be live at the end"
            )
    return problems


def _configuration(listed: Sequence[Mapping[str, Any]], places: Mapping[str, Any]) -> str:
    tables = []
    for venue, between in _BETWEEN.items():
        place = places["venues"][venue]
        tables.append(
            f'[venues.{venue}]\nurl = "{place["websocket"]}"\nrest_url = "{place["rest"]}"\n'
        )
        for each in listed:
            assert each["venue"] == SIMULATOR
            values = {
                **{key: value for key, value in each.items() if key != "price"},
                "symbol": between.join((each["base"], each["quote"])),
                "venue": venue,
            }
            rows = (f'{key} = "{value}"' for key, value in values.items() if value is not None)
            tables.append("\n".join(("[[instruments]]", *rows, "")))
    return "\n".join(tables)


@contextlib.contextmanager
def _exchange(script: str) -> Iterator[dict[str, Any]]:
    """Run an exchange, of the instruments of the default configuration; yield its addresses."""
    with tempfile.TemporaryDirectory(prefix="bot4-stress-") as folder:
        path = Path(folder, "faults.toml")
        path.write_text(script, encoding="utf-8")
        arguments = ["exchange", "--json", "--rate", "0", "--seed", str(_SEED)]
        log = Path(folder, "log")
        with started([*arguments, "--script", str(path)], folder, log) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"bot4 exchange ended: {log.read_text(encoding='utf-8')[-500:]}")
            yield json.loads(line)


def _asked(url: str) -> dict[str, Any]:
    """Return the state of the exchange, which may be busy."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:  # noqa: S310 - loopback
                state: dict[str, Any] = json.load(answer)
                return state
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
