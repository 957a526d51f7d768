"""Faults put into copies of the headers, one at a time: the program in charge has to find each.

A test that cannot fail proves nothing.
"""

import atexit
import functools
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.native.programs import ROOT, build, compile_to, run

PACKAGES = ("shm", "pipeline", "workers")

STANDARD = (
    *("algorithm", "atomic", "cstdint", "cstdio", "cstdlib", "cstring", "functional", "memory"),
    *("optional", "span", "stdexcept", "string", "utility", "vector"),
)
"""What most programs of faults include. The more, the longer it takes each of them to read."""


class Fault(NamedTuple):
    header: str  # its path in the project
    edits: dict[str, str]  # what occurs once in the header, and what takes its place
    program: str
    tests: tuple[str, ...]  # those of the program's tests that have to find it; (): all of them
    evidence: str  # a pattern of what they print
    variant: str = "quick"


@functools.cache
def standard_headers() -> Path:
    """Compile the standard headers, once for all the faults of this process.

    That takes as long as what it saves five programs, so only those of faults are built with it,
    which are many. And a header that lacks an include is still found by the others.
    """
    folder = Path(tempfile.mkdtemp(prefix="bot4-headers-"))
    atexit.register(shutil.rmtree, folder)
    header = folder / "standard.hpp"
    header.write_text("".join(f"#include <{name}>\n" for name in STANDARD), encoding="utf-8")
    compile_to(folder / "standard.hpp.gch", "quick", "-x", "c++-header", str(header))
    return header


def copy_headers(fault: Fault, root: Path) -> None:
    for package in PACKAGES:
        for header in (ROOT / package).rglob("native/*.hpp"):
            copy = root / header.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(header, copy)
    broken = root / fault.header
    text = broken.read_text(encoding="utf-8")
    for right in fault.edits:
        assert text.count(right) == 1, f"{fault.header} has changed: adapt the fault to it"
    for right, wrong in fault.edits.items():
        text = text.replace(right, wrong, 1)
    broken.write_text(text, encoding="utf-8")


def expect_found(fault: Fault, directory: Path) -> None:
    """Fail unless the tests of the fault find it, and print its evidence."""
    root = directory / "headers"
    copy_headers(fault, root)
    options = []
    if fault.variant == "quick":
        # -Winvalid-pch: an error rather than a slow test, if it does not fit.
        options = ["-Winvalid-pch", "-include", str(standard_headers())]
    done = run(build(fault.program, fault.variant, directory, *options, root=root), *fault.tests)
    assert done.returncode != 0, f"{fault.program} did not find it:\n{done.stdout}"
    assert re.search(fault.evidence, done.stdout), done.stdout
