from vprlib.figures.centroids import plot_centroids
from vprlib.figures.style import STYLES
from vprlib.io.files import read_h5
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        sampled = read_h5(snakemake.input[0], "centroids", "descriptors")
        plot_centroids(snakemake.output, *sampled, STYLES[snakemake.params.style])
