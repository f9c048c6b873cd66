import pandas as pd

from vprlib.io import files
from vprlib.jobs.job import job
from vprlib.retrieval.descriptor_sizes import read

if __name__ == "__main__":
    with job(snakemake):
        files.write_csv(snakemake.output[0], pd.concat([read(path) for path in snakemake.input]))
