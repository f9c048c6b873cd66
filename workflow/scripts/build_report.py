from vprlib.jobs.job import snakemake_job
from vprlib.report.artifacts import artifacts_of_job
from vprlib.report.page import build_page

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        build_page(snakemake.output[0], artifacts_of_job(snakemake, config), **snakemake.params.report)
