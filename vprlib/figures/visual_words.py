"""Plot the most likely visual word of a NetVLAD run at each position of a photo, and the entropy of the assignment.

Axes: B photos, K words, 3 colours, H x W pixels or positions of local features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
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
    SCREEN,
    SHARES,
    OutputPaths,
    count_lines,
    save_figure,
    wrap,
)

NAMED = COLOURS[:6]  # colours of the most frequent words; the others are grey
PAIRS = 2  # queries of a figure, each with a database photo of its place


def choose_photo_pairs(table: pd.DataFrame, protocol: Protocol, seed: int = 0) -> list[tuple[str, str]]:
    """Choose random test queries, each followed by a random database photo of its place, if it has one.

    Returns:
        (caption, path) of each photo.
    """
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    rng, positives, result = np.random.default_rng(seed), protocol.positives(query, database), []
    candidates = [q for q, photos in enumerate(positives) if len(photos)] or list(range(len(query)))
    for q in sorted(rng.choice(candidates, min(PAIRS, len(candidates)), replace=False)):
        result.append((f"query {q}", query.path[q]))
        if len(positives[q]):
            result.append(("its place", database.path[rng.choice(positives[q])]))
    return result


def assignment_entropy(a_BKHW: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the entropy of the soft assignment in bits, (B, H, W).

    It is 0 if one word has the whole weight, and log2 K if all words have the same.
    """
    a_BKHW = np.maximum(a_BKHW, 1e-12)
    return -(a_BKHW * np.log2(a_BKHW)).sum(1)


def plot_visual_words(
    out: OutputPaths,
    *,
    captions: Sequence[str],
    photos_B3HW: NDArray,
    a_BKHW: NDArray[np.floating],
    title: str,
) -> Figure:
    """Draw a row per photo: the photo, its most likely word at each position, and the entropy of the soft assignment.

    Args:
        out: the figure's files.
        captions: of the photos.
        photos_B3HW: the photos.
        a_BKHW: the soft assignments; H x W are positions of local features here.
        title: run and dataset.
    """
    count = a_BKHW.shape[1]
    word_BHW, bits_BHW = a_BKHW.argmax(1), assignment_entropy(a_BKHW)
    share_K = np.bincount(word_BHW.ravel(), minlength=count) / word_BHW.size
    common = [word for word in np.argsort(-share_K, kind="stable")[: len(NAMED)] if share_K[word]]
    number_BHW = np.full(word_BHW.shape, len(common))
    for number, word in enumerate(common):
        number_BHW[word_BHW == word] = number
    colours = [*map(to_rgb, NAMED[: len(common)]), to_rgb(GREY)]
    norm = Normalize(0, max(np.log2(count), 1e-9))
    height, width = photos_B3HW.shape[2:]
    tall = (COLUMN - 0.3) / 3 * height / width + 0.05
    sizes = f"{word_BHW.shape[1]} x {word_BHW.shape[2]} local features of {count} words"
    head = "\n".join(wrap(line, COLUMN) for line in (title, sizes))
    total = tall * len(captions) + LINE * (count_lines(head) + 9)
    with save_figure(out, COLUMN, total, SCREEN) as fig:
        fig.suptitle(head)
        grid = fig.subplots(len(captions), 3, squeeze=False)
        for row, caption, photo, number_HW, bits_HW in zip(
            grid, captions, photos_B3HW.transpose(0, 2, 3, 1), number_BHW, bits_BHW, strict=True
        ):
            for ax in row:
                ax.imshow(photo)
                ax.set(xticks=[], yticks=[])
                ax.grid(visible=False)
            box = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5), "interpolation": "nearest"}
            row[0].set_ylabel(caption)
            row[1].imshow(number_HW, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(common) + 0.5, alpha=0.65, **box)
            row[2].imshow(bits_HW, cmap=SHARES, norm=norm, alpha=0.85, **box)
        for ax, name in zip(grid[0], ("photo", "word", "entropy"), strict=True):
            ax.set_title(name, loc="center")
        bar = fig.colorbar(ScalarMappable(norm, SHARES), ax=grid, location="bottom", aspect=50, pad=0.02)
        bar.set_label(f"entropy of the soft assignment (bits; at most {np.log2(count):.3g})")
        squares: dict[str, Any] = {"marker": "s", "linestyle": "", "markersize": 6}
        names = [f"word {word}: {100 * share_K[word]:.0f} %" for word in common]
        names += [f"others: {100 * (1 - share_K[common].sum()):.0f} %"] * int(len(common) < (share_K > 0).sum())
        handles = [Line2D([], [], color=colour, **squares) for colour in colours[: len(names)]]
        fig.legend(
            handles, names, ncols=3, loc="outside lower center", handlelength=1, title="share of the local features"
        )
    return fig
