"""A dataset on one page: where its photos are, how many answers each query has, and what is wrong with it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vprlib.data.image_table import ROLES, SPLITS
from vprlib.data.photos import upright
from vprlib.figures.style import (
    DARK,
    GREY,
    LIGHT,
    LINE,
    PAGE,
    SCREEN,
    WRONG,
    count_lines,
    empty_panel,
    save_figure,
    wrap,
)

ABREAST, MOST = 3, 9  # panels in a row, maps on the page
PAIRS = 3  # of photos that look the same, on the page
PANEL = 1.7  # inches: the height of a small panel
COLOUR = {"database": LIGHT, "query": DARK}


def plot_verification(out, table, found: dict):
    """Draw what `verify` found in an image table: maps, positives per query, counts, and the findings in words."""
    maps, left_out = ({}, 0) if found["placeless"] else map_parts(table, found["within"])
    panels, alike = found["positives"], near_duplicate_pairs(found)
    words = [wrap(text, PAGE / 2 - 0.1) for text in finding_sentences(found, left_out, table.split.nunique())]
    flat, roles = not np.ptp(table.north), roles_present(table)
    tall = [PANEL * (0.5 if flat else 2 if len(maps) == 1 else 1.2)] * -(-len(maps) // ABREAST)
    below = LINE * max(1.6 * len(split_count_rows(found, roles)) + 2, "\n".join(words).count("\n") + 2)
    parts = {"maps": sum(tall) + LINE * (3.5 * max(len(tall), 1) + 1)}
    if panels:
        parts["positives"] = (PANEL + LINE * 7) * -(-len(panels) // ABREAST)
    parts["words"] = below
    if alike:
        lines = max(count_lines(wrap_photo_name(path)) for *paths, _ in alike for path in paths)
        parts["pairs"] = 0.75 * PAGE / (2 * PAIRS) + LINE * (lines + 3)
    columns = min(max(len(panels), 2), ABREAST)
    with save_figure(out, PAGE, LINE * 2 + sum(parts.values()), SCREEN) as fig:
        title = f"{found['dataset']}: {len(table):,} photos"
        title += f"; judged by {', '.join(found['protocols'])}" * bool(panels)
        fig.suptitle(wrap(title, PAGE), x=0.01, ha="left")
        places = dict(zip(parts, fig.subfigures(len(parts), height_ratios=list(parts.values())), strict=True))
        draw_maps(places["maps"], maps, draw_frames if flat else draw_positions, found)
        for ax, row in zip(axes_grid(places["positives"], len(panels), columns) if panels else [], panels, strict=True):
            plot_positives_histogram(ax, row, PAGE / columns - 0.6, found["placeless"])
        left, right = places["words"].subplots(1, 2)
        draw_count_table(left, found, roles, step=1.5 * LINE / below)
        right.set_axis_off()
        right.text(0, 1, "\n".join(words), va="top", transform=right.transAxes)
        if alike:
            draw_photo_pairs(places["pairs"], alike)
    return fig


def draw_maps(part, maps: dict, draw, found: dict):
    """The maps and the legend that they share; a labelled gap of places without coordinates."""
    if not maps:
        ax = part.subplots()
        ax.set_axis_off()
        empty_panel(ax, "no coordinates: a photo's place is its sub-folder")
        return
    for ax, (name, some) in zip(axes_grid(part, len(maps), ABREAST if len(maps) > 1 else 1), maps.items(), strict=True):
        draw(ax, some, found)
        ax.set_title(name)
    shown = {label: line for ax in part.axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    for line in part.legend(shown.values(), shown, loc="outside upper left", ncols=3).legend_handles:
        line.set_markersize(6)


def near_duplicate_pairs(found: dict) -> list:
    """PAIRS of photos that look the same, at most: (a photo, another one, what they share).

    One pair of identical files, then those that look the same, then more identical ones.
    """
    same = [(one, other, "the same file") for one, other, *_ in found["duplicates"]]
    near = []
    for one, other, bits, far in found["near_duplicates"]["listed"]:
        apart = "same place" if not far else "two places" if found["placeless"] else f"{far:,.0f} {found['unit']} apart"
        near.append((one, other, f"{bits} bits, {apart}"))
    return [*same[:1], *near, *same[1:]][:PAIRS]


def wrap_photo_name(path: str) -> str:
    """A photo's name and folder, in lines that fit below it."""
    return wrap("/".join(Path(path).parts[-2:]), PAGE / (2 * PAIRS) - 0.1)


