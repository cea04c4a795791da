"""Promoted versions, the champion pointer and the journal."""
