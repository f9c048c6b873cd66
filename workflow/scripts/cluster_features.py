from vprlib.compute.device import compute_device
from vprlib.config import BackboneConfig, CentroidsConfig, ImageConfig
from vprlib.data.image_table import read_image_table
from vprlib.jobs.job import snakemake_job
from vprlib.training.centroids import compute_centroids

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        made_from = snakemake.params.made_from
        chosen, workers = compute_device(config)
        compute_centroids(
            snakemake.output[0],
            table=read_image_table(snakemake.input.images),
            weights=snakemake.input.weights,
            features=snakemake.input.get("features"),
            image=ImageConfig(**made_from["image"]),
            backbone=BackboneConfig(**made_from["backbone"]),
            clusters=snakemake.params.clusters,
            settings=CentroidsConfig(**made_from["centroids"]),
            seed=int(snakemake.wildcards.seed),
            device=chosen,
            batch=config.execution.inference_batch_size,
            workers=workers,
        )
