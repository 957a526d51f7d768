"""The five stages in five processes, fed at a fixed rate: over the rings, and over queues."""
