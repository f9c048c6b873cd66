import pandas as pd

from vprlib.job import job
from vprlib.plots import comparison

if __name__ == "__main__":
    with job(snakemake):
        comparison(snakemake.output[0], [pd.read_csv(path, dtype={"run": str}) for path in snakemake.input])
