"""From images to networks: initial weights, centroids, one generation of training, whitening."""


rule weights:
    output:
        "results/weights/{backbone}/{weights}.safetensors",
    log:
        "logs/weights/{backbone}/{weights}.log",
    wildcard_constraints:
        weights=r"(?!pretrain\.safetensors)[^/]+",
    retries: 2
    params:
        backbone=backbone_of,
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
        backbone=lambda w: plain(cfg.with_backbone(w.backbone, "pretrain").backbone),
        image=lambda w: plain(cfg.with_backbone(w.backbone, "pretrain").image),
        pretrain=plain(cfg.pretrain),
    script:
        "../scripts/pretrain.py"


rule centroids:
    input:
        images="results/{train_set}/images.csv",
        weights="results/weights/{backbone}/{weights}.safetensors",
    output:
        "results/centroids/{train_set}/{backbone}/{weights}/seed{seed}.h5",
    log:
        "logs/centroids/{train_set}/{backbone}/{weights}/seed{seed}.log",
    threads: 8
    resources:
        gpu=1,
    params:
        start=start_of,
    script:
        "../scripts/centroids.py"


rule train:
    input:
        images=training_images,
        weights=weights,
        centroids=centroids,
        teacher=teacher,
    output:
        last=f"{MODEL}/last.safetensors",
        best=f"{MODEL}/best.safetensors",
        history=f"{MODEL}/history.csv",
    log:
        "logs/train/{run}/seed{seed}/gen{gen}.log",
    threads: 8
    resources:
        gpu=1,
    params:
        network=of_run("image", "backbone", "aggregator"),
        train=lambda w: plain(cfg.runs[w.run].generation(int(w.gen))),
        judged=training_judged,
    script:
        "../scripts/train.py"


rule whiten:
    input:
        images=training_images,
        checkpoint=evaluated_checkpoint,
    output:
        f"{MODEL}/pca.h5",
    log:
        "logs/whiten/{run}/seed{seed}/gen{gen}.log",
    threads: 8
    resources:
        gpu=1,
    params:
        whiten=of_run("whiten"),
    script:
        "../scripts/whiten.py"
