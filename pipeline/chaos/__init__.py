"""Kills on purpose, and the proof that they changed nothing."""
