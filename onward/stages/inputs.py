"""Write what of the machine and of the code each stage depends on. Light: always run.

`python -m onward.stages.inputs` in a project's root writes turn/inputs/machine.json and one file
per stage; see onward/fingerprints.py for what they hold and what they leave out.
"""

from __future__ import annotations

from onward import config, files, fingerprints
from onward.project import Project
from onward.stages.entry import start


def run(project: Project) -> None:
    """Write turn/inputs/machine.json and turn/inputs/STAGE.json.

    Raises:
        SettingsError: params.yaml cannot be read, or names an unknown recipe.
    """
    folder = project.made("inputs")
    recipe = config.read(project.params, config.Identity).recipe
    files.write_json(folder / "machine.json", fingerprints.machine())
    for stage in fingerprints.STAGES:
        files.write_json(folder / f"{stage}.json", fingerprints.code(stage, recipe))


if __name__ == "__main__":
    start("inputs", run)
