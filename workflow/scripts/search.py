from pathlib import Path

from vprlib.index import ranker
from vprlib.job import job
from vprlib.search import search

if __name__ == "__main__":
    with job(snakemake):
        search(
            snakemake.output[0],
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            images=snakemake.input.images,
            depth=snakemake.params.depth,
            scopes=snakemake.params.scopes,
            rank=ranker(Path(snakemake.output[0]).parent, **snakemake.params.index),
            attributes={"index": snakemake.params.index["kind"]},
        )
