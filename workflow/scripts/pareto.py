from vprlib.job import job
from vprlib.sizes import pareto, read

if __name__ == "__main__":
    with job(snakemake):
        pareto(snakemake.output[0], read(snakemake.input[0]))
