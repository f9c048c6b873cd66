from vprlib.datasets import find
from vprlib.datasets.base import read_table
from vprlib.job import job
from vprlib.sheets import coco, contact

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
