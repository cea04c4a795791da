"""Fine-tuning that keeps what was known."""
