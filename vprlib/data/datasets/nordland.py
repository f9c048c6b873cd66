"""Nordland (Suenderhauf, Neubert and Protzel, 2013): a railway line filmed in four seasons, one frame per second.

The videos are synchronous, so the frame number identifies the place. The test set is Patch-NetVLAD's: of 35,768 frames
per season, the 27,592 that `cleanImageNames.txt` lists, without stops and tunnels. Its list and the two seasons are
read as published (`summer/images-00202.png`) or as VPR-datasets-downloader formats them (`@0@north@...@number@`).

The database is summer and the queries are winter, as in Patch-NetVLAD. VPR-Bench, BoQ and SALAD use the reverse and
2,760 queries, which is another test. Tolerances of 1, 2 and 10 frames are all in use; their recalls differ by 10
points.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.traverse import read_traverse
from vprlib.data.protocol import Protocol
from vprlib.io.download.remote_file import RemoteFile

LIST = "cleanImageNames.txt"  # names of the frames of the test set
SEASONS = {"spring": ("spring",), "summer": ("summer",), "fall": ("fall", "autumn"), "winter": ("winter",)}
HOSTS = ("universityofadelaide", "adelaideuniversity")
SHARED = "app.box.com/index.php?rm=box_download_shared_file&shared_name=zkfk1akpbo5318fzqmtvlpp7030ex4up&file_id="


def seasons_archive(name: str, number: str, **unpack: Any) -> RemoteFile:
    """Declare a file of Patch-NetVLAD's shared folder.

    Args:
        name: the file's name.
        number: its number in the shared folder.
        **unpack: RemoteFile's fields on unpacking.
    """
    return RemoteFile(name, tuple(f"https://{host}.{SHARED}f_{number}" for host in HOSTS), public=True, **unpack)


def nordland_dataset(database: str, query: str, **declaration: Any) -> Dataset:
    """Declare the dataset of two seasons; its protocols are tolerances of 10, 2 and 1 frames.

    Args:
        database: season of the database, a key of SEASONS.
        query: season of the queries, likewise.
        **declaration: more fields of Dataset.
    """
    read_images = partial(
        read_traverse, database=SEASONS[database], query=SEASONS[query], condition="season", listed=LIST
    )
    return Dataset(
        read_images=read_images,
        files=(".",),
        root=Path("data/nordland"),
        protocols=tuple(
            Protocol(f"{database} <- {query}, +-{frames} frames", radius=frames, unit="frames") for frames in (10, 2, 1)
        ),
        counts={("test", "database"): 27_592, ("test", "query"): 27_592},
        page="https://nrkbeta.no/2013/01/15/nordlandsbanen-minute-by-minute-season-by-season",
        licence="Creative Commons, Norwegian Broadcasting Corporation (NRK); which one, see its page",
        citation="Suenderhauf, Neubert, Protzel: Are we there yet? Challenging SeqSLAM on a 3000 km journey across all "
        "four seasons, ICRA workshop on long-term autonomy 2013",
        **declaration,
    )


NORDLAND = nordland_dataset(
    "summer",
    "winter",
    remotes=(
        seasons_archive("summer.tar.gz", "1424421870101", unpack="", unpacked=10**11),
        seasons_archive("winter.tar.gz", "1521702837314", unpack="winter", unpacked=10**11),
        seasons_archive(LIST, "1424408901067"),
    ),
    access=(
        f"Put Patch-NetVLAD's frames into data/nordland/summer and data/nordland/winter, and {LIST} beside them "
        "(QVPR/Patch-NetVLAD, issue 57), or name another folder under `dataset_roots: {nordland: ...}`"
    ),
)
