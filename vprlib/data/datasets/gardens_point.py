"""Gardens Point Walking (Glover 2014): three walks on a campus, 200 frames each; frames correspond by number.

In the usual test, the database is `day_right`, the queries are `night_right`, and a hit is at most 2 frames off.
"""

from functools import partial
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.traverse import read_traverse
from vprlib.data.protocol import Protocol
from vprlib.io.download.remote_file import RemoteFile

GARDENS_POINT = Dataset(
    read_images=partial(read_traverse, database=("day_right",), query=("night_right",), condition="traverse"),
    files=("day_right", "night_right"),
    root=Path("data/gardens_point"),
    protocols=(Protocol("day_right <- night_right, +-2 frames", radius=2, unit="frames"),),
    access=(
        "Put the folders day_right and night_right (Image000.jpg to Image199.jpg) into data/gardens_point, or name "
        "another folder under `dataset_roots: {gardens_point: ...}`"
    ),
    counts={("test", "database"): 200, ("test", "query"): 200},
    remotes=(
        RemoteFile(
            "GardensPoint_Walking.zip",
            ("https://www.tu-chemnitz.de/etit/proaut/datasets/GardensPoint_Walking.zip",),
            unpack="",
        ),
    ),
    page="https://doi.org/10.5281/zenodo.4590133",
    licence="not stated in the archive; see its page",
    citation="Glover: Day and Night with Lateral Pose Change Datasets, Queensland University of Technology 2014",
)
