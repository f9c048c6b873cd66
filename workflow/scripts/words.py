import torch

from vprlib.data.dataset import Protocol, read_table
from vprlib.figures.visual_words import seen
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        torch.set_num_threads(snakemake.threads)
        seen(
            snakemake.output[0],
            table=read_table(snakemake.input.images),
            checkpoint=snakemake.input.checkpoint,
            protocol=Protocol(**snakemake.params.judged[0]),
            title="{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards),
        )
