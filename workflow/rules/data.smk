"""From published files to one table of images a dataset."""


rule render:
    output:
        "data/{dataset}/annotations.json",
    log:
        "logs/render/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(name for name in cfg.dataset_names if dataset(name).render),
    threads: 8
    params:
        size=plain(cfg.city),
    script:
        "../scripts/render.py"


rule download:
    output:
        "results/{dataset}/download.json",
    log:
        "logs/download/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(name for name in cfg.dataset_names if dataset(name).remotes),
    localrule: True
    script:
        "../scripts/download.py"


rule index:
    input:
        raw_files,
    output:
        "results/{dataset}/images.csv",
    log:
        "logs/index/{dataset}.log",
    params:
        root=lambda w: str(dataset(w.dataset).root),
    script:
        "../scripts/index.py"


rule verify:
    input:
        images="results/{dataset}/images.csv",
    output:
        found="results/{dataset}/verification.json",
        picture=report(
            "results/{dataset}/verification.png",
            caption="../report/verification.rst",
            category="{dataset}",
            labels={"what": "positions, positives, duplicates"},
        ),
    log:
        "logs/verify/{dataset}.log",
    priority: 10
    threads: 8
    params:
        judged=judged,
        hamming=cfg.verify.hamming,
    script:
        "../scripts/verify.py"
