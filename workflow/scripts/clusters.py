from vprlib import files
from vprlib.job import job
from vprlib.plots import clusters

if __name__ == "__main__":
    with job(snakemake):
        clusters(snakemake.output, *files.read_h5(snakemake.input[0], "centroids", "descriptors"))
