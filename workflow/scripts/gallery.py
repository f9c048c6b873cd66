from vprlib.data.dataset import Protocol
from vprlib.evaluation.recall import searched
from vprlib.figures.error_map import errors
from vprlib.figures.photo_sheets import gallery
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake):
        protocol = Protocol(**snakemake.params.judged[0])
        found = searched(images=snakemake.input.images, ranking=snakemake.input.ranking, protocol=protocol)
        named = "{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards)
        title = f"{named}, {found.kind} {found.dims[found.kind]}-D"
        gallery(snakemake.output.gallery, found, title=title, protocol=protocol)
        errors(snakemake.output.errors, found, title=title, protocol=protocol)
