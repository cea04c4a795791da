"""One script a claim: `python -m benchmarks.NAME [--record]`; the last line is one JSON object."""
