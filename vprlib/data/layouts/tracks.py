"""Read a dataset of folders of frames whose positions are tracks: a point for each frame, in order.

KITTI numbers its frames: where a track has more points than there are frames, a frame's name is its point's number.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.photo_lists import read_photo_list
from vprlib.data.positions import metres_of_degrees
from vprlib.data.protocol import Protocol
from vprlib.data.track_files import Track, read_track
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def tracks_dataset(
    database_track: str, queries_track: str, *, database: str, queries: str, protocol: Protocol
) -> Dataset:
    """Declare a custom dataset whose positions are two tracks.

    Args:
        database_track: the track of the database; see `read_track`.
        queries_track: the track of the queries.
        database: list of the database images; see `read_photo_list`.
        queries: list of the queries, likewise.
        protocol: what a hit is.
    """
    sources = {"database": (database_track, database), "query": (queries_track, queries)}
    return Dataset(
        read_images=partial(read_tracks, sources=sources),
        files=tuple(dict.fromkeys((database_track, queries_track, database, queries))),
        root=Path(),
        protocols=(protocol,),
        access="Name two tracks, and the folders (or lists) of their frames: database_track, queries_track, database, "
        "queries",
    )


def read_tracks(root: Path, *, sources: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Read tracks and the frames along them into an image table of the test split, in metres of one grid.

    Args:
        root: the dataset's root.
        sources: role -> the track and the list of its frames, relative to the root.

    Raises:
        InputError: a track cannot be read or has not one point for each frame, or only one track is in degrees.
    """
    import numpy as np
    import pandas as pd

    tracks = {role: read_track(root / track) for role, (track, _) in sources.items()}
    _check_same_frame(root, tracks, {role: track for role, (track, _) in sources.items()})
    parts, points = [], []
    for role, (track, listed) in sources.items():
        names = read_photo_list(root, listed)
        points.append(match_frames(tracks[role], names, source=root / track, listed=listed))
        parts.append(pd.DataFrame({"path": names, "split": "test", "role": role}))
    table, position_N2 = pd.concat(parts, ignore_index=True), np.concatenate(points)
    if not tracks["database"].degrees:
        return table.assign(east=position_N2[:, 0], north=position_N2[:, 1])
    where = root / sources["database"][0]
    return metres_of_degrees(table, position_N2[:, 1], position_N2[:, 0], list(table.path), where)


def match_frames(track: Track, names: Sequence[str], *, source: Path, listed: str) -> NDArray[np.float64]:
    """Return the position of each frame, (frames, 2).

    Args:
        track: the points.
        names: the frames.
        source: the track's file, for messages.
        listed: the frames' list, for messages.

    Raises:
        InputError: the track has not one point for each frame, and names do not number them.
    """
    count = len(track.position_N2)
    if count == len(names):
        return track.position_N2
    stems = [Path(name).stem for name in names]
    if track.numbered and all(stem.isdecimal() and int(stem) < count for stem in stems):
        log.info("%s: has %d points; the names of the %d frames of %s number them", source, count, len(names), listed)
        return track.position_N2[[int(stem) for stem in stems]]
    hint = (
        "name frames by the numbers of their points, from 0"
        if track.numbered
        else "or write the track into the photos' EXIF by a geotagger, and use `folder`"
    )
    raise InputError(
        f"{source}: has {count} points, and {listed} has {len(names)} frames; give one point a frame, in order, {hint}"
    )


def _check_same_frame(root: Path, tracks: dict[str, Track], files: dict[str, str]) -> None:
    """Check that two tracks have one frame of reference; warn of local ones, which begin at an origin of their own.

    Raises:
        InputError: only one is in degrees.
    """
    first, second = tracks.values()
    names = [str(root / file) for file in files.values()]
    if first.degrees != second.degrees:
        metres, degrees = names if second.degrees else names[::-1]
        raise InputError(f"{metres}: is in metres and {degrees} in degrees; give both in degrees, or both in metres")
    if not first.degrees and names[0] != names[1]:
        log.warning("warning: %s and %s: are in metres from an origin each; distances are right only if it is the same",
                    *names)  # fmt: skip
