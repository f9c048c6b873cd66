from vprlib.data.catalogue import get_dataset
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        write_csv(snakemake.output[0], get_dataset(snakemake.wildcards.dataset, config).table())
