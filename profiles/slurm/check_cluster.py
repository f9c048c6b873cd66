"""Check that a profile fits a SLURM cluster before anything is submitted: `python profiles/slurm/check_cluster.py`.

It compares the profile and its partition file with what `sinfo` and `sacctmgr` say of the cluster, and the jobs of a
dry run with both. Each line that it prints names what is wrong; without any it ends with status 0. Run it in the folder
in which you start Snakemake: a clone, or a project that `vprlib new` laid down.
"""

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import yaml
from snakemake_executor_plugin_slurm.partitions import parse_gpu_requirements, read_partition_file
from snakemake_executor_plugin_slurm.utils import parse_time_to_minutes
from snakemake_interface_common.exceptions import WorkflowError

ROOT = Path(__file__).parent.parent.parent  # of a clone, or of a project
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")  # Snakemake takes the first
UNLIMITED = 2**31


class Unusable(Exception):
    """The check cannot go on; the message says why, in one line."""


@dataclass
class Node:
    """What one node offers."""

    threads: int
    mem_mb: int
    gpus: dict = field(default_factory=dict)  # model ("" if SLURM has no name for it) -> number


@dataclass
class Partition:
    """What the cluster says of one of its partitions."""

    minutes: int
    nodes: list = field(default_factory=list)


