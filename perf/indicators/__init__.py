"""What perf/ta.py measures: sixteen families of indicators, by the project and by its peers."""
