"""The process that evaluates a model which is not evaluated natively."""
