"""Waiting at a doorbell inside an asyncio event loop, by eventfd."""

from __future__ import annotations

import asyncio

from shm._native import Doorbell

LONGEST_SLEEP = 0.1
"""Seconds; as for every sleep, in case a producer was killed between publishing and ringing."""


async def wait_async(doorbell: Doorbell, timeout: float | None = None) -> bool:
    """Return True once one of the doorbell's rings has records or it was rung, False at `timeout`.

    The doorbell must be declared with ``event_loop=True``. As with every wait, True may turn out
    to be for something that was read in the meantime.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    while doorbell.arm():
        left = LONGEST_SLEEP if deadline is None else deadline - loop.time()
        if left <= 0:
            doorbell.disarm()
            return False
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(doorbell.event_fd, _settle, readable)
        try:
            await asyncio.wait([readable], timeout=min(left, LONGEST_SLEEP))
        finally:
            loop.remove_reader(doorbell.event_fd)
            # Hears no ring, so whatever happened, also a cancellation, `arm` still tells.
            doorbell.disarm()
    return True


def _settle(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
