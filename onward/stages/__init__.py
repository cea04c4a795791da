"""One small entry point per DVC stage: `python -m onward.stages.NAME`, run in a project's root."""
