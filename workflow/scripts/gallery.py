from vprlib.job import job
from vprlib.plots import gallery, searched

if __name__ == "__main__":
    with job(snakemake):
        judged = snakemake.params.judged
        gallery(
            snakemake.output[0],
            **searched(
                images=snakemake.input.images,
                ranking=snakemake.input.ranking,
                radius_m=judged["radius_m"],
                views_per_place=judged["views_per_place"],
            ),
            title="{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards),
        )
