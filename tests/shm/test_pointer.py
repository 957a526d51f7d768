"""What a role gives to the native code of other modules."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shm import (
    CellsSpec,
    ClosedError,
    CountersSpec,
    DoorbellSpec,
    Layout,
    ObserverSpec,
    RingSpec,
    RoleTakenError,
    Segment,
    TableSpec,
    WordsSpec,
)
from tests.conftest import TRADE

LAYOUT = Layout(
    DoorbellSpec("bell"),
    RingSpec("ring", TRADE, 8),
    ObserverSpec("observer", TRADE, 8),
    TableSpec("table", TRADE, 3),
    CellsSpec("cells", TRADE, 3),
    CountersSpec("counters", ("a",)),
    WordsSpec("words", ("x", "y")),
)

ROLES: dict[str, tuple[str, Callable[[Segment], Any]]] = {
    "producer": ("ring", lambda segment: segment.producer("ring")),
    "consumer": ("ring", lambda segment: segment.consumer("ring")),
    "follower": ("ring", lambda segment: segment.ring_follower("ring")),
    "observer": ("observer", lambda segment: segment.observer_producer("observer")),
    "table": ("table", lambda segment: segment.table_writer("table")),
    "cells": ("cells", lambda segment: segment.cells_writer("cells", 0)),
    "doorbell": ("bell", lambda segment: segment.doorbell("bell")),
    "bell": ("bell", lambda segment: segment.bell("bell")),
    "counters": ("counters", lambda segment: segment.counters_writer("counters")),
    "words": ("words", lambda segment: segment.words("words")),
}

_address_in = ctypes.pythonapi.PyCapsule_GetPointer
_address_in.restype = ctypes.c_void_p
_address_in.argtypes = [ctypes.py_object, ctypes.c_char_p]


def address(pointer: object) -> int:
    found = _address_in(pointer, b"bot4.region")
    assert isinstance(found, int)
    return found


def is_mapped(inode: int) -> bool:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return any(int(line.split()[4]) == inode for line in maps)


@pytest.mark.parametrize("what", ROLES)
def test_it_points_to_the_start_of_the_region(name: str, what: str) -> None:
    region, take = ROLES[what]
    with Segment.create(name, LAYOUT) as segment:
        start = ctypes.addressof(ctypes.c_char.from_buffer(segment._mapping))  # type: ignore[arg-type]
        gc.collect()
        assert address(take(segment).pointer) == start + LAYOUT.regions[region].offset


def test_its_memory_stays_mapped_while_it_lives(name: str) -> None:
    segment = Segment.create(name, LAYOUT)
    words = segment.words("words")
    words.store("y", 77)
    pointer = words.pointer
    inode = os.stat(segment.path).st_ino
    segment.close()
    del words
    gc.collect()
    assert ctypes.c_uint64.from_address(address(pointer) + 64).value == 77
    assert is_mapped(inode)
    del pointer
    gc.collect()
    assert not is_mapped(inode)


def test_a_closed_role_gives_none(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        producer = segment.producer("ring")
        producer.close()
        with pytest.raises(ClosedError, match="ring 'ring' was used after it was closed"):
            _ = producer.pointer


def test_a_pointer_keeps_the_role_and_its_lock(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        pointer = segment.producer("ring").pointer
        gc.collect()
        with pytest.raises(RoleTakenError):
            segment.producer("ring")
        del pointer
        segment.producer("ring")
