import pandas as pd

from vprlib import files
from vprlib.evaluate import join
from vprlib.job import job

if __name__ == "__main__":
    with job(snakemake):
        tables = {path: pd.read_csv(path, dtype={"run": str}) for path in snakemake.input}
        files.write_csv(snakemake.output[0], join(tables, snakemake.params.identities))
