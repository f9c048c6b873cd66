from vprlib.config import Backbone
from vprlib.job import job
from vprlib.weights import fetch

if __name__ == "__main__":
    with job(snakemake) as config:
        fetch(snakemake.output[0], Backbone(**snakemake.params.made_from["backbone"]), offline=config.offline)
