"""The stage export: turn/finetune/model becomes turn/export/package."""

from onward.runtime.export import run
from onward.stages.entry import start

if __name__ == "__main__":
    start("export", run)
