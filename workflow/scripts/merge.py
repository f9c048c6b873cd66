from pathlib import Path

from vprlib.jobs.job import job
from vprlib.retrieval.merge_shards import merge

if __name__ == "__main__":
    with job(snakemake):
        merge(Path(snakemake.output.database).parent, list(snakemake.input))
