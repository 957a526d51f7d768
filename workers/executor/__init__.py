"""The executor stage: orders and the market in, executions out."""
