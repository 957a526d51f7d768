"""How errors that a user can mend end a command: one message, and an exit code that says which."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from pipeline.config import ConfigError
from pipeline.demo import DemoError
from shm import ShmError

FAILURE = 1
BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


@contextlib.contextmanager
def exit_with_message() -> Iterator[None]:
    """Turn such errors into a message and an exit code; others keep their traceback."""
    try:
        yield
    except ConfigError as error:
        _fail(error, BAD_CONFIGURATION)
    except BrokenPipeError:
        raise  # whoever read the output has gone; click ends quietly
    except (ShmError, DemoError, OSError) as error:
        _fail(error, FAILURE)


def _fail(error: Exception, code: int) -> None:
    click.echo(f"bot4: {error}", err=True)
    raise click.exceptions.Exit(code)
