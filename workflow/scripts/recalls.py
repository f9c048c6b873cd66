from vprlib.evaluation.recall_table import join
from vprlib.io import files
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        files.write_csv(snakemake.output[0], join(list(snakemake.input), snakemake.params.identities))
