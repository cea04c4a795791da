"""The stage prepare: the turn's rows become turn/prepare."""

from onward.learning.prepare import run
from onward.stages.entry import start

if __name__ == "__main__":
    start("prepare", run)
