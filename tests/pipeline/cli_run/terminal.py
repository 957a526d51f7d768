"""`bot4 run` on a terminal, as a user sees it and types there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

from tests.pipeline.supervisor.started import BOT4, PATIENCE_S, environment


class Terminal:
    """A `bot4 run` on a terminal of its own."""

    def __init__(self, arguments: list[str], cwd: Path, columns: int = 120) -> None:
        self.fd, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        env = {key: value for key, value in environment().items() if key != "COLUMNS"}
        self.process = subprocess.Popen(
            [BOT4, "run", *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=cwd,
            env={**env, "TERM": "xterm-256color"},
            start_new_session=True,
            # Ctrl-C goes to whoever has it as controlling terminal.
            preexec_fn=lambda: fcntl.ioctl(other, termios.TIOCSCTTY, 0),
        )
        os.close(other)
        self.seen = ""

    def read_until(self, pattern: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.seen, re.MULTILINE):
            assert time.monotonic() < deadline, self.seen
            self._read(deadline)

    def _read(self, deadline: float) -> bool:
        if not select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return bool(data)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> int:
        """Read what is left, and return the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)
