"""From networks, or descriptors of others, to recalls: extract or import, search, re-rank, evaluate."""


rule extract_descriptors:
    input:
        images=paths.images,
        checkpoint=inputs.evaluated_checkpoint,
        whitening=inputs.whitening,
    output:
        temp(paths.descriptor_shard),
    log:
        "logs/extract_descriptors/{dataset}/{run}/seed{seed}/gen{gen}/{scatteritem}.log",
    threads: 8
    resources:
        gpu=1,
    params:
        descriptors=params.descriptors,
        framings=params.framings,
    script:
        "../scripts/extract_descriptors.py"


rule merge_descriptors:
    input:
        gather.extract(paths.gathered(paths.descriptor_shard)),
    output:
        database=paths.database,
        queries=paths.queries,
    log:
        "logs/merge_descriptors/{dataset}/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(set(cfg.runs) - set(cfg.external)),
    script:
        "../scripts/merge_descriptors.py"


rule import_descriptors:
    input:
        or_exit(inputs.descriptor_files),
        images=paths.images,
    output:
        database=paths.database,
        queries=paths.queries,
    log:
        "logs/import_descriptors/{dataset}/{run}/seed{seed}/gen{gen}.log",
    wildcard_constraints:
        run=one_of(cfg.external),
    params:
        given=params.descriptor_files,
        framings=params.framings,
    script:
        "../scripts/import_descriptors.py"


if cfg.shards.search == 1:

    rule search:
        input:
            images=paths.images,
            database=paths.database,
            queries=paths.queries,
        output:
            paths.ranking,
        log:
            "logs/search/{dataset}/{run}/seed{seed}/gen{gen}.log",
        threads: 8
        resources:
            **SEARCH_GPU,
        params:
            depth=params.candidates,
            scopes=params.search_scopes,
            index=params.index(),
        script:
            "../scripts/search.py"

else:

    rule search_shard:
        input:
            images=paths.images,
            database=paths.database,
            queries=paths.queries,
        output:
            temp(paths.ranking_shard),
        log:
            "logs/search_shard/{dataset}/{run}/seed{seed}/gen{gen}/{scatteritem}.log",
        threads: 8
        resources:
            **SEARCH_GPU,
        params:
            depth=params.candidates,
            scopes=params.search_scopes,
            index=params.index(),
        script:
            "../scripts/search.py"

    rule merge_rankings:
        input:
            gather.search(paths.gathered(paths.ranking_shard)),
        output:
            paths.ranking,
        log:
            "logs/merge_rankings/{dataset}/{run}/seed{seed}/gen{gen}.log",
        params:
            depth=params.candidates,
        script:
            "../scripts/merge_rankings.py"


rule rerank:
    input:
        images=paths.images,
        database=paths.database,
        queries=paths.queries,
    output:
        paths.reranking,
    log:
        "logs/rerank/{dataset}/{run}/seed{seed}/gen{gen}/{rerank}.log",
    threads: 8
    params:
        depth=params.candidates,
        scopes=params.search_scopes,
        settings=params.reranking,
    script:
        "../scripts/rerank.py"


rule evaluate:
    input:
        images=paths.images,
        rankings=inputs.rankings,
        validation=inputs.validation_images,
    output:
        recalls=paths.run_recalls,
        queries=paths.run_queries,
    log:
        paths.log("evaluate/{dataset}/{run}/seed{seed}/gen{gen}"),
    params:
        recall_at=cfg.evaluate.recall_at,
        fitting_only=cfg.evaluate.fitting_only,
        group_by=params.group_by,
        protocols=params.protocols,
        recipe=params.recipe,
        config_hash=params.identity,
        selection=params.selection,
    script:
        "../scripts/evaluate.py"


rule collect_recalls:
    input:
        inputs.run_tables(paths.run_recalls),
    output:
        report(
            paths.dataset_recalls,
            caption="../report/recalls_table.rst",
            category="{dataset}",
            labels={"what": "recalls, the table"},
        ),
    log:
        paths.log("collect_recalls/{dataset}"),
    localrule: True
    params:
        identities=targets.identities(),
    script:
        "../scripts/collect_recalls.py"


rule compare_runs:
    input:
        inputs.run_tables(paths.run_queries),
    output:
        differences=report(
            paths.differences,
            caption="../report/differences.rst",
            category="{dataset}",
            labels={"what": "differences of recall@1, the table"},
        ),
        thresholds=paths.thresholds,
        precision=paths.precision,
        summary=paths.summary,
    log:
        paths.log("compare_runs/{dataset}"),
    params:
        identities=targets.identities(),
    script:
        "../scripts/compare_runs.py"


rule measure_sizes:
    input:
        images=paths.images,
        database=or_exit(inputs.database_to_measure),
        queries=paths.queries,
    output:
        paths.run_sizes,
    log:
        paths.log("measure_sizes/{dataset}/{run}/seed{seed}/gen{gen}"),
    threads: 8
    params:
        sizes=params.sizes(),
        protocol=params.shown_protocol,
    script:
        "../scripts/measure_sizes.py"


rule collect_sizes:
    input:
        or_exit(inputs.sizes),
    output:
        report(
            paths.dataset_sizes,
            caption="../report/sizes_table.rst",
            category="{dataset}",
            labels={"what": "descriptor sizes, the table"},
        ),
    log:
        paths.log("collect_sizes/{dataset}"),
    localrule: True
    script:
        "../scripts/collect_sizes.py"
