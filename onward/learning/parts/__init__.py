"""Small modules that a tuning adds to a model and that stay beside its weights."""
