"""What a figure depends on besides the code: the machine, and the versions of what ran on it."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

CpuPair = tuple[int, int]

_MODULES = {"ccxt": "ccxt.pro", "TA-Lib": "talib"}
"""What is imported of a distribution, where that has another name."""


def describe(distributions: Iterable[str] = ()) -> dict[str, Any]:
    """Return the machine as plain data, with the versions of the `distributions` installed."""
    model, virtual = _processor()
    return {
        "cpu": model,
        "virtual": virtual,
        "cpus": sorted(os.sched_getaffinity(0)),
        "load_1_min": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: version(name) for name in ("bot4", "numpy", *distributions)},
    }


def in_words(machine: Mapping[str, Any]) -> str:
    """Return what `describe` found as a few lines for a reader."""
    versions = ", ".join(
        f"{name} {number or 'not installed'}" for name, number in machine["versions"].items()
    )
    return (
        f"{machine['cpu']}{' (virtual)' if machine['virtual'] else ''}, "
        f"CPUs {', '.join(map(str, machine['cpus']))}, load {machine['load_1_min']}\n"
        f"{machine['kernel']}, {machine['libc']}, {machine['python']}\n{versions}"
    )


def version(distribution: str) -> str | None:
    """Return the version of an installed distribution, None if it is not there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def why_missing(peer: str) -> str | None:
    """Return why a distribution, or a module, cannot be measured here, None if it can."""
    module = _MODULES.get(peer, peer)
    try:
        importlib.import_module(module)
    except ImportError as error:
        return f"{module} cannot be imported ({error}); pip install 'bot4[perf]' brings it"
    return None


def two_cpus() -> CpuPair:
    """Return two CPUs that this process may use, on different cores if there are such.

    The same one twice if it may use only one.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    siblings = _siblings(first)
    apart = [cpu for cpu in others if cpu not in siblings]
    return first, (apart or others or [first])[0]


def _processor() -> tuple[str, bool]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    return fields.get("model name", platform.machine()), "hypervisor" in fields.get("flags", "")


def _siblings(cpu: int) -> set[int]:
    """Return the CPUs that are threads of the same core."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return {cpu}
    found: set[int] = set()
    for part in text.strip().split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return found
