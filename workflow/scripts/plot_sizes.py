from vprlib.evaluation.recall_table import read_sizes_table
from vprlib.figures.pareto import plot_pareto
from vprlib.figures.style import STYLES
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        plot_pareto(snakemake.output, read_sizes_table(snakemake.input[0]), STYLES[snakemake.params.style])
