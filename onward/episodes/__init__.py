"""Deliveries of labelled rows: read, checked, split, opened, and the turn they make."""
