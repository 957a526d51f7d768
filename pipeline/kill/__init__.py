"""The kill switch: the latch that outlives runs, and what is done with a run that is killed."""
