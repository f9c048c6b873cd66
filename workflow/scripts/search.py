from pathlib import Path

from vprlib.compute.device import search_device
from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.ann_index import make_searcher
from vprlib.retrieval.search import search_database

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        shard, shards = map(int, snakemake.wildcards.get("scatteritem", "1-of-1").split("-of-"))
        search_database(
            snakemake.output[0],
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            images=snakemake.input.images,
            depth=snakemake.params.depth,
            scopes=snakemake.params.scopes,
            rank=make_searcher(
                Path(snakemake.output[0]).parent, **snakemake.params.index, device=search_device(config)
            ),
            attributes={"index": snakemake.params.index["kind"]},
            shard=shard - 1,
            shards=shards,
        )
