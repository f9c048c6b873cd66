from vprlib.data.catalogue import get_dataset
from vprlib.data.coco import read_coco_boxes
from vprlib.data.image_table import read_image_table
from vprlib.figures.contact_sheet import plot_contact_sheet
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        name = snakemake.wildcards.dataset
        annotations = get_dataset(name, config).root / "annotations.json"
        plot_contact_sheet(
            snakemake.output[0],
            read_image_table(snakemake.input.images),
            title=name,
            unit=snakemake.params.judged[0]["unit"],
            boxes=read_coco_boxes(annotations) if annotations.exists() else None,
        )
