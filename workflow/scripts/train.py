from pathlib import Path

from vprlib.compute.launch import launch
from vprlib.config import Aggregator, Backbone, Image, Train
from vprlib.data.catalogue import find
from vprlib.jobs.job import job
from vprlib.training.train import Sources, train

if __name__ == "__main__":
    with job(snakemake) as config:
        network, run = snakemake.params.network, config.runs[snakemake.wildcards.run]
        launch(
            *(config, snakemake.log[0], train),
            folder=Path(snakemake.output.last).parent,
            dataset=find(run.train_set, config),
            sources=Sources(**{name: path for name, path in snakemake.input.items() if path}),
            image=Image(**network["image"]),
            backbone=Backbone(**network["backbone"]),
            aggregator=Aggregator(**network["aggregator"]),
            settings=Train(**snakemake.params.train),
            generation=int(snakemake.wildcards.gen),
            seed=int(snakemake.wildcards.seed),
            by_region=run.by_region,
        )
