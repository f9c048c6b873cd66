"""What people look at; every figure is drawn from tidy tables and photos only."""


rule curves:
    input:
        "results/{dataset}/recalls.csv",
    output:
        report(
            "results/{dataset}/recalls.svg",
            caption="../report/recalls.rst",
            category="{dataset}",
            labels={"what": "recall@N, all runs"},
        ),
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
        thresholds=report(
            "results/{dataset}/thresholds.svg",
            caption="../report/thresholds.rst",
            category="{dataset}",
            labels={"what": "recall@1 by hit radius"},
        ),
        precision=report(
            "results/{dataset}/precision.svg",
            caption="../report/precision.rst",
            category="{dataset}",
            labels={"what": "precision and recall of confident answers"},
        ),
    log:
        "logs/tradeoffs/{dataset}.log",
    script:
        "../scripts/tradeoffs.py"


rule comparison:
    input:
        [f"results/{name}/recalls.csv" for name in cfg.datasets],
    output:
        picture=report(
            "results/comparison.svg",
            caption="../report/comparison.rst",
            category="overview",
            labels={"what": "recall@1, all runs and datasets"},
        ),
        table=report(
            "results/comparison.csv",
            caption="../report/comparison_table.rst",
            category="overview",
            labels={"what": "recalls beside published ones, the table"},
        ),
    log:
        "logs/comparison.log",
    script:
        "../scripts/comparison.py"


rule training:
    input:
        tree(f"{MODEL}/history.csv", cfg.trained),
    output:
        report(
            "results/training.svg",
            caption="../report/training.rst",
            category="overview",
            labels={"what": "training curves, all runs"},
        ),
    log:
        "logs/training.log",
    params:
        labels=tree("{run} seed {seed} gen {gen}", cfg.trained),
    script:
        "../scripts/training.py"


rule clusters:
    input:
        "results/centroids/{train_set}/{backbone}/{weights}/seed{seed}.h5",
    output:
        report(
            "results/centroids/{train_set}/{backbone}/{weights}/seed{seed}.svg",
            caption="../report/clusters.rst",
            category="overview",
            labels={"what": "centroids of {backbone} on {train_set}, seed {seed}"},
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
        report(
            f"{EVALUATED}/gallery.png",
            caption="../report/gallery.rst",
            category="{dataset}",
            labels={"what": "queries and their top 5, {run}, seed {seed}, generation {gen}"},
        ),
    log:
        "logs/gallery/{dataset}/{run}/seed{seed}/gen{gen}.log",
    params:
        judged=judged,
    script:
        "../scripts/gallery.py"


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
    script:
        "../scripts/contact.py"


rule pareto:
    input:
        "results/{dataset}/sizes.csv",
    output:
        report(
            "results/{dataset}/sizes.svg",
            caption="../report/sizes.rst",
            category="{dataset}",
            labels={"what": "recall@1 over bytes per image"},
        ),
    log:
        "logs/pareto/{dataset}.log",
    script:
        "../scripts/pareto.py"
