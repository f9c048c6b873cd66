from functools import partial

from vprlib.config import RerankConfig
from vprlib.jobs.job import snakemake_job
from vprlib.registry import load_object
from vprlib.retrieval.search import search_database

if __name__ == "__main__":
    with snakemake_job(snakemake):
        settings = RerankConfig(**snakemake.params.settings)
        search_database(
            snakemake.output[0],
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            images=snakemake.input.images,
            depth=snakemake.params.depth,
            scopes=snakemake.params.scopes,
            rank=partial(load_object("rerank", settings.name), **settings.options),
            attributes={"rerank": snakemake.wildcards.rerank, "reranker": settings.described},
        )
