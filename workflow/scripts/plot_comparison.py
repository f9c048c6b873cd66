from vprlib.evaluation.recall_table import read_results
from vprlib.figures.style import STYLES
from vprlib.jobs.job import snakemake_job
from vprlib.report.comparison_files import write_comparison

if __name__ == "__main__":
    with snakemake_job(snakemake):
        write_comparison(
            [read_results(path) for path in snakemake.input],
            **dict(snakemake.output.items()),
            style=STYLES[snakemake.params.style],
        )
