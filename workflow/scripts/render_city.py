from vprlib.data.catalogue import get_dataset
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        dataset = get_dataset(snakemake.wildcards.dataset, config)
        dataset.render(dataset.root, snakemake.params.size, snakemake.threads)
