from vprlib.datasets import find
from vprlib.download import download
from vprlib.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        dataset = find(snakemake.wildcards.dataset, config)
        download(snakemake.output[0], remotes=dataset.remotes, root=dataset.root, offline=config.offline)
