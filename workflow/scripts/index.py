from vprlib import files
from vprlib.datasets import find
from vprlib.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        files.write_csv(snakemake.output[0], find(snakemake.wildcards.dataset, config).table())
