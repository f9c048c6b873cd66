from vprlib.jobs.job import snakemake_job
from vprlib.report.artifacts import artifacts_of_job
from vprlib.report.page import build_page

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        artifacts = artifacts_of_job(snakemake, config)
        build_page(snakemake.params.path, artifacts, complete=False, **snakemake.params.report)
