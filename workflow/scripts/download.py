from vprlib.data.catalogue import find
from vprlib.io.download.download import download
from vprlib.io.files import BadInput
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        name = snakemake.wildcards.dataset
        dataset = find(name, config)
        if name in config.roots and not dataset.root.is_dir():
            raise BadInput(f"config: roots.{name}: {dataset.root} is no folder; make it, and it is downloaded there")
        download(snakemake.output[0], remotes=dataset.remotes, root=dataset.root, offline=config.offline)
