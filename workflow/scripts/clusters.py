from vprlib.figures.recall_curves import clusters
from vprlib.io import files
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        clusters(snakemake.output, *files.read_h5(snakemake.input[0], "centroids", "descriptors"))
