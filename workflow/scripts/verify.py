from vprlib import maps
from vprlib.datasets import find
from vprlib.datasets.base import read_table
from vprlib.job import job
from vprlib.verify import verify

if __name__ == "__main__":
    with job(snakemake) as config:
        found = verify(
            snakemake.output.found,
            images=snakemake.input.images,
            dataset=find(snakemake.wildcards.dataset, config),
            name=snakemake.wildcards.dataset,
            hamming=config.verify.hamming,
            threads=snakemake.threads,
        )
        maps.verification(snakemake.output.picture, read_table(snakemake.input.images), found)
