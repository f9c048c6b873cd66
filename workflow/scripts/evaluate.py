from vprlib import files
from vprlib.evaluate import judge
from vprlib.job import job

if __name__ == "__main__":
    with job(snakemake):
        rows = judge(
            images=snakemake.input.images,
            ranking=snakemake.input.ranking,
            ks=snakemake.params.ks,
            config=snakemake.params.identity,
            **snakemake.params.judged,
        )
        for column, value in reversed(snakemake.wildcards.items()):
            rows.insert(0, column, value)
        files.write_csv(snakemake.output[0], rows)
