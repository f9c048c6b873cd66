"""Plot the descriptors of a few places, projected to a plane by t-SNE: does a query lie with its place?

Axes: Q queries, N database images (in `embed_2d` all photos), D dimensions, 2 axes of the plane.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from vprlib.data.image_table import select_rows
from vprlib.data.protocol import Protocol
from vprlib.figures.style import (
    COLOURS,
    COLUMN,
    GREY,
    LINE,
    REPORT,
    OutputPaths,
    Style,
    count_lines,
    empty_panel,
    line_style,
    save_figure,
    wrap,
)
from vprlib.io.files import open_h5

PLACES, PHOTOS, QUERIES = len(COLOURS), 20, 10  # at most: places, each with a hue; photos and queries of a place
KIND = "whitened"  # the kind of descriptor that is preferred
NEIGHBOUR: dict[bool, dict[str, Any]] = {  # lines from a query to its nearest photo, by whether that is of its place
    True: {"colors": "#C0C0C0", "linewidths": 0.8},
    False: {"colors": "black", "linewidths": 0.5},
}

Place = tuple[NDArray[np.int64], NDArray[np.int64]]  # row numbers of its queries and of its database images


def plot_projection(
    out: OutputPaths,
    *,
    table: pd.DataFrame,
    database: str | os.PathLike[str],
    queries: str | os.PathLike[str],
    protocol: Protocol,
    title: str,
    style: Style = REPORT,
) -> Figure:
    """Draw the descriptors of some places, whitened ones if there are any: see `draw_projection`.

    Args:
        out: the figure's files.
        table: the image table.
        database: the file of the database descriptors.
        queries: the file of the query descriptors.
        protocol: defines a place: all that lies within its radius.
        title: run and dataset.
        style: of the figure.
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
        out,
        places=places,
        queries_QD=queries_QD,
        database_ND=database_ND,
        title=title,
        reach=protocol.radius_text,
        style=style,
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


def embed_2d(x_ND: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """Compute t-SNE of descriptors, (N, 2), on one thread, so that the same descriptors give the same figure."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(15, (len(x_ND) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, method="exact", max_iter=500)
        return tsne.fit_transform(x_ND)


def nearest_photos(queries_QD: NDArray[np.float32], database_ND: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the database image whose descriptor is the nearest one of each query's, (Q,)."""
    products_QN = queries_QD.astype(float) @ database_ND.T.astype(float)
    return ((database_ND.astype(float) ** 2).sum(1) - 2 * products_QN).argmin(1)


def draw_projection(
    out: OutputPaths,
    *,
    places: Sequence[Place],
    queries_QD: NDArray[np.float32],
    database_ND: NDArray[np.float32],
    title: str,
    reach: str,
    style: Style = REPORT,
    seed: int = 0,
) -> Figure:
    """Draw the photos of some places in the plane, and join each query with the photo of the nearest descriptor.

    The nearest one is that of all D dimensions, among the photos that are drawn. So the figure shows whether a query
    lies with its place, and which place it is taken for.

    Args:
        out: the figure's files.
        places: the places of `sample_places`.
        queries_QD: the descriptors of the queries, place by place.
        database_ND: the descriptors of the database images, place by place.
        title: run and dataset.
        reach: the radius of a place, as text.
        style: of the figure.
        seed: of t-SNE.
    """
    enough = len(places) > 1
    place_Q, place_N = (np.repeat(np.arange(len(places)), [len(place[i]) for place in places]) for i in (0, 1))
    nearest_Q = nearest_photos(queries_QD, database_ND) if enough else np.empty(0, int)
    right_Q = place_N[nearest_Q] == place_Q[: len(nearest_Q)]
    question = (
        f"Is a query nearest to a photo of its place? {right_Q.sum()} of {len(place_Q)} are, among {len(place_N)}"
    )
    question += f" photos of {len(places)} random places of {reach}. t-SNE of the descriptors:"
    head = style.caption("\n".join(wrap(line, COLUMN) for line in (title, question)))
    with save_figure(out, COLUMN, 3.2 + LINE * (count_lines(head) + 3), style=style) as fig:
        fig.suptitle(head)
        ax = fig.subplots()
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if enough:
            plane = embed_2d(np.concatenate([queries_QD, database_ND]), seed=seed)
            draw_neighbours(ax, plane[: len(place_Q)], plane[len(place_Q) :][nearest_Q], right_Q)
            draw_photos(ax, plane[: len(place_Q)], plane[len(place_Q) :], place_Q, place_N)
            ax.legend(*legend_of_photos(), loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2)
        else:
            empty_panel(ax, "fewer than two places with\ntwo database photos each")
    return fig


def draw_neighbours(
    ax: Axes, query_Q2: NDArray[np.float32], nearest_Q2: NDArray[np.float32], right_Q: NDArray[np.bool_]
) -> None:
    """Draw a line from each query to its nearest photo; those to another place are black and lie on top."""
    for rows, look in ((right_Q, NEIGHBOUR[True]), (~right_Q, NEIGHBOUR[False])):
        ax.add_collection(LineCollection(list(np.stack([query_Q2[rows], nearest_Q2[rows]], axis=1)), **look))


def draw_photos(
    ax: Axes,
    query_Q2: NDArray[np.float32],
    database_N2: NDArray[np.float32],
    place_Q: NDArray[np.int64],
    place_N: NDArray[np.int64],
) -> None:
    """Draw the photos in the plane: a hue and marker per place, database photos filled and queries hollow.

    Args:
        ax: the panel.
        query_Q2: positions of the queries.
        database_N2: positions of the database images.
        place_Q: the place of each query.
        place_N: the place of each database image.
    """
    for place in range(place_N.max() + 1):
        look = line_style(place) | {"linestyle": "", "markeredgewidth": 0.8}
        ax.plot(*database_N2[place_N == place].T, **look | {"markersize": 3, "alpha": 0.6})
        ax.plot(*query_Q2[place_Q == place].T, **look | {"markerfacecolor": "white", "markersize": 4.5})


def legend_of_photos() -> tuple[list[Line2D], list[str]]:
    """Return the handles and labels of what the marks and lines of a projection are."""
    mark: dict[str, Any] = {"color": GREY, "marker": "o", "linestyle": ""}
    handles = {
        "database photo": Line2D([], [], **mark, markersize=3),
        "query": Line2D([], [], **mark, markerfacecolor="white", markersize=4.5),
        "nearest, of its place": Line2D([], [], color=NEIGHBOUR[True]["colors"], linewidth=1),
        "nearest, of another place": Line2D([], [], color=NEIGHBOUR[False]["colors"], linewidth=1),
    }
    return list(handles.values()), list(handles)
