"""Faults with times: when each begins, and when it ends."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.exchange.faults import Fault, FaultError, Faults, faults_of

_KEYS = ("at", "fault", "for")
_DURATIONS = ("black-hole", "refuse", "restart")  # whose value says how long


@dataclass(frozen=True, slots=True)
class Entry:
    """Some faults, when they begin and how long they last, in seconds; None: for good."""

    at: float
    faults: tuple[Fault, ...]
    lasts: float | None


def load(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a script, a TOML file, in the order of their times.

    ::

        [[faults]]
        at = 3.0             # seconds after the start
        fault = "black-hole"
        for = 2.0            # seconds; without it for good

    Raises:
        FaultError: the file or an entry cannot be; its number and the file's name are in the text.
        OSError: the file cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FaultError(f"{path} was no TOML: {error}") from None
    unknown = [key for key in document if key != "faults"]
    entries = document.get("faults", [])
    if unknown or not isinstance(entries, list):
        raise FaultError(f"{path} had {unknown or 'faults'}, must have tables [[faults]] only")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(entry_of(entry))
        except FaultError as error:
            raise FaultError(f"{path}, fault {number}: {error}") from None
    return tuple(sorted(found, key=lambda each: each.at))


def entry_of(entry: Any) -> Entry:
    """Return one entry, of a script or of a request: `fault`, and perhaps `at` and `for`.

    Raises:
        FaultError: it cannot be.
    """
    if not isinstance(entry, dict):
        raise FaultError(f"entry was {entry!r}, must be a table")
    for key in entry:
        if key not in _KEYS:
            raise FaultError(f"unknown key {key!r}, must be one of {', '.join(_KEYS)}")
    text = entry.get("fault")
    if not isinstance(text, str):
        raise FaultError(f"fault was {text!r}, must be a text such as 'drop=0.01'")
    lasts = _seconds(entry, "for") if "for" in entry else None
    return Entry(_seconds(entry, "at"), tuple(faults_of(text)), lasts)


def begin(faults: Faults, entry: Entry) -> list[asyncio.TimerHandle]:
    """Begin the faults of an entry now, and return the timers that will end them."""
    loop = asyncio.get_running_loop()
    timers = []
    for fault in entry.faults:
        lasts = entry.lasts
        if lasts is None and fault.name in _DURATIONS and fault.value > 0:
            lasts = fault.value
        faults.begin(fault)
        if lasts is not None:
            timers.append(loop.call_later(lasts, _end, faults, fault))
    return timers


async def play(faults: Faults, entries: Sequence[Entry]) -> None:
    """Begin each entry at its time, and end it."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    timers: list[asyncio.TimerHandle] = []
    try:
        for entry in entries:
            await asyncio.sleep(max(0.0, start + entry.at - loop.time()))
            timers += begin(faults, entry)
        await asyncio.Event().wait()
    finally:
        for timer in timers:
            timer.cancel()


def _end(faults: Faults, fault: Fault) -> None:
    # Another of its kind may have replaced it, and be just like it.
    if any(each is fault for each in faults.active()):
        faults.end(fault.name, fault.venue)


def _seconds(entry: dict[str, Any], key: str) -> float:
    value = entry.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
        raise FaultError(f"{key} was {value!r}, must be seconds from 0 to 1000000")
    return float(value)
