"""From networks to recalls: describe, search, judge."""


rule extract:
    input:
        images="results/{dataset}/images.csv",
        checkpoint=evaluated_checkpoint,
        whitening=whitening,
    output:
        temp(f"{EVALUATED}/shard.{{scatteritem}}.h5"),
    log:
        "logs/extract/{dataset}/{run}/seed{seed}/gen{gen}/{scatteritem}.log",
    threads: 8
    resources:
        gpu=1,
    params:
        descriptors=lambda w: cfg.runs[w.run].extract.descriptors,
        framings=framings,
    script:
        "../scripts/extract.py"


rule merge:
    input:
        gather.extract("results/{{dataset}}/{{run}}/seed{{seed}}/gen{{gen}}/shard.{scatteritem}.h5"),
    output:
        database=f"{EVALUATED}/database.h5",
        queries=f"{EVALUATED}/queries.h5",
    log:
        "logs/merge/{dataset}/{run}/seed{seed}/gen{gen}.log",
    script:
        "../scripts/merge.py"


rule search:
    input:
        images="results/{dataset}/images.csv",
        database=f"{EVALUATED}/database.h5",
        queries=f"{EVALUATED}/queries.h5",
    output:
        f"{EVALUATED}/ranking.h5",
    log:
        "logs/search/{dataset}/{run}/seed{seed}/gen{gen}.log",
    threads: 8
    resources:
        **SEARCH_GPU,
    params:
        depth=candidates,
        scopes=scopes,
        index=index_wanted(),
    script:
        "../scripts/search.py"


use rule search as search_shard with:
    output:
        temp(f"{EVALUATED}/ranking.{{scatteritem}}.h5"),
    log:
        "logs/search_shard/{dataset}/{run}/seed{seed}/gen{gen}/{scatteritem}.log",


rule search_join:
    input:
        gather.search("results/{{dataset}}/{{run}}/seed{{seed}}/gen{{gen}}/ranking.{scatteritem}.h5"),
    output:
        f"{EVALUATED}/ranking.h5",
    log:
        "logs/search_join/{dataset}/{run}/seed{seed}/gen{gen}.log",
    params:
        depth=candidates,
    script:
        "../scripts/search_join.py"


if cfg.search.shards == 1:

    ruleorder: search > search_join

else:

    ruleorder: search_join > search


rule rerank:
    input:
        images="results/{dataset}/images.csv",
        database=f"{EVALUATED}/database.h5",
        queries=f"{EVALUATED}/queries.h5",
    output:
        f"{EVALUATED}/rerank/{{rerank}}.h5",
    log:
        "logs/rerank/{dataset}/{run}/seed{seed}/gen{gen}/{rerank}.log",
    threads: 8
    params:
        depth=candidates,
        scopes=scopes,
        settings=reranking,
    script:
        "../scripts/rerank.py"


rule evaluate:
    input:
        images="results/{dataset}/images.csv",
        rankings=[f"{EVALUATED}/ranking.h5", *(f"{EVALUATED}/rerank/{one.name}.h5" for one in cfg.rerank)],
        training=chosen_on,
    output:
        recalls=f"{EVALUATED}/recalls.csv",
        queries=f"{EVALUATED}/queries.csv",
    log:
        "logs/evaluate/{dataset}/{run}/seed{seed}/gen{gen}.log",
    params:
        ks=cfg.evaluate.ks,
        by=lambda w: cfg.evaluate.by.get(w.dataset, ()),
        judged=judged,
        recipe=recipe,
        config=identity,
        chosen=chosen,
    script:
        "../scripts/evaluate.py"


rule recalls:
    input:
        lambda w: tree(f"{EVALUATED}/recalls.csv", dataset=w.dataset),
    output:
        report(
            "results/{dataset}/recalls.csv",
            caption="../report/recalls_table.rst",
            category="{dataset}",
            labels={"what": "recalls, the table"},
        ),
    log:
        "logs/recalls/{dataset}.log",
    params:
        identities=identities(),
    script:
        "../scripts/recalls.py"


rule details:
    input:
        lambda w: tree(f"{EVALUATED}/queries.csv", dataset=w.dataset),
    output:
        differences=report(
            "results/{dataset}/differences.csv",
            caption="../report/differences.rst",
            category="{dataset}",
            labels={"what": "differences of recall@1, the table"},
        ),
        thresholds="results/{dataset}/thresholds.csv",
        precision="results/{dataset}/precision.csv",
        summary="results/{dataset}/summary.csv",
    log:
        "logs/details/{dataset}.log",
    params:
        identities=identities(),
    script:
        "../scripts/details.py"


rule sizes:
    input:
        images="results/{dataset}/images.csv",
        database=f"{EVALUATED}/database.h5",
        queries=f"{EVALUATED}/queries.h5",
    output:
        f"{EVALUATED}/sizes.csv",
    log:
        "logs/sizes/{dataset}/{run}/seed{seed}/gen{gen}.log",
    threads: 8
    params:
        sizes={key: value for key, value in plain(cfg.sizes).items() if key != "runs"},
        judged=judged,
    script:
        "../scripts/sizes.py"


rule sizes_table:
    input:
        sized,
    output:
        report(
            "results/{dataset}/sizes.csv",
            caption="../report/sizes_table.rst",
            category="{dataset}",
            labels={"what": "descriptor sizes, the table"},
        ),
    log:
        "logs/sizes_table/{dataset}.log",
    script:
        "../scripts/sizes_table.py"
