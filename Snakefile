import gc
import sys

import yaml
from snakemake.utils import min_version

sys.path.insert(0, str(workflow.current_basedir))  # of a clone that is used as a module of another workflow

from vprlib.config import check_repeated_keys, parse_config, untrained_runs, unused_settings
from vprlib.data.catalogue import get_dataset
from vprlib.exceptions import InputError

min_version("9.11")
gc.set_threshold(200_000, 50, 1000)  # a DAG is millions of objects that stay: to look for garbage takes a seventh of it


if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


try:
    if workflow.is_main_process:  # the files were read before, and of a key given twice the last value was kept
        check_repeated_keys(workflow.configfiles, yaml.compose)
    cfg = parse_config(config)
    catalogue = {name: get_dataset(name, cfg) for name in cfg.dataset_names}
except InputError as error:
    sys.exit(f"error: {error}")
if workflow.is_main_process:
    sys.stderr.writelines(f"warning: {line}\n" for line in untrained_runs(config, cfg) + unused_settings(config, cfg))


container: "vprlib.sif"  # used with --sdm apptainer only; built from container.def


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/plots.smk"
include: "workflow/rules/report.smk"


if workflow.is_main_process:
    sys.stderr.writelines(f"warning: {line}\n" for line in replaced_files(params))
    follow_in_terminal()


rule all:
    default_target: True
    input:
        targets.everything(),
    localrule: True
