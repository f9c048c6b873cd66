from vprlib.config import Aggregator, Backbone, Centroids, Image
from vprlib.data.dataset import read_table
from vprlib.jobs.job import device, job
from vprlib.training.centroids import centroids

if __name__ == "__main__":
    with job(snakemake) as config:
        made_from = snakemake.params.made_from
        chosen, workers = device(config)
        centroids(
            snakemake.output[0],
            table=read_table(snakemake.input.images),
            weights=snakemake.input.weights,
            trunk=snakemake.input.get("trunk"),
            image=Image(**made_from["image"]),
            backbone=Backbone(**made_from["backbone"]),
            clusters=Aggregator(**made_from["aggregator"]).clusters,
            settings=Centroids(**made_from["centroids"]),
            seed=int(snakemake.wildcards.seed),
            device=chosen,
            batch=config.execution.batch,
            workers=workers,
        )
