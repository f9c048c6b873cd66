from vprlib.jobs.job import job
from vprlib.retrieval.descriptor_sizes import pareto, read

if __name__ == "__main__":
    with job(snakemake):
        pareto(snakemake.output, read(snakemake.input[0]))
