from pathlib import Path

from vprlib.data.coco import read_coco_boxes
from vprlib.data.image_table import read_image_table
from vprlib.figures.contact_sheet import plot_contact_sheet
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake):
        annotations = Path(snakemake.params.root) / "annotations.json"
        plot_contact_sheet(
            snakemake.output[0],
            read_image_table(snakemake.input.images),
            title=snakemake.wildcards.dataset,
            unit=snakemake.params.unit,
            boxes=read_coco_boxes(annotations) if annotations.exists() else None,
        )
