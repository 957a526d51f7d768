"""`bot4 stop`: the orderly end of a running deployment."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import click

from pipeline.cli.config import configuration_flags
from pipeline.cli.failure import exit_with_message
from pipeline.cli.running import running_segment
from pipeline.cli.seconds import Seconds
from shm import Segment


class StopError(Exception):
    """The run did not end in time."""


@click.command("stop")
@click.option("--timeout", type=Seconds(min=0), default=15.0, help="To wait for its end.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None, timeout: float, name: str | None, settings: dict[str, str]
) -> None:
    """Drain a running deployment from source to sink, and wait until it has ended."""
    with (
        exit_with_message(StopError),
        running_segment(config_file, name, settings) as (segment, _),
    ):
        _end(segment, timeout)
        click.echo(f"stopped {segment.name}, run {segment.run_id}")


def _end(segment: Segment, timeout: float) -> None:
    beginning = StopError(f"run {segment.run_id} is just beginning; try again")
    pid = segment.words("supervisor.words").load("pid")
    if not pid:
        raise beginning
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        if segment.owner_alive():  # who goes on with a killed run has not yet said its own pid
            raise beginning from None
        return  # it has just ended
    try:
        # Looked at once the process is pinned by its descriptor: the pid is still the owner's.
        if not segment.owner_alive():
            return
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise StopError(
                f"run {segment.run_id} (pid {pid}) has not ended within {timeout:g} s; it "
                "is still draining, or kill it: bot4 kill --reason ..."
            )
    finally:
        os.close(pidfd)
