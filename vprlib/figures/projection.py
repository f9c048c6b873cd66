"""How a run's descriptors lie: a few places, projected to a plane by PCA and by t-SNE."""

from itertools import pairwise

import h5py
import numpy as np

from vprlib.data.image_table import select_rows
from vprlib.data.protocol import Protocol
from vprlib.figures.style import COLUMN, LINE, count_lines, empty_panel, line_style, save_figure, wrap

PLACES, PHOTOS, QUERIES = 10, 20, 10  # places of a picture; photos and queries of a place, at most
METHODS, KIND = ("PCA", "t-SNE"), "whitened"


def plot_projection(out, *, table, database, queries, protocol: Protocol, title: str):
    """Draw the descriptors of some places: whitened ones if there are any.

    Args:
        table: the image table.
        database, queries: the files of descriptors.
        protocol: what a place is: what lies within its radius.
        title: which run and dataset.
    """
    query, photos = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    places = sample_places(query, photos, protocol.positives(query, photos), protocol.radius)
    with h5py.File(database, "r") as file:
        kind = KIND if KIND in file else min(file)
        title += f", {kind} {file[kind].shape[1]}-D"
    columns = zip(*places, strict=True) if places else ((), ())
    rows = [np.concatenate([np.empty(0, int), *column]) for column in columns]
    queries_QD, database_ND = (
        read_descriptor_rows(path, kind, some) for path, some in zip((queries, database), rows, strict=True)
    )
    return draw_projection(
        out, places=places, queries_QD=queries_QD, database_ND=database_ND, title=title, reach=protocol.reach
    )


def sample_places(query, database, positives, radius: float, *, seed: int = 0) -> list:
    """Some places that share no photo: random queries, with their positives and the queries around them.

    Returns:
        At most PLACES pairs (query rows, database rows), each row in one place only.
    """
    from scipy.spatial import cKDTree

    rng, places = np.random.default_rng(seed), []
    used, taken, mine = (np.zeros(size, bool) for size in (len(database), len(query), len(database)))
    where_Q2 = query[["east", "north"]].to_numpy(float)
    known = np.flatnonzero(np.isfinite(where_Q2).all(1))
    tree = cKDTree(where_Q2[known])
    for q in rng.permutation(len(query)):
        own = np.asarray(positives[q])
        if len(own) < 2 or taken[q] or used[own].any():
            continue
        around = known[tree.query_ball_point(where_Q2[q], radius)] if np.isfinite(where_Q2[q]).all() else []
        mine[own] = True
        near = np.array([other for other in sorted({q, *around}) if mine[positives[other]].any()])
        mine[own] = False
        if taken[near].any():
            continue
        used[own], taken[near] = True, True
        near = near[np.argsort(near != q, kind="stable")]
        chosen = rng.permutation(own)[:PHOTOS]
        places.append((near[:QUERIES], np.sort(chosen)))
        if len(places) == PLACES:
            break
    return places


def read_descriptor_rows(path, kind: str, rows) -> np.ndarray:
    """Some rows of a file of descriptors, (n, D) float32; of queries that were cut into crops their mean.

    Queries that were fitted to the network in another way than the database only are taken as they are.
    """
    with h5py.File(path, "r") as file:
        name = kind if kind in file else min(name for name in file if name.startswith(f"{kind}@"))
        order = np.sort(np.unique(rows))
        x = file[name][order].astype(np.float32)[np.searchsorted(order, rows)]
    return x.mean(1) if x.ndim == 3 else x


def embed_2d(x_ND, *, seed: int = 0) -> dict:
    """Both projections, {method: (N, 2)}; on one thread, so that the same descriptors give the same picture."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        flat_N2 = PCA(2, svd_solver="full").fit_transform(x_ND)
        tsne = TSNE(
            2, perplexity=min(15, (len(x_ND) - 1) / 3), init="pca", random_state=seed, method="exact", max_iter=500
        )
        return dict(zip(METHODS, (flat_N2, tsne.fit_transform(x_ND)), strict=True))


def draw_projection(out, *, places: list, queries_QD, database_ND, title: str, reach: str, seed: int = 0):
    """Draw the photos of some places in the plane, database photos filled and queries hollow: a colour and marker each.

    Args:
        places: what `sample` returns.
        queries_QD, database_ND: their descriptors, place by place.
        title: which run and dataset.
        reach: how far a place reaches.
    """
    sizes = [(len(queries), len(photos)) for queries, photos in places]
    queries, photos = (sum(column) for column in zip(*sizes, strict=True)) if places else (0, 0)
    counts = f"{len(places)} random places of {reach}: {queries} queries (hollow), {photos} database photos (filled)"
    said = "Each place has a hue and marker of its own; a network that tells places apart has each one together."
    head = "\n".join(wrap(line, COLUMN) for line in (title, f"{counts}. {said}"))
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


def draw_scatter(ax, query_Q2, database_N2, sizes: list):
    """One panel of `projection`."""
    starts = np.cumsum([(0, 0), *sizes], axis=0)
    for place, (start, stop) in enumerate(pairwise(starts)):
        style = line_style(place) | {"linestyle": "", "markeredgewidth": 0.8}
        ax.plot(*database_N2[start[1] : stop[1]].T, **style | {"markersize": 3.5, "alpha": 0.6})
        ax.plot(*query_Q2[start[0] : stop[0]].T, **style | {"markerfacecolor": "white", "markersize": 5})
