from pathlib import Path

from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.import_descriptors import import_descriptors

if __name__ == "__main__":
    with snakemake_job(snakemake):
        import_descriptors(
            Path(snakemake.output.database).parent,
            images=snakemake.input.images,
            **snakemake.params.given,
            framings=snakemake.params.framings,
        )
