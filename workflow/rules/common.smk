"""What the rules share: wildcards, scattergather, and the functions of `vprlib.jobs` with this configuration."""

import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger
from vprlib.config.published import FORMATS
from vprlib.exceptions import InputError
from vprlib.jobs.inputs import Inputs
from vprlib.jobs.params import Params
from vprlib.jobs.paths import Paths, fill
from vprlib.jobs.replaced import replaced_files
from vprlib.jobs.targets import Targets
from vprlib.jobs.terminal import Terminal

paths = Paths(cfg.results)
targets = Targets(cfg, catalogue, paths)
params = Params(cfg, catalogue, targets)
inputs = Inputs(cfg, catalogue, targets)

TRAINING_GPUS = 1 if cfg.execution.device == "cpu" else cfg.execution.processes * cfg.execution.nodes
# of several nodes: a task on each, which the script starts itself by srun; `tasks` alone would be counted for each GPU
SEVERAL_NODES = {"nodes": cfg.execution.nodes, "tasks": cfg.execution.nodes, "tasks_per_gpu": 0, "mpi": "srun"}
TRAINING_NODES = SEVERAL_NODES if cfg.execution.nodes > 1 else {}
SEARCH_GPU = {"gpu": 1} if cfg.execution.search_device == "gpu" and cfg.execution.device != "cpu" else {}


def one_of(names):
    """A pattern that matches these names, or nothing if there are none."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


wildcard_constraints:
    dataset=one_of(cfg.dataset_names),
    train_set=one_of(cfg.dataset_names),
    run=one_of(cfg.runs),
    backbone=r"[^/]+",
    weights=r"[^/]+",
    height=r"\d+",
    width=r"\d+",
    seed=r"\d+",
    gen=r"\d+",
    rerank=one_of(one.series for one in cfg.rerank),


scattergather:
    extract=cfg.shards.extract,
    search=cfg.shards.search,


def or_exit(function):
    """An input function: as `function`, but bad input ends the program with one line. An unlock must not end."""

    def call(w):
        try:
            return function(w)
        except InputError as error:
            if workflow.is_main_process and "--unlock" not in sys.argv:
                sys.exit(f"error: {error}")
            return []

    return call


def figure(pattern, caption, category, what):
    """The files of a figure: the one that the report shows, and the same for print and for slides."""
    shown, *others = paths.figure(pattern)
    return [report(shown, caption=f"../report/{caption}.rst", category=category, labels={"what": what}), *others]


def experiment_params():
    """Param: the configuration of the report's jobs; `execution` changes no number, so no page either."""
    overrides = workflow.config_settings.config.items()
    return params.experiment() | {
        "config": {key: value for key, value in config.items() if key != "execution"},
        "configfiles": [os.path.relpath(path) for path in workflow.configfiles],
        "overrides": [f"{key}={value}" for key, value in overrides if key != "execution"],
    }


def follow_in_terminal():
    """Print short lines instead of Snakemake's paragraphs, unless an option asks for these or for less of them."""
    asked = workflow.output_settings
    shown = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
    if not shown or asked.printshellcmds or asked.verbose or asked.debug_dag or asked.quiet:
        return
    terminal = Terminal(
        shown[0].stream,
        dry=asked.dryrun,
        rules=lambda: {
            one.name: (Path(str(one.snakefile)).stem, str(next(iter(one.log), ""))) for one in workflow.rules
        },
        results=cfg.results,
    )
    shown[0].addFilter(lambda record: not terminal.hides(record))
    logger.addHandler(terminal)
