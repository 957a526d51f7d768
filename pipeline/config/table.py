"""What all tables of the configuration have in common, and how they name what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from pipeline.config.lines import KeyPath


class Table(BaseModel):
    """A table: nothing in it is unknown, nothing is converted, nothing changes."""

    # Defaults are validated too: they may contradict what is configured beside them.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Problem(NamedTuple):
    """One thing that is wrong: "`path` was `value`, must `remedy`"."""

    path: KeyPath
    value: object
    remedy: str


def refuse(problems: Sequence[Problem]) -> None:
    """Report problems that lie in several places, which a validator can only do with a detour."""
    if problems:
        raise PydanticCustomError("problems", "several", {"problems": list(problems)})
