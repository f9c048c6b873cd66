from itertools import product

import pandas as pd

from vprlib.data.dataset import Protocol
from vprlib.evaluation.recall import searched
from vprlib.evaluation.recall_table import answers, judge
from vprlib.io import files
from vprlib.jobs.job import job

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
