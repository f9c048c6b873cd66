from vprlib import files
from vprlib.job import job
from vprlib.judge import join

if __name__ == "__main__":
    with job(snakemake):
        files.write_csv(snakemake.output[0], join(list(snakemake.input), snakemake.params.identities))
