from vprlib.compute.device import compute_device
from vprlib.data.image_table import read_image_table
from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.extract import extract_shard

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        shard, shards = map(int, snakemake.wildcards.scatteritem.split("-of-"))
        chosen, workers = compute_device(config)
        extract_shard(
            snakemake.output[0],
            table=read_image_table(snakemake.input.images),
            checkpoint=snakemake.input.checkpoint,
            whitening=snakemake.input.get("whitening") or None,
            kinds=snakemake.params.descriptors,
            framings=snakemake.params.framings,
            shard=shard - 1,
            shards=shards,
            device=chosen,
            batch=config.execution.inference_batch_size,
            workers=workers,
        )
