import pandas as pd

from vprlib.config import Sizes
from vprlib.data.dataset import Protocol
from vprlib.io import files
from vprlib.jobs.job import job
from vprlib.retrieval.descriptor_sizes import measure

if __name__ == "__main__":
    with job(snakemake):
        rows = measure(
            images=snakemake.input.images,
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            protocol=Protocol(**snakemake.params.judged[0]),
            sizes=Sizes(**snakemake.params.sizes),
            seed=int(snakemake.wildcards.seed),
        )
        named = pd.DataFrame(dict(snakemake.wildcards.items()), index=rows.index)
        files.write_csv(snakemake.output[0], pd.concat([named, rows], axis=1))
