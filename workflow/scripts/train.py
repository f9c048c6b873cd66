from pathlib import Path

from vprlib.compute.launch import run_distributed
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig
from vprlib.data.catalogue import get_dataset
from vprlib.jobs.job import snakemake_job
from vprlib.training.train import TrainingSources, train_generation

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        network, run = snakemake.params.network, config.runs[snakemake.wildcards.run]
        run_distributed(
            *(config, snakemake.log[0], train_generation),
            folder=Path(snakemake.output.last).parent,
            dataset=get_dataset(run.train_set, config),
            sources=TrainingSources(**{name: path for name, path in snakemake.input.items() if path}),
            image=ImageConfig(**network["image"]),
            backbone=BackboneConfig(**network["backbone"]),
            aggregator=AggregatorConfig(**network["aggregator"]),
            settings=TrainConfig(**snakemake.params.train),
            generation=int(snakemake.wildcards.gen),
            seed=int(snakemake.wildcards.seed),
            by_region=run.by_region,
        )
