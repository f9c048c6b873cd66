"""Plot the findings of `verify` about a dataset on one page: maps, positives per query, counts, and problems.

Axes: N photos, 2 east and north.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import ImageOps

from vprlib.data.image_table import ROLES, SPLITS
from vprlib.data.photos import open_image, upright
from vprlib.figures.style import (
    DARK,
    GREY,
    LIGHT,
    LINE,
    PAGE,
    SCREEN,
    WRONG,
    OutputPaths,
    count_lines,
    empty_panel,
    save_figure,
    stack_panels,
    use_integer_ticks,
    wrap,
)

ABREAST, MOST = 3, 9  # at most: panels in a row, maps on the page
PAIRS = 3  # at most: pairs of photos that look the same, on the page
PANEL = 1.7  # inches: the height of a small panel
COLOUR = {"database": LIGHT, "query": DARK}


def plot_verification(out: OutputPaths, table: pd.DataFrame, found: dict[str, Any]) -> Figure:
    """Draw the findings of `verify` in an image table: maps, positives per query, counts, and the findings in words.

    Args:
        out: the figure's files.
        table: the image table.
        found: the findings, as `verify` returns them.
    """
    maps, left_out = ({}, 0) if found["placeless"] else map_parts(table, found["within"])
    panels, alike = found["positives"], near_duplicate_pairs(found)
    words = [wrap(text, PAGE / 2 - 0.1) for text in finding_sentences(found, left_out, table.split.nunique())]
    flat, roles = not np.ptp(table.north), roles_present(table)
    map_heights = [PANEL * (0.5 if flat else 2 if len(maps) == 1 else 1.2)] * -(-len(maps) // ABREAST)
    words_height = LINE * max(1.6 * len(split_count_rows(found, roles)) + 2, "\n".join(words).count("\n") + 2)
    parts = {"maps": sum(map_heights) + LINE * (3.5 * max(len(map_heights), 1) + 1)}
    if panels:
        parts["positives"] = (PANEL + LINE * 7) * -(-len(panels) // ABREAST)
    parts["words"] = words_height
    if alike:
        lines = max(count_lines(wrap_photo_name(path)) for *paths, _ in alike for path in paths)
        parts["pairs"] = 0.75 * PAGE / (2 * PAIRS) + LINE * (lines + 3)
    columns = min(max(len(panels), 2), ABREAST)
    with save_figure(out, PAGE, LINE * 2 + sum(parts.values()), SCREEN) as fig:
        title = f"{found['dataset']}: {len(table):,} photos"
        title += f"; evaluated under {', '.join(found['protocols'])}" * bool(panels)
        fig.suptitle(wrap(title, PAGE), x=0.01, ha="left")
        places = dict(zip(parts, stack_panels(fig, list(parts.values())), strict=True))
        draw_maps(places["maps"], maps, draw_frames if flat else draw_positions, found)
        for ax, row in zip(axes_grid(places["positives"], len(panels), columns) if panels else [], panels, strict=True):
            plot_positives_histogram(ax, row, PAGE / columns - 0.6, found["placeless"])
        left, right = places["words"].subplots(1, 2)
        draw_count_table(left, found, roles, step=1.5 * LINE / words_height)
        right.set_axis_off()
        right.text(0, 1, "\n".join(words), va="top", transform=right.transAxes)
        if alike:
            draw_photo_pairs(places["pairs"], alike)
    return fig


def draw_maps(
    part: SubFigure,
    maps: dict[str, pd.DataFrame],
    draw: Callable[[Axes, pd.DataFrame, dict[str, Any]], None],
    found: dict[str, Any],
) -> None:
    """Draw the maps and the legend that they share; without any map, a labelled gap (no coordinates)."""
    if not maps:
        ax = part.subplots()
        ax.set_axis_off()
        empty_panel(ax, "no coordinates: a photo's place is its sub-folder")
        return
    axes = axes_grid(part, len(maps), ABREAST if len(maps) > 1 else 1)
    for ax, (name, photos) in zip(axes, maps.items(), strict=True):
        draw(ax, photos, found)
        ax.set_title(name)
    shown = {label: line for ax in part.axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    for line in part.legend(list(shown.values()), list(shown), loc="outside upper left", ncols=3).legend_handles:
        if isinstance(line, Line2D):
            line.set_markersize(6)


def near_duplicate_pairs(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Choose at most PAIRS pairs of photos that look the same: (path, path, caption).

    First one pair of identical files, then near-duplicates, then more identical files.
    """
    same = [(first, second, "the same file") for first, second, *_ in found["duplicates"]]
    similar = []
    for first, second, bits, distance in found["near_duplicates"]["listed"]:
        apart = "two places" if found["placeless"] else f"{distance or 0:,.0f} {found['unit']} apart"
        similar.append((first, second, f"{bits} bits, {apart if distance else 'same place'}"))
    return [*same[:1], *similar, *same[1:]][:PAIRS]