def draw_photo_pairs(part, alike: list):
    """Pairs of photos side by side, with their names."""
    part.suptitle("Some pairs of those that verification.json lists:", x=0.01, ha="left")
    for number, ax in enumerate(part.subplots(1, 2 * PAIRS)):
        ax.set_axis_off()
        if number // 2 < len(alike):
            *paths, shared = alike[number // 2]
            ax.imshow(ImageOps.contain(upright(Image.open(paths[number % 2])).convert("RGB"), (320, 320)))
            ax.set(title=shared * (number % 2 == 0), anchor="N")
            ax.text(0, -0.04, wrap_photo_name(paths[number % 2]), va="top", transform=ax.transAxes)


def axes_grid(part, count: int, columns: int) -> list:
    """So many axes in rows of `columns`."""
    axes = part.subplots(-(-count // columns), columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return list(axes[:count])


def roles_present(table) -> list:
    """The roles that photos have: those of a folder that is only to be described are all of the database."""
    return [role for role in ROLES if (table.role == role).any()]


def map_parts(table, within: str | None):
    """What has a map of its own, {name: rows}: each split and, where searches are within a city, each city.

    Returns:
        The `MOST` largest in their order, and how many others there are.
    """
    parts = {}
    for split in [split for split in SPLITS if (table.split == split).any()]:
        some = table[table.split == split]
        groups = some.groupby(within) if within else [(None, some)]
        parts |= {split if value is None else f"{split}, {value}": part for value, part in groups}
    large = sorted(parts, key=lambda name: -len(parts[name]))[:MOST]
    return {name: part for name, part in parts.items() if name in large}, len(parts) - len(large)


def without_positives(some, found: dict) -> np.ndarray:
    """Which rows are queries that have no positive, by any protocol."""
    return np.isin(some.path, [path for row in found["positives"] for path in row["without"]])


def draw_positions(ax, some, found: dict):
    """A map in metres, or kilometres, from its south-west corner."""
    corner, large = some[["east", "north"]].min(), 150 / ax.get_subplotspec().get_gridspec().ncols
    place_N2 = (some[["east", "north"]] - corner).to_numpy()
    scale, unit = (1000, "km") if found["unit"] == "m" and place_N2.max() > 5000 else (1, found["unit"])
    for role in roles_present(some):
        chosen = (some.role == role).to_numpy()
        size = np.clip(large / np.sqrt(1 + chosen.sum()), 1.5, 5) * (1.8 if role == "database" else 1)
        dots = {"marker": "o", "markersize": size, "markeredgewidth": 0, "color": COLOUR[role]}
        ax.plot(*place_N2[chosen].T / scale, linestyle="", label=role, **dots)
    ring_queries(ax, *place_N2[without_positives(some, found)].T / scale)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel=f"{unit} east of {corner.east:,.0f}", ylabel=f"{unit} north of {corner.north:,.0f}")
    ax.locator_params(nbins=5)


def draw_frames(ax, some, found: dict):
    """Positions on a line, as of frames: a lane of ticks for each role."""
    for lane, role in enumerate(roles_present(some)):
        x = some.east[some.role == role].to_numpy()
        look = {"marker": "|", "markersize": 12, "markeredgewidth": 0.6, "color": COLOUR[role]}
        ax.plot(x, np.full(len(x), -lane), linestyle="", label=role, **look)
    x = some.east[without_positives(some, found)].to_numpy()
    ring_queries(ax, x, np.full(len(x), 1 - len(roles_present(some))))
    ax.set(xlabel=f"position ({found['unit']})", ylim=(0.6 - len(roles_present(some)), 0.6), yticks=[])
    ax.spines["left"].set_visible(False)


def ring_queries(ax, x, y):
    """Rings around queries that have no positive."""
    ring = {"marker": "o", "markersize": 5, "markerfacecolor": "none", "markeredgewidth": 0.8, "color": WRONG}
    if len(x):
        ax.plot(x, y, linestyle="", label="query without positives", **ring)


def plot_positives_histogram(ax, row: dict, width: float, placeless: bool):
    """How many queries have so many positives; those that have none in another colour. Its title fits the width."""
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
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def split_count_rows(found: dict, roles: list) -> list:
    """The rows of the table of counts; a count that the dataset declares, and that is therefore right, has a tick."""
    cells = []
    for split in SPLITS:
        keys = [f"{split} {role}" for role in roles]
        if any(found["counts"][key] for key in keys):
            ticks = ["  ✓" if key in found["declared"] else "" for key in keys]
            cells.append([split, *(f"{found['counts'][key]:,}{tick}" for key, tick in zip(keys, ticks, strict=True))])
    return cells


def draw_count_table(ax, found: dict, roles: list, step: float):
    """The table of counts, its lines `step` of the axes apart."""
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


def finding_sentences(found: dict, left_out: int, splits: int) -> list:
    """What was found, in sentences; of splits and queries only if there are any."""
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
    beside = (
        "of a place that another split has, too"
        if found["placeless"]
        else f"within {reach} of another split's database"
    )
    words = [
        f"Every photo decodes. Pixels: {first}{more}.",
        same if groups else "No two files are identical.",
        f"Pairs that look the same (at most {near['hamming']} of 64 bits of a perceptual hash differ) {far}"
        f"{' or in two splits' * (splits > 1)}: {found_pairs or 'none'}.",
    ]
    words += [f"Photos {beside}: {close or 'none'}."] * (splits > 1)
    asked = f"Queries without positives: {without or 'none'}."
    words.append(asked if found["positives"] else "There are no queries: it can be described, but not evaluated.")
    return words + [f"The {left_out:,} smallest parts have no map."] * bool(left_out)
