"""What is left of a run that cannot end itself: ended, and its positions closed by the executor.

Nothing of the run is needed but its segment: whoever it was that died, hangs or was stopped is
killed with its supervisor, the segment adopted, and of all processes only the executor started.
The orders come from here, in the place of risk's; the market does not come any more, so on paper
they fill at the last quote that the executor has seen.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from pipeline.instruments import Instrument, instruments_from
from pipeline.kill.positions import executor_cells, quantities
from pipeline.money import BASIS_POINTS, INT64_MAX
from pipeline.records import ORDER, Array
from pipeline.supervisor.child import Child, describe_exit
from pipeline.vocabulary import Side
from shm import Segment

END_S: Final = 20.0
"""How long the processes of a run may take to go once they were killed: a busy disk keeps them."""

_EXECUTOR_S = 20.0  # for an executor to begin, and to take what it was given
_ATTEMPTS = 3
_LOOK_S = 0.005  # an executor that hangs rings for nobody
_COLLAR_BP = 500
_OWN_IDS = 1 << 62
"""Order ids from here on are no ids of risk's."""


def end_supervisor(segment: Segment) -> None:
    """Kill the supervisor of a run, if there is one; its workers die with it."""
    pid = segment.words("supervisor.words").load("pid")
    if not pid:
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Looked at once the process is pinned by its descriptor: the pid is still the owner's.
        if not segment.owner_alive() or pid == os.getpid():
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(END_S * 1000)
    finally:
        os.close(pidfd)


class Alone:
    """The executor of a segment that this process owns, and nobody else."""

    def __init__(
        self, segment: Segment, config: Mapping[str, Any], report: Callable[[str], None]
    ) -> None:
        """Prepare it; `segment` was adopted, and nobody has a role in it."""
        self._segment = segment
        self._instruments = instruments_from(config)
        self._report = report
        self._sent = 0

    def close_all(self) -> dict[str, str]:
        """Close all positions; return those that are left.

        To be called from the main thread, like all that starts processes.
        """
        orders = self._segment.producer("orders")
        executions = self._segment.consumer("executions")
        try:
            for attempt in range(_ATTEMPTS):
                child = self._start()
                try:
                    if not self._until(child, executions, self._has_begun):
                        continue
                    for _ in range(_ATTEMPTS if attempt == 0 else 1):
                        if self._until(child, executions, self._is_idle) and self._is_flat():
                            return {}
                        self._order(orders)
                    self._until(child, executions, self._is_idle)
                    return self._left()
                finally:
                    child.end(2.0)
                    child.close()
            return self._left()
        finally:
            executions.close()
            orders.close()

    def _start(self) -> Child:
        words = self._segment.words("executor.words")
        words.store("beat", 0)
        child = Child("executor", self._segment.name, self._segment.run_id)
        words.store("pid", child.pid)
        return child

    def _has_begun(self) -> bool:
        return bool(self._segment.words("executor.words").load("beat"))

    def _is_idle(self) -> bool:
        return not self._segment.depth("ticks") and not self._segment.depth("orders")

    def _is_flat(self) -> bool:
        return not executor_cells(self._segment)["position"].any()

    def _left(self) -> dict[str, str]:
        return quantities(executor_cells(self._segment)["position"].tolist(), self._instruments)

    def _until(self, child: Child, executions: Any, condition: Callable[[], bool]) -> bool:
        """Wait for a condition; meanwhile take the place of risk, or the executor would wait."""
        deadline = time.monotonic() + _EXECUTOR_S
        while not condition():
            if len(executions.view()):
                executions.commit()
            if (status := child.exit_status()) is not None:
                self._report(f"executor (pid {child.pid}) ended: {describe_exit(status)}")
                return False
            if time.monotonic() > deadline:
                self._report(f"executor (pid {child.pid}) does nothing for {_EXECUTOR_S:g} s")
                return False
            time.sleep(_LOOK_S)
        return True

    def _order(self, orders: Any) -> None:
        """Order the closing of each position; one that cannot be does not hold up the others.

        What the ring has no room for is left to the next attempt.
        """
        for index, cell in enumerate(executor_cells(self._segment)):
            for quantity in slices(abs(int(cell["position"])), self._instruments[index]):
                self._sent += 1
                record = closing_order(index, cell, quantity, _OWN_IDS + self._sent)
                record["sequence"] = orders.published
                # Behind all that risk has published, so that nobody takes it for a repetition.
                record["cause_step"] = _OWN_IDS + self._sent
                if not orders.push(record):
                    break


def slices(lots: int, instrument: Instrument) -> Iterator[int]:
    """Yield the orders that close so many lots: as few as the venue's largest order allows.

    All of them at once, and by no limit of our own: whoever is alone has no time for more. They are
    alike, so that the last is none that the venue would not take.
    """
    largest = instrument.max_quantity_e8 // instrument.lot_e8
    count = -(-lots // largest) if largest else int(lots != 0)
    for i in range(count):
        yield lots // count + (i < lots % count)


def closing_order(index: int, cell: np.void, quantity: int, order_id: int) -> Array:
    """Return an order that closes some of an executor's position, reduce only, at the collar."""
    buys = cell["position"] < 0
    quote = int(cell["ask"] if buys else cell["bid"])
    bound = BASIS_POINTS + _COLLAR_BP if buys else BASIS_POINTS - _COLLAR_BP
    order = np.zeros(1, ORDER)
    order["instrument"] = index
    order["received_ns"] = order["stamped_ns"] = time.monotonic_ns()
    order["order_id"] = order_id
    order["side"] = Side.BUY if buys else Side.SELL
    order["reduce_only"] = 1
    order["quantity"] = quantity
    order["limit"] = min(quote * bound // BASIS_POINTS, INT64_MAX)
    return order
