from vprlib.data.catalogue import find
from vprlib.data.dataset import read_table
from vprlib.figures.photo_sheets import coco, contact
from vprlib.jobs.job import job

if __name__ == "__main__":
    with job(snakemake) as config:
        name = snakemake.wildcards.dataset
        annotations = find(name, config).root / "annotations.json"
        contact(
            snakemake.output[0],
            read_table(snakemake.input.images),
            title=name,
            unit=snakemake.params.judged[0]["unit"],
            boxes=coco(annotations) if annotations.exists() else None,
        )
