import pandas as pd

from vprlib.job import job
from vprlib.plots import training

if __name__ == "__main__":
    with job(snakemake):
        tables = [pd.read_csv(path) for path in snakemake.input]
        training(snakemake.output, dict(zip(snakemake.params.labels, tables, strict=True)), snakemake.params.runs)
