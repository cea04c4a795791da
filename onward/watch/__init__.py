"""Is there anything to learn: whether a turn is worth its cost, on evidence."""
