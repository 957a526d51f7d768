"""What ends a training that a user can mend."""

from __future__ import annotations


class TrainingError(ValueError):
    """Data, settings or libraries that no model can be made of; the message names the remedy."""
