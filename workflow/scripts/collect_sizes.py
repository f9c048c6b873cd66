import pandas as pd

from vprlib.evaluation.recall_table import read_sizes_table
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        write_csv(snakemake.output[0], pd.concat([read_sizes_table(path) for path in snakemake.input]))
