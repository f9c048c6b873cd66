from vprlib.data.catalogue import find
from vprlib.data.checks.verify import verify
from vprlib.data.dataset import read_table
from vprlib.figures import dataset_map as maps
from vprlib.jobs.job import job

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
