from vprlib.data.dataset import read_table
from vprlib.jobs.job import device, job
from vprlib.retrieval.extract import extract

if __name__ == "__main__":
    with job(snakemake) as config:
        shard, shards = map(int, snakemake.wildcards.scatteritem.split("-of-"))
        chosen, workers = device(config)
        extract(
            snakemake.output[0],
            table=read_table(snakemake.input.images),
            checkpoint=snakemake.input.checkpoint,
            whitening=snakemake.input.get("whitening") or None,
            kinds=snakemake.params.descriptors,
            framings=snakemake.params.framings,
            shard=shard - 1,
            shards=shards,
            device=chosen,
            batch=config.execution.batch,
            workers=workers,
        )
