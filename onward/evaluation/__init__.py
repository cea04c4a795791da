"""The ledger, and every number computed from it."""
