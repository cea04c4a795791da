"""Great Expectations over the episodes of a turn."""
