from vprlib.evaluation import comparison as compare
from vprlib.evaluation.recall_table import join
from vprlib.io import files
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        answers = join(list(snakemake.input), snakemake.params.identities)
        files.write_csv(snakemake.output.differences, compare.differences(answers))
        files.write_csv(snakemake.output.thresholds, compare.thresholds(answers))
        points, summary = compare.precision(answers)
        files.write_csv(snakemake.output.precision, points)
        files.write_csv(snakemake.output.summary, summary)
