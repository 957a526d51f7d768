"""Training: from histories of bars to a model that the ml stage can evaluate."""
