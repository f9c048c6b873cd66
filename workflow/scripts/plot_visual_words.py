import torch

from vprlib.data.image_table import read_image_table
from vprlib.data.protocol import Protocol
from vprlib.figures.visual_words import choose_photo_pairs, plot_visual_words
from vprlib.jobs.job import snakemake_job
from vprlib.models.assignments import soft_assignments

if __name__ == "__main__":
    with snakemake_job(snakemake):
        torch.set_num_threads(snakemake.threads)
        table = read_image_table(snakemake.input.images)
        photos = choose_photo_pairs(table, Protocol(**snakemake.params.protocol))
        pixels_B3HW, a_BKHW = soft_assignments(snakemake.input.checkpoint, [path for _, path in photos])
        plot_visual_words(
            snakemake.output[0],
            captions=[text for text, _ in photos],
            photos_B3HW=pixels_B3HW,
            a_BKHW=a_BKHW,
            title="{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards),
        )
