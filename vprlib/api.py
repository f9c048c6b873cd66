"""Describe, match and evaluate photos from a program or the command line.

Axes: N photos, D dimensions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vprlib.io.files import atomic, write_csv, write_h5
from vprlib.io.fingerprints import sha256_of_file

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from vprlib.retrieval.match_folders import Matches


def describe(
    checkpoint: str | os.PathLike[str],
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    whitening: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch: int = 16,
) -> NDArray[np.float32]:
    """Compute the descriptors of photos with a network of ours, or with one published by another project.

    Args:
        checkpoint: the file of a trained network, in any format of `vprlib.models.published_formats`, or a name such
            as `resnet18` (`vprlib.config.network_name`).
        images: a path, or a sequence of paths; each photo is resized to the size that the network was made for.
        whitening: the PCA file to whiten with: `pca.h5` of a checkpoint of ours, or the file published beside another
            project's. A published checkpoint with a PCA layer is whitened by that layer.
        device: `auto` (the first GPU, if there is one), `cpu`, `cuda` or `cuda:<number>`.
        batch: photos per forward pass.

    Returns:
        (N, D) float32, rows of unit length, in the order of `images`.

    Raises:
        InputError: one line that names the file: a photo cannot be decoded, a checkpoint cannot be read, or a whitening
            was fitted for another checkpoint.
    """
    from vprlib.retrieval.describe import describe_photos, load_network

    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    return describe_photos(load_network(checkpoint, whitening), paths, device=device, batch=batch)


def write_descriptors(
    out: str | os.PathLike[str],
    descriptors: NDArray[np.float32],
    paths: Iterable[str | os.PathLike[str]],
    checkpoint: str | os.PathLike[str],
) -> None:
    """Write descriptors as `.npy`, or as `.h5` with `descriptors` (N, D), `paths` and the checkpoint's SHA-256.

    The SHA-256 is empty for a network by name. The attribute `network` is the name, or that of the file.
    """
    import h5py

    if Path(out).suffix == ".npy":
        with atomic(out) as partial, partial.open("wb") as file:
            np.save(file, descriptors)
        return
    names = np.array([str(path) for path in paths], h5py.string_dtype())
    is_file = Path(checkpoint).is_file()
    network = Path(checkpoint).name if is_file else str(checkpoint)
    attributes = {"checkpoint": sha256_of_file(checkpoint) if is_file else "", "network": network}
    write_h5(out, {"descriptors": descriptors, "paths": names}, attributes)


def evaluate(
    database: str,
    queries: str,
    *,
    network: str | os.PathLike[str] | None = None,
    descriptors: Sequence[str] = (),
    kind: str | None = None,
    positions: str | None = None,
    radius: float = 25,
    recall_at: Sequence[int] | None = None,
    whitening: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch: int = 16,
) -> pd.DataFrame:
    """Compute the recalls of a network, or of descriptors that were computed elsewhere, on two folders of photos.

    Args:
        database: a folder of photos, or a text file with one path a line.
        queries: likewise.
        network: a checkpoint or a name, as in `describe`; give this or `descriptors`.
        descriptors: the files of the database's and the queries' descriptors, or one HDF5 file of both; see
            `vprlib.retrieval.import_descriptors`.
        kind: `raw` or `whitened`, if these are the `database.h5` and `queries.h5` of a run; by default the raw ones,
            or the whitened ones if there are no raw ones.
        positions: a CSV of positions; see `vprlib.data.layouts.two_folders`.
        radius: largest distance of a hit, metres.
        recall_at: numbers of candidates k; by default 1, 5 and 10, as far as the database has photos.
        whitening, device, batch: as in `describe`.

    Returns:
        A row for each k; see `vprlib.retrieval.evaluate_folders`.

    Raises:
        InputError: one line that names the file and what is wrong.
    """
    from vprlib.data.layouts.two_folders import two_folder_dataset
    from vprlib.data.protocol import Protocol
    from vprlib.retrieval.evaluate_folders import evaluate_folders

    protocol = Protocol(f"within {radius:g} m", radius=radius)
    ordered = any(str(path).endswith(".npy") for path in descriptors)
    dataset = two_folder_dataset(database, queries, protocol, positions=positions, ordered=ordered)
    return evaluate_folders(
        dataset,
        recall_at=recall_at,
        network=network,
        descriptors=descriptors,
        kind=kind,
        whitening=whitening,
        device=device,
        batch=batch,
    )


def match(
    queries: Sequence[str],
    database: Sequence[str],
    *,
    network: str | os.PathLike[str],
    whitening: str | os.PathLike[str] | None = None,
    top: int = 10,
    device: str = "auto",
    batch: int = 16,
) -> Matches:
    """Find the most similar photos of a database for each query; no positions are needed.

    Args:
        queries: paths of photos.
        database: likewise.
        network: a checkpoint or a name, as in `describe`.
        top: number of candidates of each query.
        whitening, device, batch: as in `describe`.

    Returns:
        The candidates; `.table()` has a row for each.

    Raises:
        InputError: as `describe`.
    """
    from vprlib.retrieval.match_folders import match_photos

    return match_photos(
        list(queries), list(database), network=network, whitening=whitening, top=top, device=device, batch=batch
    )


def write_matches(folder: str | os.PathLike[str], matches: Matches, *, network: str | os.PathLike[str]) -> str:
    """Write `ranking.csv`, `pairs.txt` for hloc and the page `matches.html` into a folder.

    Returns:
        The folder that the names in `pairs.txt` are below; empty if names have blanks, so that it is not written.

    Raises:
        InputError: a file cannot be written.
    """
    from vprlib.data.layouts.pairs_file import write_pairs_file
    from vprlib.report.match_page import write_match_page

    table = matches.table()
    write_csv(Path(folder) / "ranking.csv", table, checksum=False)
    root = write_pairs_file(Path(folder) / "pairs.txt", table["query"].tolist(), table["database"].tolist())
    write_match_page(Path(folder) / "matches.html", *matches, network=Path(network).name)
    return root
