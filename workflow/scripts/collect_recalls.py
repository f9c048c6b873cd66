from vprlib.evaluation.recall_table import join_results
from vprlib.io.files import write_csv
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        write_csv(snakemake.output[0], join_results(list(snakemake.input), snakemake.params.identities))
