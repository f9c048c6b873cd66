from vprlib.evaluation import paper_tables as tables
from vprlib.evaluation.comparison import beside
from vprlib.evaluation.recall_table import read
from vprlib.figures.recall_curves import comparison
from vprlib.io import files
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        out, recalls = snakemake.output, [read(path) for path in snakemake.input]
        table = beside(recalls)
        files.write_csv(out.table, table)
        comparison(out.picture, recalls, table)
        wide = tables.wide(table)
        files.write_csv(out.wide, tables.flat(wide))
        files.write_bytes(out.markdown, tables.markdown(wide).encode())
        files.write_bytes(out.latex, tables.latex(wide).encode())
        files.write_bytes(out.intervals, tables.latex(wide, intervals=True).encode())
