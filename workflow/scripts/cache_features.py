from vprlib.compute.device import compute_device
from vprlib.config import BackboneConfig, ImageConfig
from vprlib.data.image_table import read_image_table
from vprlib.jobs.job import snakemake_job
from vprlib.models.feature_cache import cache_frozen_features

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        made_from = snakemake.params.made_from
        chosen, workers = compute_device(config)
        cache_frozen_features(
            snakemake.output[0],
            table=read_image_table(snakemake.input.images),
            weights=snakemake.input.weights,
            image=ImageConfig(**made_from["image"]),
            backbone=BackboneConfig(**made_from["backbone"]),
            device=chosen,
            batch=config.execution.inference_batch_size,
            workers=workers,
        )
