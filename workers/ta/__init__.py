"""The ta stage: market records in, rows of features out."""
