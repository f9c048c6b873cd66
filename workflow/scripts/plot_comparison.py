from vprlib.evaluation.paper_tables import flat_table, to_latex, to_markdown, wide_table
from vprlib.evaluation.published_recalls import compare_with_published
from vprlib.evaluation.recall_table import read_results
from vprlib.figures.run_comparison import plot_comparison
from vprlib.figures.style import STYLES
from vprlib.io.files import write_bytes, write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        out, recalls = snakemake.output, [read_results(path) for path in snakemake.input]
        table = compare_with_published(recalls)
        write_csv(out.table, table)
        plot_comparison(out.picture, recalls, table, STYLES[snakemake.params.style])
        wide = wide_table(table)
        write_csv(out.wide, flat_table(wide), checksum=False)
        write_bytes(out.markdown, to_markdown(wide).encode())
        write_bytes(out.latex, to_latex(wide).encode())
        write_bytes(out.intervals, to_latex(wide, intervals=True).encode())
