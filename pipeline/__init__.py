"""The control plane: configuration, affinity, processes and the command line."""
