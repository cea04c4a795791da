"""How a step runs: one Prefect task per step, and the module that talks to DVC and Git."""
