from vprlib.evaluate import read_recalls
from vprlib.job import job
from vprlib.plots import comparison

if __name__ == "__main__":
    with job(snakemake):
        comparison(snakemake.output[0], [read_recalls(path) for path in snakemake.input])
