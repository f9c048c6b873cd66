from vprlib.config import Backbone, Image
from vprlib.data.dataset import read_table
from vprlib.jobs.job import device, job
from vprlib.models.feature_cache import cache

if __name__ == "__main__":
    with job(snakemake) as config:
        made_from = snakemake.params.made_from
        chosen, workers = device(config)
        cache(
            snakemake.output[0],
            table=read_table(snakemake.input.images),
            weights=snakemake.input.weights,
            image=Image(**made_from["image"]),
            backbone=Backbone(**made_from["backbone"]),
            device=chosen,
            batch=config.execution.batch,
            workers=workers,
        )
