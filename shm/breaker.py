"""Calls guarded by a circuit breaker, written as Python is: with `with`, or as a decorator.

::

    with Guard(breaker):
        request()


    @guarded(breaker)
    async def order(...): ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from shm.breaker_types import BreakerOpenError, Rejection

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Permit(Protocol):
    @property
    def rejection(self) -> Rejection: ...
    def __bool__(self) -> bool: ...


class _Breaker(Protocol):
    @property
    def name(self) -> str: ...
    def acquire(self) -> Any: ...
    def complete(self, permit: Any, ok: bool) -> int: ...


class Guard:
    """One call: a success if the block ends, a failure if it is left by an exception.

    Any exception is one, a cancellation too: what was asked for has not been done. It costs no
    await, so the same guard serves `with` and `async with`. Each call needs a guard of its own.

    Raises:
        BreakerOpenError: from `with`, if the breaker admits nobody; the block is not run.
    """

    __slots__ = ("_breaker", "_permit")

    def __init__(self, breaker: _Breaker) -> None:
        """Prepare to call what `breaker` guards; the permit is asked for by `with`."""
        self._breaker = breaker

    def __enter__(self) -> Self:
        permit: _Permit = self._breaker.acquire()
        if not permit:
            raise BreakerOpenError(self._breaker.name, permit.rejection)
        self._permit = permit
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._breaker.complete(self._permit, kind is None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def guarded(breaker: _Breaker) -> Callable[[_Function], _Function]:
    """Decorate a function, or a coroutine function, so that each call of it is guarded.

    Raises:
        TypeError: it is a generator.
    """

    def decorate(function: _Function) -> _Function:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator, which has not done anything when its "
                "call returns; use Guard around what is done with it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*arguments: Any, **named: Any) -> Any:
                with Guard(breaker):
                    return await function(*arguments, **named)

            return cast("_Function", call_async)

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with Guard(breaker):
                return function(*arguments, **named)

        return cast("_Function", call)

    return decorate