def main(arguments=None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--profile", default="profiles/slurm", type=Path)
    options.add_argument("--configfile", type=Path, help="the recipes that you will run; config/config.yaml by default")
    options = options.parse_args(arguments)
    try:
        profile = read_profile(options.profile)
        partitions = read_limits(profile)
        cluster = ask_cluster()
        found = of_arrays(profile) + unknown_rules(profile) + of_partitions(partitions, cluster) + of_accounts(profile)
        found += of_jobs(planned(options.profile, options.configfile), profile, partitions, cluster)
    except Unusable as error:
        found = [str(error)]
    for line in found:
        print(line)
    print(f"{options.profile}: {f'to change: {len(found)}' if found else 'fits this cluster'}")
    return bool(found)


def read_profile(folder: Path) -> dict:
    path = folder / "config.yaml"
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Unusable(f"{path}: {' '.join(str(error).split())}") from error


def read_limits(profile: dict) -> list:
    """The partitions as the plugin will choose between them."""
    path = profile.get("slurm-partition-config")
    if not path:
        raise Unusable("slurm-partition-config: is missing; name the file with your partitions")
    try:
        return read_partition_file(Path(path))
    except (WorkflowError, TypeError, KeyError) as error:  # TypeError: a limit that the plugin does not know
        raise Unusable(f"slurm-partition-config: {path}: {' '.join(str(error).split())}") from error


def ask_cluster() -> dict:
    """The cluster's partitions by name."""
    if not shutil.which("sinfo"):
        raise Unusable("sinfo: is not here; run this where you submit jobs")
    told = command("sinfo", "sinfo", "--noheader", "--Node", "--format=%P|%c|%m|%G|%l")
    return parse_sinfo(told)


def parse_sinfo(text: str) -> dict:
    cluster = {}
    for line in text.splitlines():
        name, threads, mem_mb, gres, limit = (part.strip() for part in line.split("|"))
        minutes = UNLIMITED if limit in ("infinite", "UNLIMITED") else parse_time_to_minutes(limit)
        gpus = {}
        for model, count in re.findall(r"(?:^|,)gpu:(?:([^:,()]+):)?(\d+)", gres):
            gpus[model] = gpus.get(model, 0) + int(count)
        partition = cluster.setdefault(name.rstrip("*"), Partition(minutes))
        partition.nodes.append(Node(int(threads.rstrip("+")), int(mem_mb.rstrip("+")), gpus))
    return cluster


def of_partitions(partitions: list, cluster: dict) -> list[str]:
    """What the partition file promises and the cluster does not have."""
    found = []
    for one in partitions:
        limits, there = one.limits, cluster.get(one.name)
        if not there:
            found.append(f"partition {one.name}: is not on this cluster; it has {', '.join(sorted(cluster))}")
            continue
        gpus = max((sum(node.gpus.values()) for node in there.nodes), default=0)
        models = {model for node in there.nodes for model in node.gpus} - {""}
        most = {
            "max_runtime": (limits.max_runtime, there.minutes, "minutes"),
            "max_threads": (limits.max_threads, max(node.threads for node in there.nodes), "threads"),
            "max_mem_mb": (limits.max_mem_mb, max(node.mem_mb for node in there.nodes), "MB"),
            "max_gpu": (limits.max_gpu, gpus * len(there.nodes), "GPUs"),
        }
        for key, (promised, real, unit) in most.items():
            if promised > real and promised != float("inf"):
                found.append(f"partition {one.name}: {key} is {promised}, but the cluster allows {real} {unit}")
        for model in limits.available_gpu_models or []:
            if model not in models:
                known = ", ".join(sorted(models)) or "none with a name"
                found.append(f"partition {one.name}: has no GPU {model}; sinfo knows {known}")
    return found


def of_arrays(profile: dict) -> list[str]:
    """The plugin (2.8) collects an array's jobs; with fewer slots than ready ones it waits for the others for ever."""
    if profile.get("slurm-array-jobs") and profile.get("jobs") != "unlimited":
        return [f"jobs: {profile.get('jobs')} and slurm-array-jobs can wait for ever; say `jobs: unlimited`"]
    return []


def snakefile() -> Path:
    """The working folder's, as Snakemake takes it; where it has none, that of the clone or project of this file."""
    places = [Path(name) for name in SNAKEFILES] + [ROOT / name for name in SNAKEFILES]
    found = next((path for path in places if path.is_file()), None)
    if not found:
        raise Unusable("Snakefile: is not here; run this in the folder in which you start Snakemake")
    return found


def rules_folder() -> Path:
    """The workflow's rules: of this clone, or of the library that a project uses."""
    if (ROOT / "workflow/rules").is_dir():
        return ROOT / "workflow/rules"
    try:
        from vprlib.exceptions import InputError
        from vprlib.jobs.project import workflow_folder
    except ImportError as error:
        raise Unusable("vprlib: is not installed here, so the rules of its workflow are not known") from error
    try:
        return workflow_folder() / "workflow/rules"
    except InputError as error:
        raise Unusable(str(error)) from error


def known_rules() -> set[str]:
    """The workflow's rules, under the names that a project's Snakefile gives them, and those that it has itself."""
    written, own = "".join(path.read_text() for path in rules_folder().glob("*.smk")), snakefile().read_text()
    shipped, added = (re.findall(r"^ *rule (\w+):", text, re.MULTILINE) for text in (written, own))
    added += re.findall(r"^ *use rule \w+ from .*\bas (\w+)", own, re.MULTILINE)
    shapes = re.findall(r"^ *use rule \* from .*\bas (\w*\*\w*)", own, re.MULTILINE) or ["*"]
    return {shape.replace("*", name) for shape in shapes for name in shipped} | set(added)


def unknown_rules(profile: dict) -> list[str]:
    known = known_rules()
    array = [name.strip() for name in re.split("[,;]", profile.get("slurm-array-jobs") or "")]
    named = {"set-resources": profile.get("set-resources") or {}, "set-threads": profile.get("set-threads") or {}}
    named |= {"groups": [one.split("=")[0] for one in profile.get("groups") or []]}
    named |= {"slurm-array-jobs": [name for name in array if name not in ("", "all")]}
    return [f"{key}: there is no rule {name}" for key, names in named.items() for name in names if name not in known]


def of_accounts(profile: dict) -> list[str]:
    """Accounts and qualities of service that the accounting does not have, if there is one."""
    found, wanted = [], {"account": set(), "qos": {profile.get("slurm-qos")} - {None}}
    for resources in (profile.get("default-resources") or {}, *(profile.get("set-resources") or {}).values()):
        wanted["account"] |= {resources.get("slurm_account")} - {None}
        wanted["qos"] |= {resources.get("qos")} - {None}
    for kind, names in wanted.items():
        show = ("show", kind, f"format={'name' if kind == 'qos' else kind}")
        try:
            known = set(command("sacctmgr", "sacctmgr", "--noheader", "--parsable2", *show).split())
        except (Unusable, OSError):  # a cluster without accounting takes any
            continue
        found += [f"{kind} {name}: is not known; sacctmgr has {', '.join(sorted(known))}" for name in names - known]
    return found


def planned(profile: Path, configfile: Path | None) -> dict:
    """rule -> (threads, resources) of its largest job, as Snakemake would submit it the first time."""
    config = ("--configfile", str(configfile)) if configfile else ()
    dry = ("--dry-run", "--printshellcmds", "--forceall", "--nocolor")
    dry += ("--cores", "9999")  # or it counts the threads of this machine
    snakemake = (sys.executable, "-m", "snakemake", "--snakefile", str(snakefile()), "--profile", str(profile))
    told = command("the dry run", *snakemake, *dry, "all", *config)
    jobs = {}
    for _, rule, lines in re.findall(r"^( *)rule (\w+):\n((?:\1 +.*\n)+)", told, re.MULTILINE):
        threads = re.search(r"^ +threads: (\d+)$", lines, re.MULTILINE)
        resources = re.search(r"^ +resources: (.*)$", lines, re.MULTILINE)
        values = dict(part.split("=", 1) for part in resources[1].split(", ")) if resources else {}
        values = {key: int(value) if value.isdecimal() else value for key, value in values.items()}
        jobs.setdefault(rule, []).append((int(threads[1]) if threads else 1, values))
    largest = {rule: max(some, key=lambda job: (job[1].get("gpu", 0), job[0])) for rule, some in jobs.items()}
    return {rule: job for rule, job in largest.items() if rule != "all"}


def of_jobs(jobs: dict, profile: dict, partitions: list, cluster: dict) -> list[str]:
    """Jobs that no partition takes, the first time or at their last attempt."""
    found, last = {}, int(profile.get("retries", 0)) + 1
    for attempt in dict.fromkeys((last, 1)):
        tried = {rule: (threads, given | at_attempt(profile, rule, attempt)) for rule, (threads, given) in jobs.items()}
        for name, (threads, resources) in grouped(tried, profile).items():
            wrong = of_job(SimpleNamespace(name=name, threads=threads, resources=resources), partitions, cluster)
            if wrong:
                found[name] = f"rule {name}: {f'attempt {attempt}: ' if attempt > 1 else ''}{wrong}"
    return list(found.values())


def grouped(jobs: dict, profile: dict) -> dict:
    """The jobs with those of a group, which run one after the other, as one."""
    groups, result = dict(one.split("=") for one in profile.get("groups") or []), {}
    for rule, (threads, resources) in jobs.items():
        name = groups.get(rule, rule).split("_{")[0]
        before, together = result.get(name, (1, {}))
        sums = {"runtime": together.get("runtime", 0) + resources.get("runtime", 0)}
        largest = {"mem_mb": max(together.get("mem_mb", 0), resources.get("mem_mb", 0))}
        result[name] = max(before, threads), together | resources | sums | largest
    return result


def at_attempt(profile: dict, rule: str, attempt: int) -> dict:
    """The resources that the profile gives by an expression of `attempt`."""
    given = (profile.get("default-resources") or {}) | (profile.get("set-resources") or {}).get(rule, {})
    written = {key: text for key, text in given.items() if isinstance(text, str) and re.search(r"\battempt\b", text)}
    try:
        return {key: eval(text, {"attempt": attempt, "min": min, "max": max}) for key, text in written.items()}
    except Exception as error:  # what Snakemake would stop at, in a profile that its user wrote
        raise Unusable(f"rule {rule}: {written}: {error}") from error


def chosen(job, partitions: list) -> str | None:
    """The partition that the plugin will send a job to; None if none takes it."""
    scores = {one.name: one.score_job_fit(job) for one in partitions}
    fitting = {name: score for name, score in scores.items() if score is not None}
    return job.resources.get("slurm_partition") or max(fitting, key=fitting.get, default=None)


def of_job(job, partitions: list, cluster: dict) -> str:
    """Why a job would not run; an empty string if it would."""
    resources, asks = job.resources, asked(job)
    try:
        gpus, model = parse_gpu_requirements(job)
        name = chosen(job, partitions)
    except WorkflowError as error:
        return str(error)
    if name is None:
        return f"asks for {asks}; no partition of the file takes that"
    there, nodes = cluster.get(name), int(resources.get("nodes") or 1)
    if not there:
        return f"goes to partition {name}, which is not on this cluster"
    if resources.get("runtime", 0) > there.minutes:
        return f"asks for {resources['runtime']} minutes; partition {name} ends jobs after {there.minutes}"
    a_node = gpus if "gpu" in str(resources.get("gres", "")) else -(-gpus // nodes)
    for node in there.nodes:
        offered = node.gpus.get(model, 0) if model else sum(node.gpus.values())
        if job.threads <= node.threads and resources.get("mem_mb", 0) <= node.mem_mb and a_node <= offered:
            return ""
    return f"asks for {asks}; no node of partition {name} has that"


def asked(job) -> str:
    resources = job.resources
    parts = [f"{job.threads} threads", f"{resources.get('mem_mb', 0)} MB", f"{resources.get('runtime', 0)} minutes"]
    parts += [f"{key} {resources[key]}" for key in ("gpu", "gpu_model", "gres", "nodes") if resources.get(key)]
    return ", ".join(parts)


def command(name: str, *arguments) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(line for line in (done.stdout + done.stderr).splitlines() if "Using profile" not in line)
        raise Unusable(f"{name}: {' '.join(said.split()) or 'failed'}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
