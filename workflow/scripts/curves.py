from vprlib.job import job
from vprlib.judge import read
from vprlib.plots import curves
from vprlib.variants import conditions, generations, seeds

FIGURES = {"recalls": curves, "generations": generations, "seeds": seeds, "conditions": conditions}

if __name__ == "__main__":
    with job(snakemake):
        table = read(snakemake.input[0])
        for name, paths in snakemake.output.items():
            FIGURES[name](paths, table)
