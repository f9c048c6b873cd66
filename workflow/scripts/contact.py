import pandas as pd

from vprlib.datasets import find
from vprlib.job import job
from vprlib.plots import coco, contact

if __name__ == "__main__":
    with job(snakemake) as config:
        name = snakemake.wildcards.dataset
        annotations = find(name, config).root / "annotations.json"
        contact(
            snakemake.output[0],
            pd.read_csv(snakemake.input.images, dtype={"place": str, "time": str}),
            title=name,
            boxes=coco(annotations) if annotations.exists() else None,
        )
