from vprlib.config import Whiten
from vprlib.data.dataset import read_table
from vprlib.jobs.job import device, job
from vprlib.retrieval.extract import whiten

if __name__ == "__main__":
    with job(snakemake) as config:
        chosen, workers = device(config)
        whiten(
            snakemake.output[0],
            table=read_table(snakemake.input.images),
            checkpoint=snakemake.input.checkpoint,
            trunk=snakemake.input.get("trunk"),
            settings=Whiten(**snakemake.params.whiten["whiten"]),
            seed=int(snakemake.wildcards.seed),
            device=chosen,
            batch=config.execution.batch,
            workers=workers,
        )
