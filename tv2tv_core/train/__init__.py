"""Training: one trainer, and the tasks that it trains."""
