from vprlib.config import Backbone
from vprlib.jobs.job import job
from vprlib.models.weights import fetch

if __name__ == "__main__":
    with job(snakemake) as config:
        fetch(snakemake.output[0], Backbone(**snakemake.params.made_from["backbone"]), offline=config.offline)
