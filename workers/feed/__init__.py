"""The feed: a venue's market data in, market records out."""
