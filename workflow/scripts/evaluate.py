import pandas as pd

from vprlib import files
from vprlib.datasets.base import Protocol
from vprlib.evaluate import judge
from vprlib.job import job

if __name__ == "__main__":
    with job(snakemake):
        rows = [
            judge(
                images=snakemake.input.images,
                ranking=ranking,
                ks=snakemake.params.ks,
                recipe=snakemake.params.recipe,
                config=snakemake.params.identity,
                protocol=Protocol(**protocol),
            )
            for ranking in snakemake.input.rankings
            for protocol in snakemake.params.judged
        ]
        rows = pd.concat(rows, ignore_index=True)
        named = pd.DataFrame(dict(snakemake.wildcards.items()), index=rows.index)
        files.write_csv(snakemake.output[0], pd.concat([named, rows], axis=1))
