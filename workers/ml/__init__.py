"""The ml stage: rows of features and outcomes in, intents out."""
