"""The stages, one folder each; every one is a process of its own (``python -m workers.<name>``)."""
