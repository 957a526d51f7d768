"""The same roles as `shm._native`, in slow, obvious Python over the same memory.

They are the documentation of what the native ones do, and pass the same tests; an end of one kind
works with an end of the other. What they cannot have is the native memory ordering and atomic
read-modify-write: they are for reading, tests and post-mortem tools, not for concurrent use. The
circuit breakers alone have no words here but plain objects, in a `BreakersMemory`.
"""

from shm._native import Permit, Wake
from shm.reference.breaker import Breaker
from shm.reference.breaker_memory import BreakersMemory
from shm.reference.breakers import Breakers
from shm.reference.cells import CellsReader, CellsWriter
from shm.reference.doorbell import Bell, Doorbell
from shm.reference.metrics import Counters, Histograms, HistogramWriter, bucket_limits
from shm.reference.observer import ObserverProducer, ObserverReader
from shm.reference.ring import Consumer, Producer, RingFollower
from shm.reference.table import TableReader, TableWriter
from shm.reference.words import Words

__all__ = [
    "Bell",
    "Breaker",
    "Breakers",
    "BreakersMemory",
    "CellsReader",
    "CellsWriter",
    "Consumer",
    "Counters",
    "Doorbell",
    "HistogramWriter",
    "Histograms",
    "ObserverProducer",
    "ObserverReader",
    "Permit",
    "Producer",
    "RingFollower",
    "TableReader",
    "TableWriter",
    "Wake",
    "Words",
    "bucket_limits",
]
