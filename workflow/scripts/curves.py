from vprlib.evaluation.recall_table import read
from vprlib.figures.breakdowns import conditions, generations, seeds
from vprlib.figures.recall_curves import curves
from vprlib.jobs.job import job

FIGURES = {"recalls": curves, "generations": generations, "seeds": seeds, "conditions": conditions}

if __name__ == "__main__":
    with job(snakemake):
        table = read(snakemake.input[0])
        for name, paths in snakemake.output.items():
            FIGURES[name](paths, table)
