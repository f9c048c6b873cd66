from vprlib.config import Checkpoint
from vprlib.jobs.job import job
from vprlib.models.published_formats import have, import_whitening

if __name__ == "__main__":
    with job(snakemake) as config:
        named = Checkpoint(**snakemake.params.published)
        file = have(named, offline=config.offline)
        made = {"checkpoint": snakemake.input.checkpoint, "file": file}
        import_whitening(snakemake.output[0], **made, format=named.format, pca=named.pca)
