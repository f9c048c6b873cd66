from vprlib.evaluate import read_recalls
from vprlib.job import job
from vprlib.plots import curves

if __name__ == "__main__":
    with job(snakemake):
        curves(snakemake.output[0], read_recalls(snakemake.input[0]))
