"""The figures, drawn from tidy tables, photos and descriptors only."""

OF_NETWORK = "{run}, seed {seed}, generation {gen}"


rule plot_recalls:
    input:
        paths.dataset_recalls,
    output:
        **{
            name: figure(fill(paths.dataset_figure, figure=name), name, "{dataset}", f"recalls by {name}")
            for name in targets.breakdowns()
        },
        recalls=figure(fill(paths.dataset_figure, figure="recalls"), "recalls", "{dataset}", "recall@N, all runs"),
    log:
        paths.log("plot_recalls/{dataset}"),
    localrule: True
    params:
        style=cfg.figures.style,
    script:
        "../scripts/plot_recalls.py"


rule plot_tradeoffs:
    input:
        thresholds=paths.thresholds,
        precision=paths.precision,
        summary=paths.summary,
    output:
        thresholds=figure(
            fill(paths.dataset_figure, figure="thresholds"), "thresholds", "{dataset}", "recall@1 by hit radius"
        ),
        precision=figure(
            fill(paths.dataset_figure, figure="precision"),
            "precision",
            "{dataset}",
            "precision and recall of confident predictions",
        ),
    log:
        paths.log("plot_tradeoffs/{dataset}"),
    localrule: True
    params:
        style=cfg.figures.style,
    script:
        "../scripts/plot_tradeoffs.py"


rule plot_sizes:
    input:
        paths.dataset_sizes,
    output:
        figure(fill(paths.dataset_figure, figure="sizes"), "sizes", "{dataset}", "recall@1 over bytes per image"),
    log:
        paths.log("plot_sizes/{dataset}"),
    localrule: True
    params:
        style=cfg.figures.style,
    script:
        "../scripts/plot_sizes.py"


rule plot_comparison:
    input:
        [fill(paths.dataset_recalls, dataset=name) for name in cfg.datasets],
    output:
        picture=figure(paths.comparison_figure, "comparison", "overview", "recall@1, all runs and datasets"),
        table=report(
            paths.comparison,
            caption="../report/comparison_table.rst",
            category="overview",
            labels={"what": "recalls beside published ones, the table"},
        ),
        wide=report(
            f"{paths.wide_recalls}.csv",
            caption="../report/wide_table.rst",
            category="overview",
            labels={"what": "recalls, one row per run"},
        ),
        markdown=f"{paths.wide_recalls}.md",
        latex=f"{paths.wide_recalls}.tex",
        intervals=paths.recall_intervals,
    log:
        paths.log("plot_comparison"),
    localrule: True
    params:
        style=cfg.figures.style,
    script:
        "../scripts/plot_comparison.py"


rule plot_training:
    input:
        or_exit(inputs.histories),
    output:
        figure(paths.training_figure, "training", "overview", "training curves, all runs"),
    log:
        paths.log("plot_training"),
    localrule: True
    params:
        labels=targets.training_labels(),
        runs=list(cfg.runs),
        style=cfg.figures.style,
    script:
        "../scripts/plot_training.py"


rule plot_centroids:
    input:
        paths.centroids,
    output:
        figure(paths.centroids_figure, "clusters", "overview", "centroids of {backbone} on {train_set}, seed {seed}"),
    log:
        "logs/plot_centroids/{train_set}/{backbone}/{weights}/seed{seed}.log",
    localrule: True
    params:
        style=cfg.figures.style,
    script:
        "../scripts/plot_centroids.py"


rule plot_gallery:
    input:
        images=paths.images,
        ranking=paths.ranking,
    output:
        gallery=report(
            paths.gallery,
            caption="../report/gallery.rst",
            category="{dataset}",
            labels={"what": f"queries and their top 5, {OF_NETWORK}"},
        ),
        errors=figure(paths.error_map, "errors", "{dataset}", f"map of errors, {OF_NETWORK}"),
    log:
        paths.log("plot_gallery/{dataset}/{run}/seed{seed}/gen{gen}"),
    params:
        protocol=params.shown_protocol,
        style=cfg.figures.style,
    script:
        "../scripts/plot_gallery.py"


rule plot_projection:
    input:
        images=paths.images,
        database=paths.database,
        queries=paths.queries,
    output:
        figure(paths.projection, "projection", "{dataset}", f"descriptors, {OF_NETWORK}"),
    log:
        paths.log("plot_projection/{dataset}/{run}/seed{seed}/gen{gen}"),
    params:
        protocol=params.shown_protocol,
        style=cfg.figures.style,
    script:
        "../scripts/plot_projection.py"


rule plot_visual_words:
    input:
        images=paths.images,
        checkpoint=inputs.evaluated_checkpoint,
    output:
        report(
            paths.visual_words,
            caption="../report/words.rst",
            category="{dataset}",
            labels={"what": f"visual words in photos, {OF_NETWORK}"},
        ),
    log:
        paths.log("plot_visual_words/{dataset}/{run}/seed{seed}/gen{gen}"),
    params:
        protocol=params.shown_protocol,
    script:
        "../scripts/plot_visual_words.py"


rule plot_contact_sheet:
    input:
        images=paths.images,
    output:
        report(
            paths.contact_sheet,
            caption="../report/contact.rst",
            category="{dataset}",
            labels={"what": "contact sheet"},
        ),
    log:
        "logs/plot_contact_sheet/{dataset}.log",
    localrule: True
    params:
        root=params.root,
        unit=params.unit,
    script:
        "../scripts/plot_contact_sheet.py"
