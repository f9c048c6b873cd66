from vprlib.evaluation.recall_table import read_results
from vprlib.figures.breakdowns import plot_conditions, plot_generations, plot_seeds
from vprlib.figures.recall_curves import plot_recalls
from vprlib.figures.style import STYLES
from vprlib.jobs.job import snakemake_job

FIGURES = {"recalls": plot_recalls, "generations": plot_generations, "seeds": plot_seeds, "conditions": plot_conditions}

if __name__ == "__main__":
    with snakemake_job(snakemake):
        table = read_results(snakemake.input[0])
        for name, paths in snakemake.output.items():
            FIGURES[name](paths, table, STYLES[snakemake.params.style])
