from vprlib.figures.centroids import plot_centroids
from vprlib.io.files import read_h5
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        plot_centroids(snakemake.output, *read_h5(snakemake.input[0], "centroids", "descriptors"))
