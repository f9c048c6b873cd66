import pandas as pd

from vprlib.cluster import centroids
from vprlib.config import Backbone, Centroids, Image
from vprlib.job import device, job

if __name__ == "__main__":
    with job(snakemake) as config:
        start = snakemake.params.start
        chosen, workers = device(config)
        centroids(
            snakemake.output[0],
            table=pd.read_csv(snakemake.input.images),
            weights=snakemake.input.weights,
            image=Image(**start["image"]),
            backbone=Backbone(**start["backbone"]),
            clusters=start["clusters"],
            settings=Centroids(**start["centroids"]),
            seed=int(snakemake.wildcards.seed),
            device=chosen,
            batch=config.execution.batch,
            workers=workers,
        )
