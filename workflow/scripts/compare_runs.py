from vprlib.evaluation.comparison import paired_differences, precision_recall_tables, recall_by_threshold
from vprlib.evaluation.recall_table import join_results
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        answers = join_results(list(snakemake.input), snakemake.params.identities)
        write_csv(snakemake.output.differences, paired_differences(answers))
        write_csv(snakemake.output.thresholds, recall_by_threshold(answers))
        points, summary = precision_recall_tables(answers)
        write_csv(snakemake.output.precision, points)
        write_csv(snakemake.output.summary, summary)
