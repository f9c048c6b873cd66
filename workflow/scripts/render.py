from vprlib.data.catalogue import find
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        dataset = find(snakemake.wildcards.dataset, config)
        dataset.render(dataset.root, snakemake.params.size, snakemake.threads)
