from itertools import product

import pandas as pd

from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.query_table import per_query_table
from vprlib.evaluation.recall_table import recall_table
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        shared = {"images": snakemake.input.images} | {name: snakemake.params[name] for name in ("ks", "by", "config")}
        made = {"recipe": snakemake.params.recipe}
        made["chosen"] = snakemake.params.chosen | {"training": snakemake.input.get("training")}
        tables = {"recalls": [], "queries": []}
        for ranking, judged in product(snakemake.input.rankings, snakemake.params.judged):
            one = shared | {"protocol": Protocol(**judged)}
            found = load_predictions(images=one["images"], ranking=ranking, protocol=one["protocol"])
            tables["recalls"].append(recall_table(found, **one, **made, ranking=ranking))
            tables["queries"].append(per_query_table(found, **one))
        for name, parts in tables.items():
            table = pd.concat(parts, ignore_index=True)
            write_csv(snakemake.output[name], pd.DataFrame(dict(snakemake.wildcards.items()), table.index).join(table))
