"""The project's ring and its peers, one class each behind the protocol in `base`."""

from __future__ import annotations

from perf import machine
from perf.transports.base import Transport
from perf.transports.faster_fifo import FasterFifo
from perf.transports.iceoryx2 import Iceoryx2
from perf.transports.ring import Ring
from perf.transports.standard import MultiprocessingPipe, MultiprocessingQueue
from perf.transports.zmq import Zmq

TRANSPORTS: dict[str, type[Transport]] = {
    transport.name: transport
    for transport in (Ring, MultiprocessingQueue, MultiprocessingPipe, FasterFifo, Zmq, Iceoryx2)
}


def why_missing(name: str) -> str | None:
    """Return why a transport cannot be used here, None if it can."""
    return machine.why_missing(TRANSPORTS[name].requires)
