from dataclasses import replace

from vprlib.data.catalogue import get_dataset
from vprlib.data.checks.verify import verify_dataset
from vprlib.data.image_table import read_image_table
from vprlib.data.protocol import Protocol
from vprlib.figures.dataset_map import plot_verification
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        protocols = tuple(Protocol(**one) for one in snakemake.params.protocols)
        found = verify_dataset(
            snakemake.output.found,
            images=snakemake.input.images,
            dataset=replace(get_dataset(snakemake.wildcards.dataset, config), protocols=protocols),
            name=snakemake.wildcards.dataset,
            max_hash_distance=snakemake.params.max_hash_distance,
            threads=snakemake.threads,
        )
        plot_verification(snakemake.output.picture, read_image_table(snakemake.input.images), found)
