from vprlib import plots
from vprlib.job import job
from vprlib.judge import read

if __name__ == "__main__":
    with job(snakemake):
        tables = {name: read(path) for name, path in snakemake.input.items()}
        plots.thresholds(snakemake.output.thresholds, tables["thresholds"], tables["summary"])
        plots.precision(snakemake.output.precision, tables["precision"], tables["summary"])
