"""Write a new project, which uses the workflow of the library that it imports."""

import shutil
from pathlib import Path

from vprlib.exceptions import InputError

SNAKEFILE = """# A project that uses the workflow of vprlib. Run it here:
#   snakemake --profile profiles/local all
from vprlib.jobs.project import workflow_folder


configfile: "config/config.yaml"


module vpr:
    snakefile:
        str(workflow_folder() / "Snakefile")
    config:
        config


use rule * from vpr exclude all


use rule all from vpr as everything


rule all:
    default_target: True
    input:
        rules.everything.input,
"""
COPIED = ("config/config.yaml", "config/matconvnet.yaml", "profiles/local/config.yaml", "profiles/slurm")


def workflow_folder() -> Path:
    """Return the folder of the workflow's Snakefile: inside an installed library, or the clone that it runs from.

    Raises:
        InputError: if the library was installed without its workflow.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_workflow", package.parent):
        if (folder / "Snakefile").is_file() and (folder / "workflow/rules").is_dir():
            return folder
    raise InputError(f"{package}: the workflow is not beside the library; install vprlib from a wheel, or use a clone")


def new_project(folder: str | Path) -> list[Path]:
    """Write a Snakefile, a configuration and profiles into a new or empty folder.

    Returns:
        The files and folders that were written.

    Raises:
        InputError: the folder holds something already, or cannot be written.
    """
    target, source = Path(folder), workflow_folder()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is not an empty folder; name a new or empty one")
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
        for name in COPIED:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if (source / name).is_dir():
                shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source / name, target / name)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    return [target / "Snakefile", *(target / name for name in COPIED)]
