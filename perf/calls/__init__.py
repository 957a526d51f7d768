"""Calls behind a circuit breaker, one behind the other: the project's and its peers."""
