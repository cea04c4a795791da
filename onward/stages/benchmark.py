"""The stage benchmark: how fast each variant answers here, and which one is to serve."""

from onward.runtime.bench import run
from onward.stages.entry import start

if __name__ == "__main__":
    start("benchmark", run)
