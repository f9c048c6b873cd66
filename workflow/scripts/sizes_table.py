import pandas as pd

from vprlib import files
from vprlib.job import job
from vprlib.sizes import read

if __name__ == "__main__":
    with job(snakemake):
        files.write_csv(snakemake.output[0], pd.concat([read(path) for path in snakemake.input]))
