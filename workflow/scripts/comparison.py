from vprlib import files
from vprlib.compare import beside
from vprlib.job import job
from vprlib.judge import read
from vprlib.plots import comparison

if __name__ == "__main__":
    with job(snakemake):
        tables = [read(path) for path in snakemake.input]
        files.write_csv(snakemake.output.table, beside(tables))
        comparison(snakemake.output.picture, tables)
