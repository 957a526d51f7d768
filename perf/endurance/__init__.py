"""The parts of perf/stress.py."""
