"""What each step of the loop does: plain Python, no Prefect, no DVC, nothing done at import."""

__version__ = "0.1.0"
