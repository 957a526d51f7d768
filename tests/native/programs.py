"""The C++ programs of the tests: how they are built and run, and what of the headers they reach.

Each program is one concern; what it prints is the evidence.
"""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

COMPILE = [
    "g++",
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
    "-ffp-contract=off",
    # A jump to another stack (interleavings.hpp) is not the error that hardened libraries take it
    # for.
    "-U_FORTIFY_SOURCE",
]
# Single-stepping would go through the dynamic linker at the first call of a function.
LINK = ["-Wl,-z,now"]
VARIANTS = {
    "release": ["-O2"],  # as the extension is built
    # The quickest to compile and run: with -O0 there is twice as much to step through.
    "quick": ["-O1"],
    "thread": ["-O1", "-g1", "-fsanitize=thread"],
    "address": ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    # Atomic, because threads count the same lines.
    "coverage": ["-O0", "--coverage", "-fprofile-update=atomic"],
}
SKIPPED = 77  # as in check.hpp

# Generous, because the tests may share a slow machine with others.
COMPILE_TIMEOUT_S = 120
RUN_TIMEOUT_S = 240

MINIMUM_LINE_COVERAGE = 95


def cannot(reason: str) -> None:
    """Skip the test, or fail it where the tools are known to be there."""
    if os.environ.get("BOT4_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def call(
    command: list[str], timeout: float, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=timeout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def compile_to(target: Path, variant: str, *arguments: str) -> Path:
    if shutil.which("g++") is None:
        cannot("not on PATH: g++")
    done = call(
        [*COMPILE, *VARIANTS[variant], *arguments, "-o", str(target)],
        COMPILE_TIMEOUT_S,
        target.parent,
    )
    assert done.returncode == 0, done.stdout
    return target


def build(
    program: str,
    variant: str,
    directory: Path,
    *options: str,
    folder: Path = HERE,
    root: Path = ROOT,
) -> Path:
    """Build a program in a directory.

    Args:
        program: Its source's name, without the suffix.
        variant: One of `VARIANTS`.
        directory: Where the binary goes, and what it leaves when it runs.
        options: Of the compiler, beyond those of the variant.
        folder: Where the source is.
        root: The project, or a copy of its headers, which it includes by their paths in there;
            those of shm, and of this folder, by their names alone.
    """
    return compile_to(
        directory / program,
        variant,
        *options,
        *(f"-I{headers}" for headers in (root, root / "shm" / "native", HERE)),
        str(folder / f"{program}.cpp"),
        *LINK,
    )


@functools.cache
def fixed_addresses() -> list[str]:
    """Return what to put before a command so that its addresses are not randomised.

    ThreadSanitizer cannot place its shadow memory under every randomisation. A container may forbid
    to turn it off; then it has to do without.
    """
    command = ["setarch", "-R"]
    if shutil.which("setarch") is None:
        return []
    return command if call([*command, "true"], 10, HERE).returncode == 0 else []


def run(binary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program; skip the test if it cannot be run here."""
    directory = binary.parent
    done = call(
        [*fixed_addresses(), str(binary), *arguments],
        RUN_TIMEOUT_S,
        directory,
        TSAN_OPTIONS="halt_on_error=1",
        # The programs keep their memory for the whole run.
        ASAN_OPTIONS="detect_leaks=0",
        UBSAN_OPTIONS="print_stacktrace=1",
    )
    if done.returncode == SKIPPED or "unexpected memory mapping" in done.stdout:
        cannot(done.stdout.strip())
    return done


def expect_success(binary: Path, *arguments: str) -> str:
    done = run(binary, *arguments)
    print(done.stdout)
    assert done.returncode == 0, f"status {done.returncode}:\n{done.stdout}"
    return done.stdout


def figures(output: str, unit: str) -> list[int]:
    return [int(figure) for figure in re.findall(rf"(\d+) {unit}", output)]


Executed = dict[str, dict[int, bool]]
"""By header, each line with code, and whether any program has executed it."""


def executed_lines(directory: Path, headers: str) -> Executed:
    """Return the lines of headers that the programs of a directory have executed.

    Args:
        directory: Where they were built, as the variant "coverage", and run.
        headers: A pattern of the headers' paths in the project.
    """
    if importlib.util.find_spec("gcovr") is None:
        cannot("not installed: gcovr")
    report = directory / "coverage.json"
    done = call(
        [
            *(sys.executable, "-m", "gcovr", "--root", str(ROOT), "--object-directory", "."),
            *("--filter", re.escape(f"{ROOT}/") + f"(?:{headers})$", "--json", str(report), "."),
        ],
        COMPILE_TIMEOUT_S,
        directory,
    )
    assert done.returncode == 0, done.stdout
    executed: Executed = {}
    for file in json.loads(report.read_text(encoding="utf-8"))["files"]:
        lines = executed.setdefault(file["file"], {})
        # A line of a template comes once for each of its instances.
        for line in file["lines"]:
            number = line["line_number"]
            lines[number] = lines.get(number, False) or line["count"] > 0
    return executed


def expect_covered(executed: Executed) -> None:
    """Fail unless nearly all lines were executed, of all these headers together."""
    missed = []
    for header, lines in sorted(executed.items()):
        missed += [f"{header}:{number}" for number, was in sorted(lines.items()) if not was]
    total = sum(map(len, executed.values()))
    percent = 100 * (total - len(missed)) / total
    summary = f"{percent:.1f} % of {total} lines executed, not: {', '.join(missed) or 'none'}"
    print(summary)
    assert percent >= MINIMUM_LINE_COVERAGE, summary
