from vprlib.config import Checkpoint
from vprlib.jobs.job import job
from vprlib.models.published_formats import have, import_checkpoint

if __name__ == "__main__":
    with job(snakemake) as config:
        named = Checkpoint(**snakemake.params.published)
        file = have(named, offline=config.offline)
        import_checkpoint(snakemake.output[0], file=file, format=named.format, sha256=named.sha256)
