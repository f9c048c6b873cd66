from vprlib.data.catalogue import get_dataset
from vprlib.exceptions import InputError
from vprlib.io.download.dataset import download_dataset
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        name = snakemake.wildcards.dataset
        dataset = get_dataset(name, config)
        if name in config.dataset_roots and not dataset.root.is_dir():
            raise InputError(
                f"config: dataset_roots.{name}: {dataset.root} is no folder; make it, and it is downloaded there"
            )
        download_dataset(snakemake.output[0], remotes=dataset.remotes, root=dataset.root, offline=config.offline)
