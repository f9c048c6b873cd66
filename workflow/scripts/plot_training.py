import pandas as pd

from vprlib.figures.training_curves import plot_training
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        tables = [pd.read_csv(path) for path in snakemake.input]
        plot_training(snakemake.output, dict(zip(snakemake.params.labels, tables, strict=True)), snakemake.params.runs)
