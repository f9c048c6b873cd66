from vprlib.jobs.job import job
from vprlib.retrieval.search import join

if __name__ == "__main__":
    with job(snakemake):
        join(snakemake.output[0], list(snakemake.input), snakemake.params.depth)
