"""The workflow as users run it: real snakemake processes on a tiny city; job counts of dry runs, kills and reruns."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import check_cluster
import pandas as pd
import psutil
import pytest
import yaml
from snakemake_executor_plugin_slurm.partitions import read_partition_file

from tests.helpers.workflow import (
    ENVIRONMENT,
    MODEL,
    ROOT,
    RUN,
    TINY,
    command,
    descendants,
    is_script,
    planned,
    snakemake,
    with_run,
)
from vprlib.config import parse_config
from vprlib.io.files import write_csv
from vprlib.registry import FAMILIES
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork


def test_the_whole_workflow_leaves_tables_and_plots_and_a_second_run_does_nothing(done):
    for name in ("city", "city_night"):
        rows = {}
        for table in ("recalls", "differences", "thresholds", "summary"):
            rows[table] = len((done / f"results/{name}/{table}.csv").read_text().splitlines()) - 1
        # vlad raw, netvlad raw and whitened: at four k, one pair, at 100 thresholds
        assert rows == {"recalls": 3 * 4, "differences": 1, "thresholds": 3 * 100, "summary": 3}
        for picture in (
            "recalls.svg",
            "thresholds.svg",
            "precision.svg",
            "contact.png",
            *(f"netvlad/seed0/gen0/{name}" for name in ("gallery.png", "errors.pdf", "projection.svg", "words.png")),
        ):
            assert (done / f"results/{name}/{picture}").stat().st_size > 1000
    page = (done / "results/report.html").read_text()
    for rule in ("render_city", "train", "extract_descriptors", "evaluate"):
        assert f'<tr><th scope="row">{rule}</th>' in page, "its time is told"
    assert not re.search(r"\d+ of \d+</span>", page), "every job left a record"
    assert "not on this page" not in page, "nothing is missing"
    assert not list(done.glob("results/**/shard.*")), "shards are temporary"
    assert not list(done.glob("results/**/resume.pt"))
    status, text = snakemake(done, "all")
    assert status == 0
    assert "Nothing to be done" in text


@pytest.mark.parametrize(
    ("lost", "jobs"),
    [
        ("results/city/recalls.csv", {"collect_recalls": 1, "plot_recalls": 1, "plot_comparison": 1, "all": 1}),
        ("results/city/differences.csv", {"compare_runs": 1, "plot_tradeoffs": 1, "build_report": 1, "all": 1}),
        ("results/city/precision.svg", {"plot_tradeoffs": 1, "all": 1}),
        ("results/recalls.tex", {"plot_comparison": 1, "all": 1}),
        (RUN.format("city_night") + "/gallery.png", {"plot_gallery": 1, "all": 1}),
        ("results/city/verification.json", {"verify_dataset": 1, "build_report": 1, "all": 1}),
    ],
)
def test_a_lost_final_reruns_only_its_chain(done, lost, jobs):
    away = (done / lost).rename(done / "away")
    try:
        assert planned(done) == jobs
    finally:
        away.rename(done / lost)
    assert planned(done) == {}


def test_the_page_s_stages_are_the_jobs_of_the_workflow(tmp_path):
    more = {"seeds": [0, 1], "shards": {"extract": 3, "search": 2}, "rerank": [{"name": "alpha_qe"}]}
    more |= with_run("netvlad", generations=[{}, {}])
    asked = parse_config(TINY | more)
    networks = [
        EvaluatedNetwork(run, seed, gen, "")
        for run, recipe in asked.runs.items()
        for gen in range(len(recipe.generations))
        for seed in asked.seeds
    ]
    campaign = Artifacts(config=asked, asked={}, networks=networks, protocols={name: [] for name in asked.datasets})
    jobs = {stage: len(names) for stage, names in campaign.stage_jobs().items() if stage != "download_dataset"}
    counts = planned(tmp_path, config=more)
    assert jobs == {stage: counts.get(stage, 0) for stage in jobs}
    assert counts["search_shard"] == 24


def test_another_margin_reruns_only_that_run(done):
    once = dict.fromkeys(("train", "fit_whitening", "plot_training", "plot_comparison", "build_report", "all"), 1)
    each = (
        "merge_descriptors",
        "search",
        "evaluate",
        "plot_gallery",
        "plot_projection",
        "plot_visual_words",
        "collect_recalls",
        "plot_recalls",
        "compare_runs",
        "plot_tradeoffs",
    )
    twice = dict.fromkeys(each, 2)
    assert planned(done, config=with_run("netvlad", train={"loss": {"options": {"margin": 0.2}}})) == {
        **once,
        **twice,
        "extract_descriptors": 4,
    }


def test_a_new_generation_trains_only_itself(done):
    counts = planned(done, config=with_run("netvlad", generations=[{}, {"initialize_from": "previous"}]))
    assert counts["train"] == counts["fit_whitening"] == 1
    assert counts["extract_descriptors"] == 4
    assert counts["evaluate"] == 2
    assert not {"pretrain_backbone", "cache_features", "cluster_features", "render_city", "image_table"} & set(counts)


def test_another_style_of_figures_only_draws_again(done, tmp_path):
    jobs = planned(done, config={"figures": {"style": "paper"}})
    assert {name for name in jobs if not name.startswith("plot_")} == {
        "all",
        "build_report",
    }  # it shows the configuration
    assert {"plot_comparison", "plot_recalls", "plot_tradeoffs", "plot_training", "plot_projection"} <= set(jobs)
    assert "plot_contact_sheet" not in jobs
    folder = tmp_path / "paper"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns("logs"))
    before = (folder / "results/comparison.svg").read_text()
    status, text = snakemake(folder, "results/comparison.svg", config={"figures": {"style": "paper"}})
    assert status == 0, text
    after = (folder / "results/comparison.svg").read_text()
    assert "95 % intervals" in before
    assert "95 % intervals" not in after
    assert "recall@1" in after


def test_other_cut_offs_only_evaluate_again(done):
    twice = dict.fromkeys(("collect_recalls", "plot_recalls", "compare_runs", "plot_tradeoffs"), 2)
    expected = {"evaluate": 4, "plot_comparison": 1, "build_report": 1, "all": 1} | twice
    assert planned(done, config={"evaluate": {"recall_at": [1, 2]}}) == expected


def test_a_condition_of_one_dataset_evaluates_that_one_again(done):
    once = dict.fromkeys(
        ("collect_recalls", "plot_recalls", "compare_runs", "plot_tradeoffs", "plot_comparison", "build_report", "all"),
        1,
    )
    expected = {"evaluate": 2} | once
    assert planned(done, config={"evaluate": {"group_by": {"city": ["heading"]}}}) == expected


def test_re_ranking_and_sizes_add_only_themselves_and_their_rows(done, tmp_path):
    folder = tmp_path / "more"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns("logs"))
    more = {
        "rerank": [{"name": "alpha_qe"}, {"name": "k_reciprocal", "options": {"k1": 5}}],
        "descriptor_sizes": {"dims": [8]},
    }
    judged = dict.fromkeys(("collect_recalls", "plot_recalls", "compare_runs", "plot_tradeoffs"), 2) | {
        "evaluate": 4,
        "plot_comparison": 1,
        "build_report": 1,
        "all": 1,
    }
    assert planned(folder, config=more) == judged | {
        "rerank": 8,
        "measure_sizes": 2,
        "collect_sizes": 2,
        "plot_sizes": 2,
    }
    table, sizes = "results/city/recalls.csv", "results/city/sizes.svg"
    status, text = snakemake(folder, table, sizes, config=more)
    assert status == 0, text
    rows = [line.split(",") for line in (folder / table).read_text().splitlines()]
    assert {row[rows[0].index("rerank")] for row in rows[1:]} == {"none", "alpha_qe", "k_reciprocal"}
    assert len(rows) == 1 + 3 * (4 + 2 * 4)
    assert len((folder / sizes.replace("svg", "csv")).read_text().splitlines()) == 1 + 5 * 3
    assert (folder / sizes).stat().st_size > 1000
    assert snakemake(folder, table, sizes, config=more)[1].count("Nothing to be done")


def test_an_index_is_marked_and_kept(done, tmp_path):
    folder = tmp_path / "indexed"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns("logs"))
    target, quick = RUN.format("city") + "/recalls.csv", {"search": TINY["search"] | {"index": "ivf-pq"}}
    assert planned(folder, target, config=quick) == {"search": 1, "evaluate": 1}
    assert snakemake(folder, target, config=quick)[0] == 0
    kept = folder / RUN.format("city") / "index.whitened.ivf-pq.faiss"
    before = kept.stat().st_mtime_ns
    header, *rows = [line.split(",") for line in (folder / target).read_text().splitlines()]
    assert {row[header.index("index")] for row in rows} == {"ivf-pq"}
    assert snakemake(folder, target, "-R", "search", config=quick)[0] == 0
    assert kept.stat().st_mtime_ns == before


def test_a_search_in_shards_gives_the_same_bytes_by_a_job_a_shard(done, tmp_path):
    folder = tmp_path / "sharded"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns("logs"))
    target, sharded = RUN.format("city") + "/ranking.h5", {"shards": TINY["shards"] | {"search": 3}}
    assert planned(folder, target, config=sharded) == {"search_shard": 3, "merge_rankings": 1}
    before = (folder / target).read_bytes()
    (folder / target).unlink()
    status, text = snakemake(folder, target, config=sharded)
    assert status == 0, text
    assert (folder / target).read_bytes() == before
    assert not list((folder / target).parent.glob("ranking.*-of-*")), "rankings of shards are temporary"
    assert planned(folder, target, config=sharded) == {}


def test_a_new_run_and_a_new_seed_do_only_what_is_missing(done):
    counts = planned(done, config=with_run("gem", aggregator={"name": "gem"}, whiten={"dim": 4}))
    assert counts["train"] == 1
    assert not {"pretrain_backbone", "cache_features", "cluster_features"} & set(counts)
    counts = planned(done, config={"seeds": [0, 1]})
    assert counts["train"] == 2
    assert counts["cluster_features"] == 1
    assert not {"pretrain_backbone", "cache_features"} & set(counts)


def test_the_page_shows_the_configuration_of_now(done):
    assert planned(done, config={"dataset_roots": {"tokyo247": "elsewhere"}}) == {"build_report": 1, "all": 1}


def test_execution_settings_rerun_nothing(done):
    assert (
        planned(
            done, config={"execution": {"inference_batch_size": 3, "checkpoint_minutes": 1, "search_device": "gpu"}}
        )
        == {}
    )


def test_a_touched_script_reruns_nothing_and_force_reruns_a_stage(done, tmp_path):
    copied = tmp_path / "checkout"
    copied.mkdir()
    for name in ("Snakefile", "config", "profiles", "vprlib", "workflow"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copied / name)
    (copied / "workflow/scripts/train.py").touch()
    python, *arguments = map(str, command(done, "--dry-run", "all"))
    arguments = [python, *(part.replace(str(ROOT), str(copied)) for part in arguments)]
    out = subprocess.run(arguments, env=ENVIRONMENT, cwd=copied, capture_output=True, text=True, check=True).stdout
    assert "Nothing to be done" in out
    assert planned(done, "all", "-R", "evaluate")["evaluate"] == 4


def test_recalls_of_another_recipe_are_not_mixed_in(done, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns(".snakemake"))
    table = folder / RUN.format("city") / "recalls.csv"
    before = table.stat()
    write_csv(table, pd.read_csv(table, dtype=str).assign(config_hash="0" * 12))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))  # nothing but its content says that it is another's
    (folder / "results/city/recalls.csv").unlink()
    status, text = snakemake(folder, "results/city/recalls.csv")
    assert status != 0, text
    assert "made with another configuration" in text


def test_a_network_of_another_recipe_is_not_evaluated(done, tmp_path):
    folder = tmp_path / "stale"
    shutil.copytree(done, folder)
    changed = with_run("netvlad", train=TINY["base"]["train"] | {"loss": {"options": {"margin": 0.2}}})
    assert snakemake(folder, "all", "--touch", config=changed)[0] == 0
    lost = folder / RUN.format("city") / "recalls.csv"
    lost.unlink()
    status, text = snakemake(folder, str(lost.relative_to(folder)), config=changed)
    assert status != 0
    assert "was made with train.0.loss" in text


def test_gpu_rules_are_sent_to_the_gpu_partition():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    wanted = {block.split(":")[0] for block in rules.split("\nrule ")[1:] if "gpu=" in block}
    partitions = read_partition_file(ROOT / "profiles/slurm/partitions.yaml")
    jobs = check_cluster.planned(ROOT / "profiles/slurm", ROOT / "tests/tiny.yaml")
    sent = {
        rule: check_cluster.chosen(SimpleNamespace(name=rule, threads=threads, resources=resources), partitions)
        for rule, (threads, resources) in jobs.items()
    }
    assert {rule for rule, partition in sent.items() if partition == "gpu"} == wanted
    assert {rule for rule, partition in sent.items() if partition == "cpu"} == sent.keys() - wanted


def test_the_cluster_s_profile_names_rules_that_there_are():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert not check_cluster.unknown_rules(profile)
    assert check_cluster.unknown_rules(profile | {"set-threads": {"trian": 1}}) == [
        "set-threads: there is no rule trian"
    ]


def test_search_asks_for_a_gpu_where_it_is_told_to(tmp_path):
    for told, gpus in (({}, 0), ({"search_device": "gpu"}, 1), ({"search_device": "gpu", "device": "cpu"}, 0)):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY | {"execution": told}))
        jobs = check_cluster.planned(ROOT / "profiles/slurm", tmp_path / "config.yaml")
        assert jobs["search"][1].get("gpu", 0) == gpus


STAGES = {
    "render_city": ["data/city_night/annotations.json"],
    "image_table": ["results/city/images.csv"],
    "pretrain_backbone": ["results/weights/vgg16/pretrain.safetensors"],
    "cache_features": ["results/trunk/city/vgg16/pretrain/36x48.h5"],
    "cluster_features": ["results/centroids/city/vgg16/pretrain/seed0.h5"],
    "train": [f"{MODEL}/last.safetensors", f"{MODEL}/best.safetensors", f"{MODEL}/history.csv"],
    "fit_whitening": [f"{MODEL}/pca.h5"],
    "extract_descriptors": [f"{RUN.format('city')}/database.h5", f"{RUN.format('city')}/queries.h5"],
    "search": [f"{RUN.format('city')}/ranking.h5"],
    "evaluate": [f"{RUN.format('city')}/recalls.csv", f"{RUN.format('city')}/queries.csv"],
}


BRIEF = {"image_table", "search", "evaluate"}  # may be done before the signal arrives


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_job_runs_again_to_the_same_bytes(done, stage):
    outputs = [done / path for path in STAGES[stage]]
    before = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    running, job = start_and_wait_for(done, stage)
    alive = job.is_running()
    with contextlib.suppress(psutil.NoSuchProcess):
        job.send_signal(signal.SIGKILL)
    status = running.wait()
    assert alive or stage in BRIEF
    assert status != 0 or stage in BRIEF
    status, text = snakemake(done, *STAGES[stage])
    assert status == 0, text
    assert [path.read_bytes() for path in outputs] == before


def test_a_killed_workflow_is_unlocked_and_goes_on_to_the_same_bytes(done):
    outputs = [done / path for path in STAGES["train"]]
    before = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    running, job = start_and_wait_for(done, "train")
    running.kill()
    running.wait()
    with contextlib.suppress(psutil.NoSuchProcess):  # the orphan goes on, as SLURM jobs would
        job.wait(60)
    status, text = snakemake(done, *STAGES["train"])
    assert status != 0
    assert "--unlock" in text
    assert snakemake(done, "--unlock")[0] == 0
    status, text = snakemake(done, *STAGES["train"])
    assert status == 0, text
    assert [path.read_bytes() for path in outputs] == before


def start_and_wait_for(folder, stage):
    """Start a stage and wait until its job is at work, which its log shows: (snakemake, the job's process)."""
    started = time.time()
    arguments, quiet = command(folder, *STAGES[stage]), {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    running = subprocess.Popen(arguments, env=ENVIRONMENT, cwd=ROOT, **quiet)
    job = None
    while running.poll() is None:
        job = job or next((child for child in descendants(running.pid) if is_script(child, stage)), None)
        logs = (folder / "logs" / stage).rglob("*.log")
        if job and any(log.stat().st_mtime > started for log in logs):
            break
        time.sleep(0.02)
    assert job, f"{stage} never started"
    time.sleep(0.05)
    return running, job


def test_a_preview_needs_nothing_and_runs_beside_another_snakemake(tmp_path):
    status, text = snakemake(tmp_path, "--nolock", "preview_report")
    assert status == 0, text
    page = (tmp_path / "results/preview.html").read_text()
    assert "results/city/vlad/seed0/gen0/recalls.csv is not there yet" in page
    assert "There are no recalls yet." in page


def test_bad_configuration_is_one_line(tmp_path):
    status, text = snakemake(tmp_path, "--dry-run", "all", config={"datasets": ["tokio247"]})
    assert status != 0
    said = [line for line in text.splitlines() if not line.startswith("Using profile")]
    assert said == [
        "error: config: datasets: unknown dataset 'tokio247'; did you mean 'tokyo247'? "
        f"known: {', '.join(FAMILIES['dataset'])}"
    ]


def test_the_paper_resolves_without_data_and_running_it_says_what_to_fetch(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    base = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path]
    options = {"env": ENVIRONMENT, "cwd": ROOT, "capture_output": True, "text": True, "check": False}
    dry = subprocess.run([*base, "--dry-run", "results/tokyo247/recalls.csv"], **options)
    assert dry.returncode == 0, dry.stderr
    slurm = subprocess.run([*base, "--dry-run", "--profile", ROOT / "profiles/slurm", "all"], **options)
    assert slurm.returncode == 0, slurm.stderr
    real = subprocess.run([*base, "--cores", "1", "results/tokyo247/images.csv"], **options)
    assert real.returncode != 0
    said = [line for line in real.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    for part in ("data/tokyo247/datasets/tokyo247.mat", "on request", "put the database images into"):
        assert part in said[0]


def test_a_truncated_photo_stops_with_its_name_and_loses_nothing(done, tmp_path):
    folder = tmp_path / "truncated"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns(".snakemake", "logs"))
    photo = next((folder / "data/city/queries_real").glob("*/*.jpg"))
    photo.write_bytes(photo.read_bytes()[:300])
    (folder / "results/city/verification.json").unlink()
    status, text = snakemake(folder, "results/city/verification.json")
    assert status != 0
    said = [line for line in text.splitlines() if line.startswith("error: verify")]
    assert len(said) == 1
    assert photo.name in said[0]
    assert (folder / "results/city/recalls.csv").exists()
