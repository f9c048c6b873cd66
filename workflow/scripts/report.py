from vprlib.jobs.job import job
from vprlib.report import artifacts as campaign
from vprlib.report.page import build

if __name__ == "__main__":
    with job(snakemake) as config:
        build(snakemake.output[0], campaign.of_job(snakemake, config), **snakemake.params.report)
