"""From published files to one image table per dataset."""


rule render_city:
    output:
        "data/{dataset}/annotations.json",
    log:
        "logs/render_city/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(name for name in cfg.dataset_names if catalogue[name].render),
    threads: 8
    params:
        size=cfg.city.size,
    script:
        "../scripts/render_city.py"


rule download_dataset:
    output:
        paths.download,
    log:
        "logs/download_dataset/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(name for name in cfg.dataset_names if catalogue[name].remotes),
    localrule: True
    script:
        "../scripts/download_dataset.py"


rule image_table:
    input:
        or_exit(inputs.image_table),
    output:
        paths.images,
    log:
        "logs/image_table/{dataset}.log",
    localrule: True
    params:
        root=params.root,
        unwatched=inputs.unwatched,
    script:
        "../scripts/image_table.py"


rule verify_dataset:
    input:
        images=paths.images,
    output:
        found=paths.verification,
        picture=report(
            paths.verification_figure,
            caption="../report/verification.rst",
            category="{dataset}",
            labels={"what": "positions, positives, duplicates"},
        ),
    log:
        paths.log("verify_dataset/{dataset}"),
    priority: 10
    threads: 8
    params:
        protocols=params.protocols,
        max_hash_distance=cfg.verify.max_hash_distance,
    script:
        "../scripts/verify_dataset.py"
