from itertools import product

import pandas as pd

from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.query_table import per_query_table
from vprlib.evaluation.recall_table import fitting_ks, recall_table
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        params, images, tables = snakemake.params, snakemake.input.images, {"recalls": [], "queries": []}
        shared = {"images": images} | {key: params[key] for key in ("group_by", "config_hash")}
        made = {"recipe": params.recipe, "selection": dict(params.selection, validation=snakemake.input.validation)}
        for ranking, declared in product(snakemake.input.rankings, params.protocols):
            protocol = Protocol(**declared)
            found = load_predictions(images=images, ranking=ranking, protocol=protocol)
            shared["ks"] = fitting_ks(params.recall_at, found) if params.fitting_only else params.recall_at
            tables["recalls"].append(recall_table(found, **shared, **made, protocol=protocol, ranking=ranking))
            tables["queries"].append(per_query_table(found, **shared, protocol=protocol))
        for name, parts in tables.items():
            table = pd.concat(parts, ignore_index=True)
            write_csv(snakemake.output[name], pd.DataFrame(dict(snakemake.wildcards.items()), table.index).join(table))
