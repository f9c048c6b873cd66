from vprlib.job import job
from vprlib.judge import read
from vprlib.plots import curves

if __name__ == "__main__":
    with job(snakemake):
        curves(snakemake.output[0], read(snakemake.input[0]))
