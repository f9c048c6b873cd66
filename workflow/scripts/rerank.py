from functools import partial

from vprlib import registry
from vprlib.config import Rerank
from vprlib.jobs.job import job
from vprlib.retrieval.search import search

if __name__ == "__main__":
    with job(snakemake):
        settings = Rerank(**snakemake.params.settings)
        search(
            snakemake.output[0],
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            images=snakemake.input.images,
            depth=snakemake.params.depth,
            scopes=snakemake.params.scopes,
            rank=partial(registry.load("rerank", settings.name), settings=settings),
            attributes={"rerank": settings.name},
        )
