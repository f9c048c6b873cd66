from vprlib.data.image_table import read_image_table
from vprlib.data.protocol import Protocol
from vprlib.figures.projection import plot_projection
from vprlib.figures.style import STYLES
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        plot_projection(
            snakemake.output,
            table=read_image_table(snakemake.input.images),
            database=snakemake.input.database,
            queries=snakemake.input.queries,
            protocol=Protocol(**snakemake.params.protocol),
            title="{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards),
            style=STYLES[snakemake.params.style],
        )
