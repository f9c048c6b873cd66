from vprlib.data.text_table import read_written_table
from vprlib.figures.style import STYLES
from vprlib.figures.training_curves import plot_training
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        tables = [read_written_table(path, lambda _: True) for path in snakemake.input]
        params = snakemake.params
        histories = dict(zip(params.labels, tables, strict=True))
        plot_training(snakemake.output, histories, params.runs, STYLES[params.style])
