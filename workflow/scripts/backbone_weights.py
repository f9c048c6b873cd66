from vprlib.config import BackboneConfig
from vprlib.jobs.job import snakemake_job
from vprlib.models.weights import fetch_weights

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        fetch_weights(
            snakemake.output[0], BackboneConfig(**snakemake.params.made_from["backbone"]), offline=config.offline
        )
