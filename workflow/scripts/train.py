from pathlib import Path

from vprlib.compute.launch import run_distributed
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig
from vprlib.data.protocol import Protocol
from vprlib.jobs.job import snakemake_job
from vprlib.training.train import TrainingSources, train_generation

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        network, files = snakemake.params.network, snakemake.input.items()
        run_distributed(
            *(config, snakemake.log[0], train_generation),
            folder=Path(snakemake.output.last).parent,
            protocol=Protocol("validation", **snakemake.params.validation),
            sources=TrainingSources(**{name: str(path) for name, path in files if path}),
            image=ImageConfig(**network["image"]),
            backbone=BackboneConfig(**network["backbone"]),
            aggregator=AggregatorConfig(**network["aggregator"]),
            settings=TrainConfig(**snakemake.params.train),
            generation=int(snakemake.wildcards.gen),
            seed=int(snakemake.wildcards.seed),
            by_region=config.runs[snakemake.wildcards.run].by_region,
        )
