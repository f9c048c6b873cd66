from pathlib import Path

from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.merge_shards import merge_shards

if __name__ == "__main__":
    with snakemake_job(snakemake):
        merge_shards(Path(snakemake.output.database).parent, list(snakemake.input))
