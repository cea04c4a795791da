"""The stage finetune: turn/prepare and the turn's base become the candidate in turn/finetune."""

from onward.learning.finetune import run
from onward.stages.entry import start

if __name__ == "__main__":
    start("finetune", run)
