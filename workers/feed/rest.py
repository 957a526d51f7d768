"""A venue's public REST: GET with a deadline."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

_MOST_BYTES = 32 << 20
_LATER = (408, 418, 425, 429)  # statuses of requests that may be made again
_LONGEST_WAIT = 300.0  # seconds, whatever Retry-After says


class RestError(Exception):
    """A request failed; the text says how.

    Attributes:
        refused: The venue will not answer it another time either.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class Rest:
    """Requests to one venue, none before it wants them again."""

    def __init__(self, deadline: float = 2.0) -> None:
        self._deadline = deadline
        self._not_before = 0.0
        self._aiohttp: ModuleType | None = None
        self._session: Any = None

    async def load(self) -> None:
        """Load the library, which takes 0.3 s, in a thread: messages are read meanwhile."""
        if self._aiohttp is None:
            self._aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")

    async def get(self, url: str, wait: Callable[[], float]) -> bytes:
        """Return the body of an answer with status 200.

        `wait` says in how many seconds the request may be made, and counts it if that is 0.

        Raises:
            RestError: there was none in time.
        """
        await self.load()
        aiohttp = self._aiohttp
        assert aiohttp is not None
        clock = asyncio.get_running_loop().time
        while (pause := max(0.0, self._not_before - clock()) or wait()) > 0:
            await asyncio.sleep(pause)
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=True)
        try:
            async with asyncio.timeout(self._deadline), self._session.get(url) as answer:
                body: bytes = await answer.content.read(_MOST_BYTES)
                while not answer.content.at_eof() and len(body) < _MOST_BYTES:
                    body += await answer.content.read(_MOST_BYTES)
        except TimeoutError:
            raise RestError(f"no answer from {url} within {self._deadline:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise RestError(f"no answer from {url}: {error}") from None
        if answer.status != 200:
            shown = body[:200].decode(errors="replace")
            after = _seconds(answer.headers.get("Retry-After", ""))
            self._not_before = max(self._not_before, clock() + after)
            raise RestError(
                f"{url} was answered with {answer.status}: {shown}",
                refused=400 <= answer.status < 500 and answer.status not in _LATER,
            )
        return body

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _seconds(text: str) -> float:
    return min(_LONGEST_WAIT, float(text)) if text.isascii() and text.isdigit() else 0.0
