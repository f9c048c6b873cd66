from vprlib.compute.device import compute_device
from vprlib.config import WhitenConfig
from vprlib.data.image_table import read_image_table
from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.whiten import fit_whitening

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        chosen, workers = compute_device(config)
        fit_whitening(
            snakemake.output[0],
            table=read_image_table(snakemake.input.images),
            checkpoint=snakemake.input.checkpoint,
            features=snakemake.input.get("features"),
            settings=WhitenConfig(**snakemake.params.whiten),
            seed=int(snakemake.wildcards.seed),
            device=chosen,
            batch=config.execution.inference_batch_size,
            workers=workers,
        )
