import pandas as pd

from vprlib import files
from vprlib.datasets.base import Protocol
from vprlib.job import job
from vprlib.judge import answers, judge

if __name__ == "__main__":
    with job(snakemake):
        sources = {"images": snakemake.input.images, "ranking": snakemake.input.ranking}
        shared = sources | {name: snakemake.params[name] for name in ("ks", "by", "config")}
        chosen = snakemake.params.chosen | {"training": snakemake.input.get("training")}
        protocols = [Protocol(**protocol) for protocol in snakemake.params.judged]
        tables = {
            "recalls": [
                judge(**shared, protocol=one, recipe=snakemake.params.recipe, chosen=chosen) for one in protocols
            ],
            "queries": [answers(**shared, protocol=one) for one in protocols],
        }
        for name, parts in tables.items():
            table = pd.concat(parts, ignore_index=True)
            named = pd.DataFrame(dict(snakemake.wildcards.items()), index=table.index)
            files.write_csv(snakemake.output[name], pd.concat([named, table], axis=1))
