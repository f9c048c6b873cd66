from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import load_predictions
from vprlib.figures.error_map import plot_errors
from vprlib.figures.photo_sheets import plot_gallery
from vprlib.figures.style import STYLES
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        protocol = Protocol(**snakemake.params.protocol)
        found = load_predictions(images=snakemake.input.images, ranking=snakemake.input.ranking, protocol=protocol)
        named = "{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards)
        title = f"{named}, {found.default_descriptor} {found.dimensions[found.default_descriptor]}-D"
        plot_gallery(snakemake.output.gallery, found, title=title, protocol=protocol)
        style = STYLES[snakemake.params.style]
        plot_errors(snakemake.output.errors, found, title=title, protocol=protocol, style=style)
