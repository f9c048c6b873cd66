import pandas as pd

from vprlib.config import DescriptorSizesConfig
from vprlib.data.protocol import Protocol
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job
from vprlib.retrieval.descriptor_sizes import measure_sizes

if __name__ == "__main__":
    with snakemake_job(snakemake):
        rows = measure_sizes(
            images=snakemake.input.images,
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            protocol=Protocol(**snakemake.params.protocol),
            sizes=DescriptorSizesConfig(**snakemake.params.sizes),
            seed=int(snakemake.wildcards.seed),
        )
        named = pd.DataFrame(dict(snakemake.wildcards.items()), index=rows.index)
        write_csv(snakemake.output[0], pd.concat([named, rows], axis=1))
