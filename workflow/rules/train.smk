"""From images to networks: initial weights, centroids, one generation of training, whitening.

The generations of a run wait for each other, so they are the longest chain: what leads to them has a priority.
"""


rule weights:
    input:
        own_weights,
    output:
        "results/weights/{backbone}/{weights}.safetensors",
    log:
        "logs/weights/{backbone}/{weights}.log",
    wildcard_constraints:
        weights=r"(?!pretrain\.safetensors)[^/]+",
    localrule: True
    params:
        made_from=made_from("backbone"),
    script:
        "../scripts/weights.py"


rule pretrain:
    output:
        "results/weights/{backbone}/pretrain.safetensors",
    log:
        "logs/pretrain/{backbone}.log",
    threads: 8
    resources:
        gpu=1,
    params:
        made_from=made_from("backbone", "image"),
        pretrain=plain(cfg.pretrain),
    script:
        "../scripts/pretrain.py"


rule trunk:
    input:
        images="results/{train_set}/images.csv",
        weights="results/weights/{backbone}/{weights}.safetensors",
    output:
        "results/trunk/{train_set}/{backbone}/{weights}/{height}x{width}.h5",
    log:
        "logs/trunk/{train_set}/{backbone}/{weights}/{height}x{width}.log",
    priority: 1
    threads: 8
    resources:
        gpu=1,
    params:
        made_from=made_from("backbone", "image"),
    script:
        "../scripts/trunk.py"


rule centroids:
    input:
        images="results/{train_set}/images.csv",
        weights="results/weights/{backbone}/{weights}.safetensors",
        trunk=trunk_to_cluster,
    output:
        "results/centroids/{train_set}/{backbone}/{weights}/seed{seed}.h5",
    log:
        "logs/centroids/{train_set}/{backbone}/{weights}/seed{seed}.log",
    priority: 1
    threads: 8
    resources:
        gpu=1,
    params:
        made_from=made_from("image", "backbone", "aggregator", "centroids", clustered=True),
    script:
        "../scripts/centroids.py"


rule train:
    input:
        images=training_images,
        weights=weights,
        centroids=centroids,
        trunk=trunk,
        teacher=teacher,
    output:
        last=f"{MODEL}/last.safetensors",
        best=f"{MODEL}/best.safetensors",
        history=f"{MODEL}/history.csv",
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
        network=network,
        train=generation,
        judged=training_judged,
    script:
        "../scripts/train.py"


rule checkpoint:
    input:
        named_file("file", f"{MODEL}/published.safetensors"),
    output:
        f"{MODEL}/published.safetensors",
    log:
        "logs/checkpoint/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(set(cfg.runs) - set(cfg.trained)),
    localrule: True
    params:
        published=published("file", "url", "sha256", "format"),
    script:
        "../scripts/checkpoint.py"


rule checkpoint_pca:
    input:
        checkpoint=f"{MODEL}/published.safetensors",
        pca=named_file("pca", f"{MODEL}/pca.h5"),
    output:
        f"{MODEL}/pca.h5",
    log:
        "logs/checkpoint_pca/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(with_own_pca),
    localrule: True
    params:
        published=published("file", "url", "sha256", "format", "pca"),
    script:
        "../scripts/checkpoint_pca.py"


rule whiten:
    input:
        images=training_images,
        checkpoint=evaluated_checkpoint,
        trunk=trunk,
    output:
        f"{MODEL}/pca.h5",
    log:
        "logs/whiten/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(set(cfg.runs) - with_own_pca),
    threads: 8
    resources:
        gpu=1,
    params:
        whiten=of_run("whiten"),
    script:
        "../scripts/whiten.py"
