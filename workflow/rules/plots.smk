"""What people look at; every figure is drawn from tidy tables, photos and descriptors only."""


rule curves:
    input:
        "results/{dataset}/recalls.csv",
    output:
        **{
            name: pictures(f"results/{{dataset}}/{name}", name, "{dataset}", f"recalls by {name}")
            for name in variants()
        },
        recalls=pictures("results/{dataset}/recalls", "recalls", "{dataset}", "recall@N, all runs"),
    log:
        "logs/curves/{dataset}.log",
    script:
        "../scripts/curves.py"


rule tradeoffs:
    input:
        thresholds="results/{dataset}/thresholds.csv",
        precision="results/{dataset}/precision.csv",
        summary="results/{dataset}/summary.csv",
    output:
        thresholds=pictures("results/{dataset}/thresholds", "thresholds", "{dataset}", "recall@1 by hit radius"),
        precision=pictures(
            "results/{dataset}/precision", "precision", "{dataset}", "precision and recall of confident answers"
        ),
    log:
        "logs/tradeoffs/{dataset}.log",
    script:
        "../scripts/tradeoffs.py"


rule comparison:
    input:
        [f"results/{name}/recalls.csv" for name in cfg.datasets],
    output:
        picture=pictures("results/comparison", "comparison", "overview", "recall@1, all runs and datasets"),
        table=report(
            "results/comparison.csv",
            caption="../report/comparison_table.rst",
            category="overview",
            labels={"what": "recalls beside published ones, the table"},
        ),
        wide=report(
            "results/recalls.csv",
            caption="../report/wide_table.rst",
            category="overview",
            labels={"what": "recalls, a row a run"},
        ),
        markdown="results/recalls.md",
        latex="results/recalls.tex",
        intervals="results/recalls_intervals.tex",
    log:
        "logs/comparison.log",
    script:
        "../scripts/comparison.py"


rule training:
    input:
        tree(f"{MODEL}/history.csv", cfg.trained),
    output:
        pictures("results/training", "training", "overview", "training curves, all runs"),
    log:
        "logs/training.log",
    params:
        labels=tree("{run} seed {seed} gen {gen}", cfg.trained),
        runs=list(cfg.runs),
    script:
        "../scripts/training.py"


rule clusters:
    input:
        "results/centroids/{train_set}/{backbone}/{weights}/seed{seed}.h5",
    output:
        pictures(
            "results/centroids/{train_set}/{backbone}/{weights}/seed{seed}",
            "clusters",
            "overview",
            "centroids of {backbone} on {train_set}, seed {seed}",
        ),
    log:
        "logs/clusters/{train_set}/{backbone}/{weights}/seed{seed}.log",
    script:
        "../scripts/clusters.py"


rule gallery:
    input:
        images="results/{dataset}/images.csv",
        ranking=f"{EVALUATED}/ranking.h5",
    output:
        gallery=report(
            f"{EVALUATED}/gallery.png",
            caption="../report/gallery.rst",
            category="{dataset}",
            labels={"what": "queries and their top 5, {run}, seed {seed}, generation {gen}"},
        ),
        errors=pictures(
            f"{EVALUATED}/errors", "errors", "{dataset}", "map of errors, {run}, seed {seed}, generation {gen}"
        ),
    log:
        "logs/gallery/{dataset}/{run}/seed{seed}/gen{gen}.log",
    params:
        judged=judged,
    script:
        "../scripts/gallery.py"


rule projection:
    input:
        images="results/{dataset}/images.csv",
        database=f"{EVALUATED}/database.h5",
        queries=f"{EVALUATED}/queries.h5",
    output:
        pictures(
            f"{EVALUATED}/projection", "projection", "{dataset}", "descriptors, {run}, seed {seed}, generation {gen}"
        ),
    log:
        "logs/projection/{dataset}/{run}/seed{seed}/gen{gen}.log",
    params:
        judged=judged,
    script:
        "../scripts/projection.py"


rule words:
    input:
        images="results/{dataset}/images.csv",
        checkpoint=evaluated_checkpoint,
    output:
        report(
            f"{EVALUATED}/words.png",
            caption="../report/words.rst",
            category="{dataset}",
            labels={"what": "visual words in photos, {run}, seed {seed}, generation {gen}"},
        ),
    log:
        "logs/words/{dataset}/{run}/seed{seed}/gen{gen}.log",
    params:
        judged=judged,
    script:
        "../scripts/words.py"


rule contact:
    input:
        images="results/{dataset}/images.csv",
    output:
        report(
            "results/{dataset}/contact.png",
            caption="../report/contact.rst",
            category="{dataset}",
            labels={"what": "contact sheet"},
        ),
    log:
        "logs/contact/{dataset}.log",
    params:
        judged=judged,
    script:
        "../scripts/contact.py"


rule pareto:
    input:
        "results/{dataset}/sizes.csv",
    output:
        pictures("results/{dataset}/sizes", "sizes", "{dataset}", "recall@1 over bytes per image"),
    log:
        "logs/pareto/{dataset}.log",
    script:
        "../scripts/pareto.py"
