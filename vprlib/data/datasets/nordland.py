"""Nordland (Suenderhauf, Neubert and Protzel, 2013): a railway line filmed in four seasons, one frame a second.

The videos are synchronous, so a place is the frame's number. The test set is Patch-NetVLAD's: of the 35,768 frames
those that `cleanImageNames.txt` lists, 27,592 a season, without the stops and the tunnels; its list and the two seasons
are read as published (`summer/images-00202.png`) or as VPR-datasets-downloader formats them (`@0@north@...@number@`).
The database is summer and the queries are winter, as there; VPR-Bench, BoQ and SALAD have it the other way round and
2,760 queries, which is another test. Tolerances of 1, 2 and 10 frames are all in use and differ by 10 points of recall.
"""

from functools import partial
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.traverse import read_traverse
from vprlib.data.protocol import Protocol
from vprlib.io.download.download import RemoteFile

LIST = "cleanImageNames.txt"
SEASONS = {"spring": ("spring",), "summer": ("summer",), "fall": ("fall", "autumn"), "winter": ("winter",)}
HOSTS = ("universityofadelaide", "adelaideuniversity")
SHARED = "app.box.com/index.php?rm=box_download_shared_file&shared_name=zkfk1akpbo5318fzqmtvlpp7030ex4up&file_id="


def seasons_archive(name: str, number: str, **unpack) -> RemoteFile:
    return RemoteFile(name, tuple(f"https://{host}.{SHARED}f_{number}" for host in HOSTS), public=True, **unpack)


def nordland_dataset(database: str, query: str, **declaration) -> Dataset:
    """The dataset of two seasons; its protocols are tolerances."""
    index = partial(read_traverse, database=SEASONS[database], query=SEASONS[query], condition="season", listed=LIST)
    return Dataset(
        index=index,
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
        "(QVPR/Patch-NetVLAD, issue 57), or name another folder under `roots: {nordland: ...}`"
    ),
)
