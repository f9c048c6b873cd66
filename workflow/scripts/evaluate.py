from itertools import product

import pandas as pd

from vprlib import files
from vprlib.datasets.base import Protocol
from vprlib.evaluate import searched
from vprlib.job import job
from vprlib.judge import answers, judge

if __name__ == "__main__":
    with job(snakemake):
        shared = {"images": snakemake.input.images} | {name: snakemake.params[name] for name in ("ks", "by", "config")}
        chosen = snakemake.params.chosen | {"training": snakemake.input.get("training")}
        tables = {"recalls": [], "queries": []}
        for ranking, judged in product(snakemake.input.rankings, snakemake.params.judged):
            one = shared | {"protocol": Protocol(**judged)}
            found = searched(images=one["images"], ranking=ranking, protocol=one["protocol"])
            recipe = snakemake.params.recipe
            tables["recalls"].append(judge(found, **one, ranking=ranking, recipe=recipe, chosen=chosen))
            tables["queries"].append(answers(found, **one))
        for name, parts in tables.items():
            table = pd.concat(parts, ignore_index=True)
            named = pd.DataFrame(dict(snakemake.wildcards.items()), index=table.index)
            files.write_csv(snakemake.output[name], pd.concat([named, table], axis=1))
