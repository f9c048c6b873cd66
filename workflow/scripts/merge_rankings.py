from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.search import merge_ranking_files

if __name__ == "__main__":
    with snakemake_job(snakemake):
        merge_ranking_files(snakemake.output[0], list(snakemake.input), snakemake.params.depth)
