"""The operator's command: started, given one object on stdin, bounded in time and in what it says.

It gets little of this process's environment: keys of venues may be in there.
"""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PASSED_ON: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"),
    *("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"),
)
"""The variables that it is given, where there are any: to find programs, a home and a way out."""

_KEPT: Final = 2048  # bytes of what it prints
# Bytes that it may print: they are read by a process that has a run to watch.
_MOST: Final = 1 << 24
_READ: Final = 1 << 16
_LOOK_S: Final = 0.1  # how late the end of a run may be noticed


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it.

    Attributes:
        failure: What went wrong; empty if it ended with exit status 0.
        exit_status: None if it was not started, or did not end by itself; below 0 a signal's.
        lines: The first that it printed, on stdout or stderr, without control characters.
        seconds: How long it took.
    """

    failure: str
    exit_status: int | None = None
    lines: tuple[str, ...] = ()
    seconds: float = 0.0


def told(
    command: Sequence[str],
    document: Mapping[str, Any],
    timeout_s: float,
    end: Callable[[], float] = lambda: math.inf,
) -> Answer:
    """Run a command with a document on its stdin, and wait for its end.

    Args:
        command: Program and arguments; no shell reads them.
        document: JSON data.
        timeout_s: After that it is killed, with all that it has started.
        end: Returns a time of `time.monotonic` beyond which nothing may go on.
    """
    begun = time.monotonic()
    # A file, not a pipe: nobody waits for a command that does not read.
    given = os.memfd_create("notice")
    try:
        os.write(given, json.dumps(document).encode() + b"\n")
        os.lseek(given, 0, os.SEEK_SET)
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return Answer(f"cannot be started ({error.strerror or error})")
    finally:
        os.close(given)
    with process:
        assert process.stdout is not None
        try:
            printed, failure = _followed(
                process.pid, process.stdout.fileno(), lambda: min(begun + timeout_s, end())
            )
        except OSError as error:
            printed, failure = b"", f"cannot be watched ({error.strerror or error})"
        if failure:
            os.killpg(process.pid, signal.SIGKILL)  # it is not reaped yet, so the id is its own
    seconds = time.monotonic() - begun
    status = None if failure else process.returncode
    if status:
        # Here, as the supervisor imports this module.
        from pipeline.supervisor.child import describe_exit

        failure = describe_exit(status)
    elif failure:
        failure = f"{failure}, killed after {seconds:.1f} s"
    return Answer(failure, status, tuple(_lines(printed)), round(seconds, 3))


def environment() -> dict[str, str]:
    """Return the environment of the command."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.defpath, **kept}


def doubts(config: Mapping[str, Any]) -> list[str]:
    """Say that nobody would be told, if that is already known."""
    command = config["notify"]["command"]
    if not command or shutil.which(command[0], path=environment()["PATH"]):
        return []
    return [f"notify.command was {command[0]!r}, which is no program here: nobody would be told"]


def _followed(pid: int, out: int, deadline: Callable[[], float]) -> tuple[bytes, str]:
    """Read what a process prints until it ends; return the beginning, and what it did wrong."""
    kept, count = b"", 0
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(out, select.POLLIN)
    try:
        while (left := deadline() - time.monotonic()) > 0:
            events = dict(poll.poll(min(left, _LOOK_S) * 1000))
            if out in events:
                data = os.read(out, _READ)
                kept += data[: _KEPT - len(kept)]
                count += len(data)
                if count > _MOST:
                    return kept, f"has printed more than {_MOST >> 20} MiB"
                if not data:
                    poll.unregister(out)
                elif len(kept) < _KEPT:
                    continue  # if it has ended, there may be more to read
            if pidfd in events:
                return kept, ""
        return kept, "has not ended"
    finally:
        os.close(pidfd)


def _lines(printed: bytes) -> list[str]:
    shown = (
        "".join(each if each.isprintable() else " " for each in line).strip()
        for line in printed.decode(errors="replace").splitlines()
    )
    return [line for line in shown if line]
