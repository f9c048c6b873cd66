from vprlib.datasets import find
from vprlib.job import job
from vprlib.verify import verify

if __name__ == "__main__":
    with job(snakemake) as config:
        verify(
            snakemake.output[0],
            images=snakemake.input.images,
            dataset=find(snakemake.wildcards.dataset, config),
            name=snakemake.wildcards.dataset,
            threads=snakemake.threads,
        )
