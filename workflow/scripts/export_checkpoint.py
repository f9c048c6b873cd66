from vprlib.jobs.job import snakemake_job
from vprlib.models.published_export import export_checkpoint

if __name__ == "__main__":
    with snakemake_job(snakemake):
        checkpoint, *whitening = snakemake.input
        chosen = {"format": snakemake.wildcards.format, "whitening": next(iter(whitening), None)}
        export_checkpoint(checkpoint, snakemake.output[0], **chosen)
