"""How errors that a user can mend end a command: one message, and an exit code that says which."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from pipeline.affinity import AffinityError
from pipeline.config import ConfigError
from pipeline.instruments import InstrumentError
from pipeline.stage import StageError
from pipeline.supervisor.start import AlreadyRunningError
from shm import ShmError

FAILURE = 1
NOT_RUNNING = 3
HALTED = 4
BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


def warn(text: str) -> None:
    """Say what did not keep the command from doing its work."""
    click.echo(f"bot4: {text}", err=True)


@contextlib.contextmanager
def exit_with_message(*failures: type[Exception]) -> Iterator[None]:
    """Turn such errors, and `failures`, into a message and an exit code.

    Others are bugs, and keep their traceback.
    """
    try:
        yield
    except (ConfigError, InstrumentError, StageError) as error:
        _fail(error, BAD_CONFIGURATION)
    except BrokenPipeError:
        raise  # whoever read the output has gone; click ends quietly
    except (ShmError, AffinityError, AlreadyRunningError, OSError) as error:
        _fail(error, FAILURE)
    except failures as error:
        _fail(error, FAILURE)


def _fail(error: Exception, code: int) -> None:
    warn(str(error))
    raise click.exceptions.Exit(code)
