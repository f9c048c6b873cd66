"""Run the body of a workflow script: set up its log, count its threads, and end on bad input with one line."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vprlib.compute.slurm_nodes import is_multi_node, node_rank
from vprlib.config import Config, parse_config
from vprlib.exceptions import InputError
from vprlib.jobs.resource_usage import ResourceMeter, gpus_used


@contextmanager
def snakemake_job(snakemake: Any) -> Iterator[Config]:
    """Yield the Config of a Snakemake job; its messages go to the rule's log and to the terminal.

    A job that succeeds writes the resources that it used beside its log (`vprlib.jobs.resource_usage`). Bad input and a
    full or failing disk end the process with one line and status 1. Anything else is a defect of the code and leaves
    its traceback in the log.

    Args:
        snakemake: the object that Snakemake defines in a script.
    """
    meter = ResourceMeter()
    Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
    if not is_multi_node():  # on several nodes, the job that started this one has emptied it
        Path(snakemake.log[0]).write_text("")
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[logging.FileHandler(snakemake.log[0]), logging.StreamHandler()],
    )
    for name in ("faiss", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)  # for faiss and `select_device`
    subject = " ".join(f"{name} {value}" for name, value in snakemake.wildcards.items())
    try:
        config = parse_config(snakemake.config)
        yield config
        if not node_rank()[0]:
            allotted = 0 if config.execution.device == "cpu" else snakemake.resources.get("gpu", 0)
            meter.write(
                Path(snakemake.log[0]).with_suffix(".json"),
                rule=_stage(snakemake),
                wildcards=dict(snakemake.wildcards.items()),
                threads=snakemake.threads,
                gpus=gpus_used(allotted),
                nodes=node_rank()[1],
            )
    except (InputError, OSError) as error:
        logging.error("error: %s%s: %s", snakemake.rule, f" ({subject})" if subject else "", error)
        sys.exit(1)
    except Exception:
        logging.error("%s", traceback.format_exc())
        sys.exit(1)


def _stage(snakemake: Any) -> str:
    """The rule of a job, without the prefix that another workflow gave it: the name of its log's folder."""
    parts = Path(snakemake.log[0]).parts
    return Path(parts[parts.index("logs") + 1]).stem if "logs" in parts[:-1] else snakemake.rule
