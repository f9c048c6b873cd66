from vprlib.datasets import find
from vprlib.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        dataset = find(snakemake.wildcards.dataset, config)
        dataset.render(dataset.root, snakemake.params.size, snakemake.threads)
