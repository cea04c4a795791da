"""The front door: `onward ...`."""
