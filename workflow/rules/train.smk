"""From images to networks: initial weights, centroids, one generation of training, whitening.

The generations of a run wait for each other, so they are the longest chain: what leads to them has a priority.
"""


rule backbone_weights:
    input:
        or_exit(inputs.own_weights),
    output:
        paths.weights,
    log:
        "logs/backbone_weights/{backbone}/{weights}.log",
    wildcard_constraints:
        weights=r"(?!pretrain\.safetensors)[^/]+",
    localrule: True
    params:
        made_from=params.weights,
    script:
        "../scripts/backbone_weights.py"


rule pretrain_backbone:
    output:
        paths.pretrained,
    log:
        "logs/pretrain_backbone/{backbone}.log",
    priority: 1
    threads: 8
    resources:
        gpu=1,
    params:
        made_from=params.shared("backbone", "image"),
        pretrain=cfg.pretrain.without_defaults(),
    script:
        "../scripts/pretrain_backbone.py"


rule cache_features:
    input:
        images=paths.train_images,
        weights=paths.weights,
    output:
        paths.features,
    log:
        "logs/cache_features/{train_set}/{backbone}/{weights}/{height}x{width}.log",
    priority: 1
    threads: 8
    resources:
        gpu=1,
    params:
        made_from=params.shared("backbone", "image"),
    script:
        "../scripts/cache_features.py"


rule cluster_features:
    input:
        images=paths.train_images,
        weights=paths.weights,
        features=inputs.features_to_cluster,
    output:
        paths.centroids,
    log:
        "logs/cluster_features/{train_set}/{backbone}/{weights}/seed{seed}.log",
    priority: 1
    threads: 8
    resources:
        gpu=1,
    params:
        made_from=params.shared("image", "backbone", "centroids", clustered=True),
        clusters=params.clusters,
    script:
        "../scripts/cluster_features.py"


rule train:
    input:
        images=inputs.training_images,
        weights=inputs.weights,
        centroids=inputs.centroids,
        features=inputs.features,
        teacher=inputs.teacher,
    output:
        last=paths.last,
        best=paths.best,
        history=paths.history,
    log:
        "logs/train/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(cfg.trained),
    priority: 1
    threads: 8
    resources:
        **TRAINING_NODES,
        gpu=TRAINING_GPUS,
    params:
        network=params.network,
        train=params.train,
        validation=params.validation,
    script:
        "../scripts/train.py"


rule import_checkpoint:
    input:
        or_exit(inputs.published_file("file", paths.published)),
    output:
        paths.published,
    log:
        "logs/import_checkpoint/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(cfg.published),
    localrule: True
    params:
        published=params.published("file", "url", "sha256", "format"),
    script:
        "../scripts/import_checkpoint.py"


rule import_whitening:
    input:
        checkpoint=paths.published,
        pca=or_exit(inputs.published_file("pca", paths.whitening)),
    output:
        paths.whitening,
    log:
        "logs/import_whitening/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(targets.with_published_whitening),
    localrule: True
    params:
        published=params.published("file", "url", "sha256", "format", "pca"),
    script:
        "../scripts/import_whitening.py"


rule fit_whitening:
    input:
        images=inputs.training_images,
        checkpoint=inputs.evaluated_checkpoint,
        features=inputs.features,
    output:
        paths.whitening,
    log:
        "logs/fit_whitening/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(set(cfg.runs) - targets.with_published_whitening - set(cfg.external)),
    threads: 8
    resources:
        gpu=1,
    params:
        whiten=params.whitening,
    script:
        "../scripts/fit_whitening.py"


rule export_checkpoint:
    input:
        or_exit(inputs.exported_files),
    output:
        paths.exported,
    log:
        "logs/export_checkpoint/{run}/seed{seed}/gen{gen}/{format}.log",
    wildcard_constraints:
        format=one_of(FORMATS),
    localrule: True
    script:
        "../scripts/export_checkpoint.py"
