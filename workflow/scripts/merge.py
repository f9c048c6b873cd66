from pathlib import Path

from vprlib.job import job
from vprlib.merge import merge

if __name__ == "__main__":
    with job(snakemake):
        merge(Path(snakemake.output.database).parent, list(snakemake.input))
