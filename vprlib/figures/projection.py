"""Plot the descriptors of a few places, projected to a plane by PCA and by t-SNE.

Axes: Q queries, N database images (or all descriptors, in `embed_2d`), D dimensions, 2 axes of the plane.
"""

import os
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vprlib.data.image_table import select_rows
from vprlib.data.protocol import Protocol
from vprlib.figures.style import COLUMN, LINE, OutputPaths, count_lines, empty_panel, line_style, save_figure, wrap
from vprlib.io.files import open_h5

PLACES, PHOTOS, QUERIES = 10, 20, 10  # at most: places of a figure, photos of a place, queries of a place
METHODS, KIND = ("PCA", "t-SNE"), "whitened"  # KIND: the kind of descriptor that is preferred

Place = tuple[NDArray[np.int64], NDArray[np.int64]]  # row numbers of its queries and of its database images


def plot_projection(
    out: OutputPaths,
    *,
    table: pd.DataFrame,
    database: str | os.PathLike[str],
    queries: str | os.PathLike[str],
    protocol: Protocol,
    title: str,
) -> Figure:
    """Draw the descriptors of some places, whitened ones if there are any.

    Args:
        out: the figure's files.
        table: the image table.
        database: the file of the database descriptors.
        queries: the file of the query descriptors.
        protocol: defines a place: all that lies within its radius.
        title: run and dataset.
    """
    query, photos = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    places = sample_places(query, photos, protocol.positives(query, photos), protocol.radius)
    with open_h5(database, verify=()) as file:
        kind = KIND if KIND in file else min(file)
        title += f", {kind} {file[kind].shape[1]}-D"
    query_rows, database_rows = (np.concatenate([np.empty(0, int), *(place[i] for place in places)]) for i in (0, 1))
    queries_QD = read_descriptor_rows(queries, kind, query_rows)
    database_ND = read_descriptor_rows(database, kind, database_rows)
    return draw_projection(
        out, places=places, queries_QD=queries_QD, database_ND=database_ND, title=title, reach=protocol.radius_text
    )


def sample_places(
    query: pd.DataFrame,
    database: pd.DataFrame,
    positives: Sequence[NDArray[np.int64]],
    radius: float,
    *,
    seed: int = 0,
) -> list[Place]:
    """Sample places that share no photo: random queries, with their positives and the queries around them.

    A place needs at least two positives; queries around it belong to it if they share a positive with it.

    Args:
        query: rows of the image table.
        database: rows of the image table.
        positives: for each query the database indices within the hit radius.
        radius: the hit radius.
        seed: of the sample.

    Returns:
        At most PLACES pairs (query rows, database rows), each row in one place only.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    places: list[Place] = []
    used_N, used_Q, in_place_N = (np.zeros(size, bool) for size in (len(database), len(query), len(database)))
    position_Q2 = query[["east", "north"]].to_numpy(float)
    with_position = np.flatnonzero(np.isfinite(position_Q2).all(1))
    tree = cKDTree(position_Q2[with_position])
    for q in rng.permutation(len(query)):
        photos = np.asarray(positives[q])
        if len(photos) < 2 or used_Q[q] or used_N[photos].any():
            continue
        has_position = np.isfinite(position_Q2[q]).all()
        around = with_position[tree.query_ball_point(position_Q2[q], radius)] if has_position else []
        in_place_N[photos] = True
        queries = np.array([other for other in sorted({q, *around}) if in_place_N[positives[other]].any()])
        in_place_N[photos] = False
        if used_Q[queries].any():
            continue
        used_N[photos], used_Q[queries] = True, True
        queries = queries[np.argsort(queries != q, kind="stable")]
        shown = rng.permutation(photos)[:PHOTOS]
        places.append((queries[:QUERIES], np.sort(shown)))
        if len(places) == PLACES:
            break
    return places


def read_descriptor_rows(path: str | os.PathLike[str], kind: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read some rows of a file of descriptors, (n, D); the descriptors of a query's crops are averaged.

    A file may have only descriptors of queries that were fitted to the network's size in another way than the database;
    these are then read.
    """
    with open_h5(path, verify=()) as file:  # few rows are read
        name = kind if kind in file else min(name for name in file if name.startswith(f"{kind}@"))
        order = np.sort(np.unique(rows))
        x = file[name][order].astype(np.float32)[np.searchsorted(order, rows)]
    return x.mean(1) if x.ndim == 3 else x


def embed_2d(x_ND: NDArray[np.float32], *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Compute both projections, {method: (N, 2)}, on one thread, so that the same descriptors give the same figure."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        flat_N2 = PCA(2, svd_solver="full").fit_transform(x_ND)
        tsne = TSNE(
            2, perplexity=min(15, (len(x_ND) - 1) / 3), init="pca", random_state=seed, method="exact", max_iter=500
        )
        return dict(zip(METHODS, (flat_N2, tsne.fit_transform(x_ND)), strict=True))


def draw_projection(
    out: OutputPaths,
    *,
    places: Sequence[Place],
    queries_QD: NDArray[np.float32],
    database_ND: NDArray[np.float32],
    title: str,
    reach: str,
    seed: int = 0,
) -> Figure:
    """Draw the photos of some places in the plane: a hue and marker per place, database filled and queries hollow.

    Args:
        out: the figure's files.
        places: the places of `sample_places`.
        queries_QD: the descriptors of the queries, place by place.
        database_ND: the descriptors of the database images, place by place.
        title: run and dataset.
        reach: the radius of a place, as text.
        seed: of t-SNE.
    """
    sizes = [(len(queries), len(photos)) for queries, photos in places]
    queries, photos = (sum(size[i] for size in sizes) for i in (0, 1))
    counts = f"{len(places)} random places of {reach}: {queries} queries (hollow), {photos} database photos (filled)"
    legend = "Each place has a hue and marker of its own; a network that distinguishes places keeps each one together."
    head = "\n".join(wrap(line, COLUMN) for line in (title, f"{counts}. {legend}"))
    with save_figure(out, COLUMN, 5.4 + LINE * (count_lines(head) + 1)) as fig:
        fig.suptitle(head)
        axes = fig.subplots(len(METHODS))
        shown = embed_2d(np.concatenate([queries_QD, database_ND]), seed=seed) if len(places) > 1 else {}
        for ax, method in zip(axes, METHODS, strict=True):
            ax.set(title=method, xticks=[], yticks=[], xlabel="first axis", ylabel="second axis")
            if not shown:
                empty_panel(ax, "fewer than two places with\ntwo database photos each")
                continue
            draw_scatter(ax, shown[method][:queries], shown[method][queries:], sizes)
    return fig


def draw_scatter(
    ax: Axes, query_Q2: NDArray[np.float32], database_N2: NDArray[np.float32], sizes: Sequence[tuple[int, int]]
) -> None:
    """Draw one panel of `plot_projection`.

    Args:
        ax: the panel.
        query_Q2: positions of the queries, place by place.
        database_N2: positions of the database images, place by place.
        sizes: (queries, database images) of each place.
    """
    starts = np.cumsum([(0, 0), *sizes], axis=0)
    for place, (start, stop) in enumerate(pairwise(starts)):
        style = line_style(place) | {"linestyle": "", "markeredgewidth": 0.8}
        ax.plot(*database_N2[start[1] : stop[1]].T, **style | {"markersize": 3.5, "alpha": 0.6})
        ax.plot(*query_Q2[start[0] : stop[0]].T, **style | {"markerfacecolor": "white", "markersize": 5})
