"""The parts of perf/websocket.py."""
