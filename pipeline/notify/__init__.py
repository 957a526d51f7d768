"""Who does not look at the log is told: by a command of the operator's own, a notice at a time."""
