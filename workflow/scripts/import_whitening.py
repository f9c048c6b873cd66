from vprlib.config import CheckpointConfig
from vprlib.jobs.job import snakemake_job
from vprlib.models.published_import import download_if_needed, import_whitening

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        named = CheckpointConfig(**snakemake.params.published)
        file = download_if_needed(named, offline=config.offline)
        made = {"checkpoint": snakemake.input.checkpoint, "file": file}
        import_whitening(snakemake.output[0], **made, format=named.format, pca=named.pca)
