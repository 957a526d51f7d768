"""Benchmarks: one script a claim, each with the machine, the peers and what it excludes."""
