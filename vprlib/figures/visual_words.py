"""Which visual word a NetVLAD run sees where in a photo, and how sure it is of it."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.lines import Line2D

from vprlib.data.image_table import select_rows
from vprlib.data.protocol import Protocol
from vprlib.figures.style import COLOURS, COLUMN, GREY, LINE, SCREEN, SHARES, count_lines, save_figure, wrap

NAMED = COLOURS[:6]  # of the most frequent words; the others are grey
PAIRS = 2  # queries of a picture, each with a database photo of its place


def choose_photo_pairs(table, protocol: Protocol, seed: int = 0) -> list:
    """(caption, path) of random test queries, each followed by a random database photo of its place, if it has one."""
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    rng, positives, result = np.random.default_rng(seed), protocol.positives(query, database), []
    with_answer = [q for q, own in enumerate(positives) if len(own)] or range(len(query))
    for q in sorted(rng.choice(with_answer, min(PAIRS, len(with_answer)), replace=False)):
        result.append((f"query {q}", query.path[q]))
        if len(positives[q]):
            result.append(("its place", database.path[rng.choice(positives[q])]))
    return result


def assignment_entropy(a_BKHW) -> np.ndarray:
    """(B, h, w) entropy of the soft assignment in bits: 0 where one word has it all, log2 K where none stands out."""
    a_BKHW = np.maximum(a_BKHW, 1e-12)
    return -(a_BKHW * np.log2(a_BKHW)).sum(1)


def plot_visual_words(out, *, captions: list, photos_B3HW, a_BKHW, title: str):
    """Draw photos, a row each: the photo, its most likely word by place, and the entropy of the soft assignment."""
    count = a_BKHW.shape[1]
    word_BHW, bits_BHW = a_BKHW.argmax(1), assignment_entropy(a_BKHW)
    share_K = np.bincount(word_BHW.ravel(), minlength=count) / word_BHW.size
    common = [word for word in np.argsort(-share_K, kind="stable")[: len(NAMED)] if share_K[word]]
    number_BHW = np.full(word_BHW.shape, len(common))
    for number, word in enumerate(common):
        number_BHW[word_BHW == word] = number
    colours = ListedColormap([*map(to_rgb, NAMED[: len(common)]), to_rgb(GREY)])
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
            row[1].imshow(number_HW, cmap=colours, vmin=-0.5, vmax=len(common) + 0.5, alpha=0.65, **box)
            row[2].imshow(bits_HW, cmap=SHARES, norm=norm, alpha=0.85, **box)
        for ax, name in zip(grid[0], ("photo", "word", "entropy"), strict=True):
            ax.set_title(name, loc="center")
        bar = fig.colorbar(ScalarMappable(norm, SHARES), ax=grid, location="bottom", aspect=50, pad=0.02)
        bar.set_label(f"entropy of the soft assignment (bits; at most {np.log2(count):.3g})")
        squares = {"marker": "s", "linestyle": "", "markersize": 6}
        names = [f"word {word}: {100 * share_K[word]:.0f} %" for word in common]
        names += [f"others: {100 * (1 - share_K[common].sum()):.0f} %"] * int(len(common) < (share_K > 0).sum())
        handles = [Line2D([], [], color=colour, **squares) for colour in colours.colors[: len(names)]]
        fig.legend(
            handles, names, ncols=3, loc="outside lower center", handlelength=1, title="share of the local features"
        )
    return fig
