from vprlib.config import BackboneConfig, ImageConfig
from vprlib.jobs.job import snakemake_job
from vprlib.models.weights import fetch_weights

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        made_from = snakemake.params.made_from
        fetch_weights(
            snakemake.output[0],
            BackboneConfig(**made_from["backbone"]),
            image=ImageConfig(**made_from["image"]) if "image" in made_from else None,
            offline=config.offline,
        )
