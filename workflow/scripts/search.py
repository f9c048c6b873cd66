from pathlib import Path

from vprlib.jobs.job import job, search_device
from vprlib.retrieval.ann_index import ranker
from vprlib.retrieval.search import search

if __name__ == "__main__":
    with job(snakemake) as config:
        shard, shards = map(int, snakemake.wildcards.get("scatteritem", "1-of-1").split("-of-"))
        search(
            snakemake.output[0],
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            images=snakemake.input.images,
            depth=snakemake.params.depth,
            scopes=snakemake.params.scopes,
            rank=ranker(Path(snakemake.output[0]).parent, **snakemake.params.index, device=search_device(config)),
            attributes={"index": snakemake.params.index["kind"]},
            shard=shard - 1,
            shards=shards,
        )
