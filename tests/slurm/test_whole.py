"""The whole workflow through profiles/slurm beside a local run: the same numbers, of jobs that had what they asked for.

`pytest -s -m slurm -k city tests/slurm/test_whole.py` does it with the embedded city, and prints what both took.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from campaign import PARTITIONS

from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY

GPU_RULES = (
    "pretrain_backbone",
    "cache_features",
    "cluster_features",
    "train",
    "fit_whitening",
    "extract_descriptors",
)
ONE_THREAD = (
    "verify_dataset",
    "train",
    "fit_whitening",
    "extract_descriptors",
    "search",
    "search_shard",
    "measure_sizes",
)
TWO_THREADS = ("render_city", "pretrain_backbone", "cache_features", "cluster_features", "rerank")
THREADS = dict.fromkeys(ONE_THREAD, 1) | dict.fromkeys(TWO_THREADS, 2)  # ONE_THREAD: as in `make demo`
LARGEST_MB = 3000
ARRAYS = ("extract_descriptors", "search_shard")
SMALL = TINY | {"rerank": [{"name": "alpha_qe"}], "descriptor_sizes": {"dims": [8], "compression": ["float16"]}}
SMALL |= {"shards": TINY["shards"] | {"search": 2}, "datasets": ["city_night"], "runs": {"netvlad": {}}}
TABLES = ("images.csv", "history.csv", "recalls.csv", "queries.csv", "differences.csv")  # others have times in them
COMPARED = (*TABLES, "*.h5", "*.safetensors")


def snakemake(folder: Path, configfile: Path, profile: Path, environment, *options) -> float:
    """Make everything in a folder; the seconds that it took."""
    threads = ("--set-threads", *(f"{rule}={number}" for rule, number in THREADS.items()))
    files = ("--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", configfile, "--profile", profile)
    command = [sys.executable, "-m", "snakemake", "all", *files, *threads, *options]
    began = time.monotonic()
    with (folder / "said").open("w") as said:
        status = subprocess.run(command, env=environment, cwd=ROOT, stdout=said, stderr=said, check=False).returncode
    assert status == 0, (folder / "said").read_text()[-5000:]
    return time.monotonic() - began


def locally(folder: Path, configfile: Path) -> float:
    return snakemake(
        *(folder, configfile, ROOT / "profiles/local", ENVIRONMENT, "--cores", "2", "--resources", "gpu=100")
    )


def through_slurm(slurm, folder: Path, configfile: Path, gres: bool) -> float:
    """With the profile as a site would have it: its partitions, memory and, where --gpus is not accepted, --gres."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    (folder / "partitions.yaml").write_text(yaml.safe_dump({"partitions": PARTITIONS}))
    profile |= {"slurm-partition-config": str(folder / "partitions.yaml")}
    profile |= {"slurm-init-seconds-before-status-checks": 3}
    profile["default-resources"] |= {"mem_mb": 1000}
    for rule in (*GPU_RULES, "search", "search_shard", "rerank", "measure_sizes"):
        resources = profile["set-resources"].setdefault(rule, {})
        resources |= {"mem_mb": LARGEST_MB} | ({"gpu": 0, "gres": "gpu:1"} if gres and rule in GPU_RULES else {})
    (folder / "profile").mkdir()
    (folder / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    environment = slurm.environment | {"PATH": f"{ROOT}/profiles/slurm/bin:{slurm.environment['PATH']}"}
    return snakemake(folder, configfile, folder / "profile", environment)


def jobs(slurm, folder: Path) -> list[dict]:
    """What SLURM says of each job, or member of an array, of a folder: its number, rule or group, and what it had.

    The group has the name of one of its rules: it is `evaluate_`, with the wildcards behind, and the rule `evaluate`.
    """
    shape = ("--starttime=now-4hours", "--endtime=now", "-X", "-n", "-P", "-o", "JobID,State,AllocTRES,Comment,WorkDir")
    found = []
    for line in slurm.run("sacct", *shape).stdout.splitlines():
        number, state, had, comment, where = line.split("|")
        if Path(where) == folder:
            resources = dict(part.split("=") for part in had.split(","))
            rule = re.match(r"rule_(evaluate_(?!wildcards_)|\w+?(?=_wildcards_|$))", comment)[1]
            found.append({"number": number, "rule": rule, "state": state} | resources)
    return found


def check_numbers(folder: Path, local: Path):
    """Every table, descriptor and network is the same bytes."""
    paths = sorted(path.relative_to(local) for kind in COMPARED for path in local.glob(f"results/**/{kind}"))
    assert len(paths) > 15
    assert not [str(path) for path in paths if (folder / path).read_bytes() != (local / path).read_bytes()]


def check_jobs(found: list[dict]):
    """A stage that wants a GPU had one, the others none; none had more than it asked for; shards were arrays."""
    assert not [job for job in found if job["state"] != "COMPLETED"]
    assert {job["rule"] for job in found} >= {*GPU_RULES, "merge_descriptors", "evaluate_", "verify_dataset"}
    for job in found:
        assert int(job.get("gres/gpu", 0)) == (job["rule"] in GPU_RULES), job
        assert int(job["cpu"]) <= THREADS.get(job["rule"], 2), job
        assert megabytes(job["mem"]) <= LARGEST_MB + 1, job  # an array's list of jobs has one more
    assert all("_" in job["number"] for job in found if job["rule"] in ARRAYS), found


def megabytes(text: str) -> float:
    """Of a memory as SLURM writes it: 500M, 2.93G."""
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("recipes", ["tiny", pytest.param("city", marks=pytest.mark.slow)])
def test_the_whole_workflow_has_the_numbers_of_a_local_run(slurm, tmp_path, recipes):
    configfile = ROOT / "config/city.yaml"
    if recipes == "tiny":
        configfile = tmp_path / "tiny.yaml"
        configfile.write_text(yaml.safe_dump(SMALL))
    for name in ("slurm", "local"):
        (tmp_path / name).mkdir()
    seconds = {"slurm": through_slurm(slurm, tmp_path / "slurm", configfile, gres=recipes == "tiny")}
    seconds["local"] = locally(tmp_path / "local", configfile)
    found = jobs(slurm, tmp_path / "slurm")
    print({name: round(value) for name, value in seconds.items()}, f"seconds, {len(found)} SLURM jobs")
    check_numbers(tmp_path / "slurm", tmp_path / "local")
    check_jobs(found)
