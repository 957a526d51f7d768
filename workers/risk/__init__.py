"""The risk stage: intents and executions in, orders and outcomes out."""
