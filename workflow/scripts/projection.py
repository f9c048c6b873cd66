from vprlib.datasets.base import Protocol, read_table
from vprlib.job import job
from vprlib.projection import project

if __name__ == "__main__":
    with job(snakemake):
        project(
            snakemake.output,
            table=read_table(snakemake.input.images),
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            protocol=Protocol(**snakemake.params.judged[0]),
            title="{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards),
        )
