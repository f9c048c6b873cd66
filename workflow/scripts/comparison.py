from vprlib import files, tables
from vprlib.compare import beside
from vprlib.job import job
from vprlib.judge import read
from vprlib.plots import comparison

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
