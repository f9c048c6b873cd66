import pandas as pd

from vprlib.figures.recall_curves import training
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        tables = [pd.read_csv(path) for path in snakemake.input]
        training(snakemake.output, dict(zip(snakemake.params.labels, tables, strict=True)), snakemake.params.runs)