def wrap_photo_name(path: str) -> str:
    """Return a photo's folder and name, in lines that fit below the photo."""
    return wrap("/".join(Path(path).parts[-2:]), PAGE / (2 * PAIRS) - 0.1)


def draw_photo_pairs(part: SubFigure, alike: list[tuple[str, str, str]]) -> None:
    """Draw pairs of photos side by side, with their names."""
    part.suptitle("Some pairs of those that verification.json lists:", x=0.01, ha="left")
    for number, ax in enumerate(part.subplots(1, 2 * PAIRS)):
        ax.set_axis_off()
        if number // 2 < len(alike):
            *paths, caption = alike[number // 2]
            ax.imshow(ImageOps.contain(upright(open_image(paths[number % 2])).convert("RGB"), (320, 320)))
            ax.set(title=caption * (number % 2 == 0), anchor="N")
            ax.text(0, -0.04, wrap_photo_name(paths[number % 2]), va="top", transform=ax.transAxes)


def axes_grid(part: SubFigure, count: int, columns: int) -> list[Axes]:
    """Return `count` axes in rows of `columns`."""
    axes = part.subplots(-(-count // columns), columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return list(axes[:count])


def roles_present(table: pd.DataFrame) -> list[str]:
    """Return the roles that photos have; in a folder without queries all photos belong to the database."""
    return [role for role in ROLES if (table.role == role).any()]


def map_parts(table: pd.DataFrame, within: str | None) -> tuple[dict[str, pd.DataFrame], int]:
    """Divide an image table into the parts that have a map of their own.

    These are the splits and, if searches are within a city, the cities of each split.

    Args:
        table: the image table.
        within: the column that bounds searches, or None.

    Returns:
        {name: rows} of the MOST largest parts in their order, and the number of the others.
    """
    parts: dict[str, pd.DataFrame] = {}
    for split in [split for split in SPLITS if (table.split == split).any()]:
        photos = table[table.split == split]
        if within:
            parts |= {f"{split}, {value}": part for value, part in photos.groupby(within)}
        else:
            parts[split] = photos
    large = sorted(parts, key=lambda name: -len(parts[name]))[:MOST]
    return {name: part for name, part in parts.items() if name in large}, len(parts) - len(large)


def without_positives(photos: pd.DataFrame, found: dict[str, Any]) -> NDArray[np.bool_]:
    """Return which rows are queries that have no positive under some protocol."""
    return np.isin(photos.path, [path for row in found["positives"] for path in row["without"]])


def draw_positions(ax: Axes, photos: pd.DataFrame, found: dict[str, Any]) -> None:
    """Draw a map in metres or kilometres from its south-west corner."""
    place = ax.get_subplotspec()
    corner, large = photos[["east", "north"]].min(), 150 / (place.get_gridspec().ncols if place else 1)
    position_N2 = (photos[["east", "north"]] - corner).to_numpy()
    scale, unit = (1000, "km") if found["unit"] == "m" and position_N2.max() > 5000 else (1, found["unit"])
    for role in roles_present(photos):
        with_role_N = (photos.role == role).to_numpy()
        size = np.clip(large / np.sqrt(1 + with_role_N.sum()), 1.5, 5) * (1.8 if role == "database" else 1)
        dots: dict[str, Any] = {"marker": "o", "markersize": size, "markeredgewidth": 0, "color": COLOUR[role]}
        ax.plot(*position_N2[with_role_N].T / scale, linestyle="", label=role, **dots)
    ring_queries(ax, *position_N2[without_positives(photos, found)].T / scale)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel=f"{unit} east of {corner.east:,.0f}", ylabel=f"{unit} north of {corner.north:,.0f}")
    ax.locator_params(nbins=5)


def draw_frames(ax: Axes, photos: pd.DataFrame, found: dict[str, Any]) -> None:
    """Draw positions on a line, such as frames: a lane of ticks for each role."""
    for lane, role in enumerate(roles_present(photos)):
        x = photos.east[photos.role == role].to_numpy()
        ticks: dict[str, Any] = {"marker": "|", "markersize": 12, "markeredgewidth": 0.6, "color": COLOUR[role]}
        ax.plot(x, np.full(len(x), -lane), linestyle="", label=role, **ticks)
    x = photos.east[without_positives(photos, found)].to_numpy()
    ring_queries(ax, x, np.full(len(x), 1 - len(roles_present(photos))))
    ax.set(xlabel=f"position ({found['unit']})", ylim=(0.6 - len(roles_present(photos)), 0.6), yticks=[])
    ax.spines["left"].set_visible(False)


def ring_queries(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Draw rings around queries that have no positive."""
    ring: dict[str, Any] = {
        "marker": "o",
        "markersize": 5,
        "markerfacecolor": "none",
        "markeredgewidth": 0.8,
        "color": WRONG,
    }
    if len(x):
        ax.plot(x, y, linestyle="", label="query without positives", **ring)


def plot_positives_histogram(ax: Axes, row: dict[str, Any], width: float, placeless: bool) -> None:
    """Draw the histogram of the number of positives per query; queries without any have another colour.

    Args:
        ax: the panel.
        row: one split and protocol of the findings `positives`.
        width: maximum width of the title, in inches.
        placeless: whether the photos have no coordinates, only places.
    """
    bar = max(most - fewest + 1 for fewest, most, _ in row["histogram"])
    for _, most, count in row["histogram"]:
        ax.bar(most + 0.5 - bar, count, bar, align="edge", color=LIGHT if most else WRONG)
    heads = [f"{row['split']}, {row['protocol']}", f"{row['queries']:,} queries, {len(row['without']):,} without"]
    heads.append(f"{row['min']:,} to {row['max']:,} positives, median {row['median']:g}, mean {row['mean']:.1f}")
    ax.set(
        title="\n".join(wrap(head, width) for head in heads),
        xlabel="positives, of the same place" if placeless else f"positives within {row['reach']}",
        ylabel="queries",
    )
    use_integer_ticks(ax.xaxis)
    use_integer_ticks(ax.yaxis)


def split_count_rows(found: dict[str, Any], roles: list[str]) -> list[list[str]]:
    """Build the rows of the table of counts; a count that the dataset declares, and so was checked, has a tick."""
    cells = []
    for split in SPLITS:
        keys = [f"{split} {role}" for role in roles]
        if any(found["counts"][key] for key in keys):
            ticks = ["  ✓" if key in found["declared"] else "" for key in keys]
            cells.append([split, *(f"{found['counts'][key]:,}{tick}" for key, tick in zip(keys, ticks, strict=True))])
    return cells


def draw_count_table(ax: Axes, found: dict[str, Any], roles: list[str], step: float) -> None:
    """Draw the table of counts; its lines are `step` apart, in heights of the axes."""
    ax.set_axis_off()
    note = ["", "✓ as declared" if found["declared"] else "", ""][: 1 + len(roles)]
    cells = [["photos", *roles], *split_count_rows(found, roles), note]
    for line, row in enumerate(cells):
        y = 1 - (line + 0.5) * step
        for x, text in zip((0.02, 0.55, 0.9)[: len(row)], row, strict=True):
            ax.text(x, y, text, ha="left" if x < 0.1 else "right", va="center", transform=ax.transAxes)
        if line < len(cells) - 1:
            ax.axhline(1 - (line + 1) * step, color=GREY, linewidth=0.5)
    ax.set_ylim(0, 1)


def finding_sentences(found: dict[str, Any], left_out: int, splits: int) -> list[str]:
    """Write the findings in sentences.

    Args:
        found: the findings.
        left_out: number of parts without a map.
        splits: number of splits; leaks between splits are mentioned only if there are several.
    """
    reach, near, groups = f"{found['radius']:g} {found['unit']}", found["near_duplicates"], found["duplicates"]
    first = ", ".join(f"{size} ({count:,})" for size, count in found["sizes"][:3])
    more = f" and {len(found['sizes']) - 3:,} other sizes" if len(found["sizes"]) > 3 else ""
    found_pairs = ", ".join(f"{count:,} in {where}" for where, count in near["pairs"].items())
    close = ", ".join(f"{count:,} {where}" for where, count in found["leaks"].items())
    noun = "group" if len(groups) == 1 else "groups"
    same = f"{sum(map(len, groups)):,} photos in {len(groups):,} {noun} of identical files."
    lacking = [row for row in found["positives"] if row["without"]]
    without = ", ".join(f"{len(row['without']):,} of {row['split']} ({row['protocol']})" for row in lacking)
    far = "of two places" if found["placeless"] else f"farther apart than {reach}"
    where_leaked = (
        "of a place that another split has, too"
        if found["placeless"]
        else f"within {reach} of another split's database"
    )
    words = [
        f"Every photo decodes. Pixels: {first}{more}.",
        same if groups else "No two files are identical.",
        f"Pairs that look the same (at most {near['max_hash_distance']} of 64 bits of a perceptual hash differ) {far}"
        f"{' or in two splits' * (splits > 1)}: {found_pairs or 'none'}.",
    ]
    words += [f"Photos {where_leaked}: {close or 'none'}."] * (splits > 1)
    if found["positives"]:
        words.append(f"Queries without positives: {without or 'none'}.")
    else:
        words.append("There are no queries: descriptors can be extracted, but not evaluated.")
    return words + [f"The {left_out:,} smallest parts have no map."] * bool(left_out)
