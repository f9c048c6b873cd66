"""Plot how evenly NetVLAD's centroids share the sampled local features.

Axes: K centroids (visual words), M sampled local features, C channels.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vprlib.figures.style import COLUMN, LIGHT, REPORT, OutputPaths, Style, save_figure, use_integer_ticks


def plot_centroids(
    out: OutputPaths,
    centroids_KC: NDArray[np.floating],
    descriptors_MC: NDArray[np.floating],
    style: Style = REPORT,
) -> Figure:
    """Draw the share of the features of each visual word, and the gap between the two most similar words of a feature.

    The mean gap sets the initial sharpness of NetVLAD's soft assignment.

    Args:
        out: the figure's files.
        centroids_KC: the centroids.
        descriptors_MC: the sampled local features.
        style: of the figure.
    """
    unit_KC, unit_MC = (x / np.linalg.norm(x, axis=1)[:, None].clip(1e-12) for x in (centroids_KC, descriptors_MC))
    similar_MK = unit_MC @ unit_KC.T
    count, words = similar_MK.shape
    share_K = np.sort(np.bincount(similar_MK.argmax(1), minlength=words))[::-1] * 100 / count
    with save_figure(out, COLUMN, 4.2, style=style) as fig:
        fig.suptitle(style.caption(f"{words} visual words of {count:,} sampled {unit_MC.shape[1]}-D features"))
        top, bottom = fig.subplots(2)
        top.bar(np.arange(1, words + 1), share_K, color=LIGHT)
        top.axhline(100 / words, color="black", linestyle=":", label=f"even share, {100 / words:.3g} %")
        top.set(xlabel="visual words, most frequent first", ylabel="share of features (%)")
        use_integer_ticks(top.xaxis)
        bottom.set(xlabel="largest minus second largest dot product", ylabel="share of features (%)")
        if words > 1:
            gap_M = np.subtract(*np.partition(similar_MK, -2, axis=1)[:, :-3:-1].T)
            bottom.hist(gap_M, 50, weights=np.full(count, 100 / count), color=LIGHT)
            bottom.axvline(gap_M.mean(), color="black", linestyle=":", label=f"mean, {gap_M.mean():.3g}")
        for ax in (top, bottom)[:words]:
            ax.legend(loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    return fig
