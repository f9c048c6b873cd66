import pandas as pd

from vprlib.job import job
from vprlib.plots import curves

if __name__ == "__main__":
    with job(snakemake):
        curves(snakemake.output[0], pd.read_csv(snakemake.input[0], dtype={"run": str}))
