"""The parts of perf/recovery.py."""
