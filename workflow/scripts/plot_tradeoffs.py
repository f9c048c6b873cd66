from vprlib.evaluation.recall_table import read_results
from vprlib.figures.precision_recall import plot_precision
from vprlib.figures.recall_curves import plot_thresholds
from vprlib.figures.style import STYLES
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        style = STYLES[snakemake.params.style]
        tables = {name: read_results(path) for name, path in snakemake.input.items()}
        plot_thresholds(snakemake.output.thresholds, tables["thresholds"], tables["summary"], style)
        plot_precision(snakemake.output.precision, tables["precision"], tables["summary"], style)
