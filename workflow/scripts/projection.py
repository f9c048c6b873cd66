from vprlib.data.dataset import Protocol, read_table
from vprlib.figures.projection import project
from vprlib.jobs.job import job

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
