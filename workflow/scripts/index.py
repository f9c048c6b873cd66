from vprlib.data.catalogue import find
from vprlib.io import files
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        files.write_csv(snakemake.output[0], find(snakemake.wildcards.dataset, config).table())
