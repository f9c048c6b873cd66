"""What every workflow script does around its one call: log, count threads, end on bad input with one line."""

import logging
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from vprlib.compute.slurm_nodes import is_multi_node, node_rank
from vprlib.config import parse_config
from vprlib.exceptions import InputError
from vprlib.jobs.resource_usage import ResourceMeter, gpus_used


@contextmanager
def snakemake_job(snakemake):
    """Yield the Config of a Snakemake job; its messages go to the rule's log and to the terminal.

    A job that ends well leaves what it took beside its log (`vprlib.jobs.resource_usage`).
    Bad input and a full or failing disk end the process with one line and status 1; anything else is a defect of
    the code and leaves its traceback in the log.
    """
    clock = ResourceMeter()
    Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
    if not is_multi_node():  # or it was emptied before
        Path(snakemake.log[0]).write_text("")
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[logging.FileHandler(snakemake.log[0]), logging.StreamHandler()],
    )
    for name in ("faiss", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)  # for faiss, and for `device`
    subject = " ".join(f"{name} {value}" for name, value in snakemake.wildcards.items())
    try:
        config = parse_config(snakemake.config)
        yield config
        if not node_rank()[0]:
            given = 0 if config.execution.device == "cpu" else snakemake.resources.get("gpu", 0)
            clock.write(
                Path(snakemake.log[0]).with_suffix(".json"),
                rule=snakemake.rule,
                wildcards=dict(snakemake.wildcards.items()),
                threads=snakemake.threads,
                gpus=gpus_used(given),
                nodes=node_rank()[1],
            )
    except (InputError, OSError) as error:
        logging.error("error: %s%s: %s", snakemake.rule, f" ({subject})" if subject else "", error)
        sys.exit(1)
    except Exception:
        logging.error("%s", traceback.format_exc())
        sys.exit(1)
