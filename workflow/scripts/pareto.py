from vprlib.job import job
from vprlib.sizes import pareto, read

if __name__ == "__main__":
    with job(snakemake):
        pareto(snakemake.output, read(snakemake.input[0]))
