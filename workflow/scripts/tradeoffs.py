from vprlib.evaluation.recall_table import read
from vprlib.figures import recall_curves as plots
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        tables = {name: read(path) for name, path in snakemake.input.items()}
        plots.thresholds(snakemake.output.thresholds, tables["thresholds"], tables["summary"])
        plots.precision(snakemake.output.precision, tables["precision"], tables["summary"])
