from vprlib.jobs.job import job
from vprlib.report import artifacts as campaign
from vprlib.report.page import build

if __name__ == "__main__":
    with job(snakemake) as config:
        asked = campaign.of_job(snakemake, config)
        build("results/preview.html", asked, complete=False, **snakemake.params.report)
