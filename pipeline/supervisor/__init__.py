"""The supervisor: owns the segment; starts, pins, watches and restarts the processes; halts."""

from pipeline.kill.words import halt, halt_reason
from pipeline.supervisor.snapshot import Snapshot, snapshot
from pipeline.supervisor.start import AlreadyRunningError
from pipeline.supervisor.supervisor import Supervisor

__all__ = [
    "AlreadyRunningError",
    "Snapshot",
    "Supervisor",
    "halt",
    "halt_reason",
    "snapshot",
]
