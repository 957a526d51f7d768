"""What one process does: calls behind a breaker until a time, each of them timed.

Each loop is written out, because a function around what is timed would be timed too.
"""

from __future__ import annotations

import ctypes
import importlib
import time
from array import array
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

from shm import Breaker, Breakers, _native

FAIL_EVERY: Final = 100
"""Calls, of which the last one fails: 1 %, and never two in a row in one process."""

SAMPLES: Final = 1 << 17
"""Latencies that are kept of a measurement in each process: the last ones."""

_OUTCOMES = (True,) * (FAIL_EVERY - 1) + (False,)
_MASK = SAMPLES - 1
_CLOCK_READINGS = 10_000


class Timed(NamedTuple):
    """Calls of one process.

    Attributes:
        calls: How many there were.
        ops_per_s: How many a second.
        ns: What the last ones took.
        clock_ns: What a reading of the clock takes.
    """

    calls: int
    ops_per_s: float
    ns: array[int]
    clock_ns: float


class NotCountedError(Exception):
    """A call was not admitted, or its outcome did not count: something else was measured."""


class NativeLoop:
    """The loop in C++, from the library that was compiled of `loop.cpp`."""

    def __init__(self, library: Path, group: Breakers) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.time_calls.restype = ctypes.c_uint64
        self._library.time_clock.restype = ctypes.c_int64
        self._library.group_bytes.restype = ctypes.c_uint64
        count = len(group.names)
        compiled, built = (
            self._library.group_bytes(ctypes.c_uint64(count)),
            (_native.breakers_bytes(count)),
        )
        if compiled != built:
            raise NotCountedError(
                f"{count} breakers take {compiled} bytes by the headers, {built} by the module "
                "that was built of older ones; run make"
            )
        start = ctypes.pythonapi.PyCapsule_GetPointer
        start.restype, start.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        self._held = group.pointer
        self._start = ctypes.c_void_p(start(self._held, b"bot4.region"))
        self._group = group

    def time(self, breaker: str, end_ns: int) -> Timed:
        """Make calls behind a breaker of the group until a time, in ns of CLOCK_MONOTONIC."""
        ns = array("I", bytes(4 * SAMPLES))
        start_ns = time.monotonic_ns()
        calls = self._library.time_calls(
            self._start,
            ctypes.c_uint32(self._group.names.index(breaker)),
            ctypes.c_uint(self._group.shard),
            ctypes.c_uint64(FAIL_EVERY),
            ctypes.c_int64(end_ns),
            ctypes.c_void_p(ns.buffer_info()[0]),
            ctypes.c_uint64(_MASK),
        )
        rate = calls / (time.monotonic_ns() - start_ns) * 1e9
        if calls == 0:
            raise NotCountedError(f"a call behind breaker {breaker!r} did not count")
        clock_ns = self._library.time_clock(ctypes.c_uint64(_CLOCK_READINGS)) / _CLOCK_READINGS
        return Timed(calls, rate, ns[:calls], clock_ns)


# In Python a reading of the clock takes a third of what is timed, so the rate is taken without.


def time_bot4(breaker: Breaker, middle_ns: int, end_ns: int) -> Timed:
    """Make calls behind the project's breaker: until `middle_ns` untimed, then each timed."""
    acquire, complete, clock = breaker.acquire, breaker.complete, time.monotonic_ns
    batches, start = 0, clock()
    while batches == 0 or clock() < middle_ns:
        for ok in _OUTCOMES:
            complete(acquire(), ok)
        batches += 1
    timing = _Timing(batches, clock() - start)
    ns = timing.ns
    calls = after = 0
    while after < end_ns:
        for ok in _OUTCOMES:
            before = clock()
            complete(acquire(), ok)
            after = clock()
            ns[calls & _MASK] = after - before
            calls += 1
    return timing.result(calls)


def time_lock(
    breaker: Breaker, lock: AbstractContextManager[Any], middle_ns: int, end_ns: int
) -> Timed:
    """Make the same calls, each of the two operations under a lock."""
    acquire, complete, clock = breaker.acquire, breaker.complete, time.monotonic_ns
    batches, start = 0, clock()
    while batches == 0 or clock() < middle_ns:
        for ok in _OUTCOMES:
            with lock:
                permit = acquire()
            with lock:
                complete(permit, ok)
        batches += 1
    timing = _Timing(batches, clock() - start)
    ns = timing.ns
    calls = after = 0
    while after < end_ns:
        for ok in _OUTCOMES:
            before = clock()
            with lock:
                permit = acquire()
            with lock:
                complete(permit, ok)
            after = clock()
            ns[calls & _MASK] = after - before
            calls += 1
    return timing.result(calls)


def time_pybreaker(middle_ns: int, end_ns: int) -> Timed:
    """Make calls behind pybreaker's breaker, which belongs to this process."""
    pybreaker = importlib.import_module("pybreaker")
    call, clock = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30).call, time.monotonic_ns
    functions = [_succeed if ok else _fail for ok in _OUTCOMES]
    failures = batches = 0
    start = clock()
    while batches == 0 or clock() < middle_ns:
        for function in functions:
            try:
                call(function)
            except ConnectionError:
                failures += 1
        batches += 1
    timing = _Timing(batches, clock() - start)
    ns = timing.ns
    calls = after = 0
    while after < end_ns:
        for function in functions:
            before = clock()
            try:
                call(function)
            except ConnectionError:
                failures += 1
            after = clock()
            ns[calls & _MASK] = after - before
            calls += 1
    timed = timing.result(calls)
    if failures * FAIL_EVERY != timed.calls:
        raise NotCountedError(f"of {timed.calls:,} calls {failures:,} failed")
    return timed


def _succeed() -> None:
    pass


def _fail() -> None:
    raise ConnectionError


class _Timing:
    """What the loops in Python have in common, outside of what is timed."""

    def __init__(self, batches: int, elapsed_ns: int) -> None:
        self.ns = array("I", bytes(4 * SAMPLES))
        self._untimed = batches * FAIL_EVERY
        self._rate = self._untimed / elapsed_ns * 1e9

    def result(self, calls: int) -> Timed:
        return Timed(self._untimed + calls, self._rate, self.ns[:calls], self._clock_ns())

    def _clock_ns(self) -> float:
        clock = time.monotonic_ns
        start = clock()
        for _ in range(_CLOCK_READINGS):
            clock()
        return (clock() - start) / _CLOCK_READINGS
