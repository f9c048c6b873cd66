from vprlib.config import CheckpointConfig
from vprlib.jobs.job import snakemake_job
from vprlib.models.published_import import download_if_needed, import_checkpoint

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        named = CheckpointConfig(**snakemake.params.published)
        file = download_if_needed(named, offline=config.offline)
        import_checkpoint(snakemake.output[0], file=file, format=named.format, sha256=named.sha256)
