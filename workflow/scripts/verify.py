from vprlib.data.catalogue import get_dataset
from vprlib.data.checks.verify import verify_dataset
from vprlib.data.image_table import read_image_table
from vprlib.figures.dataset_map import plot_verification
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        found = verify_dataset(
            snakemake.output.found,
            images=snakemake.input.images,
            dataset=get_dataset(snakemake.wildcards.dataset, config),
            name=snakemake.wildcards.dataset,
            hamming=config.verify.hamming,
            threads=snakemake.threads,
        )
        plot_verification(snakemake.output.picture, read_image_table(snakemake.input.images), found)
