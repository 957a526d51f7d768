"""The table `[notify]`: who is told what, beside the log."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, field_validator

from pipeline.config.table import Table
from pipeline.config.values import pattern
from pipeline.notify.notice import Kind


def _array(example: str) -> BeforeValidator:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be an array, e.g. {example}")
        return tuple(value)

    return BeforeValidator(check)


Argument = Annotated[str, pattern(r"[^\0]*", "text without NUL")]


class Notify(Table):
    """A command that is told what an operator should know of at once."""

    command: Annotated[tuple[Argument, ...], _array('["mail", "-s", "bot4", "me@example.org"]')] = (
        Field(default=(), description="program and arguments, no shell; none: nobody is told")
    )
    on: Annotated[tuple[Kind, ...], _array('["kill"]')] = Field(
        default=get_args(Kind), description="the kinds that it is told of"
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, allow_inf_nan=False, description="one that takes longer is killed"
    )

    @field_validator("command")
    @classmethod
    def _begins_with_a_program(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if command and not command[0].strip():
            raise ValueError("must begin with a program, or be [] for none")
        return command

    @field_validator("on")
    @classmethod
    def _is_something(cls, on: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not on:
            raise ValueError("must name at least one kind; command = [] tells nobody")
        return on
