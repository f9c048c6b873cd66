"""Build the report's page: make its parts from files, and put them into one HTML file by templates."""

import functools
import json
import logging
import os
import platform
import re
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vprlib.data.protocol import Protocol
from vprlib.figures.marks import DASHES, HUES, MARKERS
from vprlib.io import files
from vprlib.io.files import format_bytes, write_bytes
from vprlib.io.fingerprints import code_version
from vprlib.report.artifacts import Artifacts
from vprlib.report.charts import dataset_charts, training_charts
from vprlib.report.cost import HOW, machine_lines, read_usage, stage_rows, total_row
from vprlib.report.encoding import deflate, encode_block, json_value
from vprlib.report.page_tables import (
    comparison_table,
    condition_table,
    measured_on,
    or_gap,
    run_rows,
    usable_difference_rows,
    verification_summary,
)
from vprlib.report.provenance import command_for, evaluation_sources
from vprlib.report.query_results import TOP, collect_query_results, coordinate_kind, page_arrays, shown_images
from vprlib.report.templating import page_environment, read_static
from vprlib.report.thumbnails import choose_thumbnails, inline_thumbnails, thumbnail_files

log = logging.getLogger(__name__)


STYLES = ("base.css", "parts.css")
SCRIPTS = ("base.js", "table.js", "charts.js", "answers.js", "explorer.js", "detail.js", "map.js", "main.js")
ANSWERS_SHARE = 0.55  # share of the page's bytes that per-query results may take before they are deflated
ANSWER_BYTES = TOP * (4 + 4) + 3 + 4  # upper bound for one query and one network: `page_arrays`, with `right`


def build_page(
    out: str | os.PathLike[str],
    campaign: Artifacts,
    *,
    images: Literal["inline", "folder"] = "inline",
    megabytes: float = 30,
    complete: bool = True,
) -> int:
    """Write the page, and return its size in bytes.

    Args:
        out: the HTML file.
        campaign: the experiment's artefacts; each missing one becomes a labelled gap.
        images: `inline`: thumbnails in the page; `folder`: all of them in the folder `thumbnails` beside it.
        megabytes: maximum size of the page. Only thumbnails are limited by it, and the number of networks whose
            per-query results are shown.
        complete: whether all artefacts were requested to exist; False for a preview of those that exist.
    """
    out = Path(out)
    parts = [dataset_section(campaign, name, megabytes * 1e6) for name in campaign.protocols]
    page: dict[str, Any] = {
        "campaign": campaign,
        "parts": parts,
        "complete": complete,
        "files": files,
        "config": campaign.config,
    }
    page |= {
        "ks_rows": comparison_table(campaign),
        "runs": run_rows(campaign),
        "training": training_charts(campaign),
    }
    usage = read_usage(campaign)
    page |= {
        "sources": or_gap("provenance", evaluation_sources, campaign) or [],
        "machines": machine_lines(usage),
    }
    stages = page["stages"] = stage_rows(usage)
    page |= {"total": total_row(stages) if stages else None, "stages_how": HOW}
    page |= {"written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "provenance": code_version()}
    page |= {"asked": json.dumps(campaign.asked, indent=2), "python": platform.python_version(), "images": images}
    page["command"] = command_for(campaign, out if complete else "preview")
    page |= {"styles": read_static(STYLES), "scripts": read_static(SCRIPTS), "plotly": plotly_bundle()}
    text = render_page(page | photo_data(parts, None, out, 0))
    room = np.inf if images == "folder" else max(0, megabytes * 1e6 - len(text.encode()))
    text = render_page(page | photo_data(parts, out.parent / "thumbnails", out, room))
    write_bytes(out, text.encode())
    log.info("%s: %s", out, format_bytes(len(text.encode())))
    return len(text.encode())


def dataset_section(campaign: Artifacts, name: str, budget: float) -> dict[str, Any]:
    """Collect the data of one dataset's section, its per-query results as arrays.

    Args:
        campaign: the experiment's artefacts.
        name: the dataset.
        budget: bytes of the whole page.
    """
    protocols = []
    for number, protocol in enumerate(campaign.protocols[name]):
        protocols.append({
            "number": number,
            "name": protocol.name,
            "reach": protocol.radius_text,
            "setting": measured_on(campaign, name, protocol.name),
            "charts": or_gap(f"{name}: charts", dataset_charts, campaign, name, protocol.name) or {},
            "differences": usable_difference_rows(campaign, name, protocol.name),
            "conditions": or_gap(f"{name}: conditions", condition_table, campaign, name, protocol.name) or {},
        })  # fmt: skip
    queries = max(
        (table.queries.max() for (dataset, _), table in campaign.evaluated.items() if dataset == name), default=1
    )
    most = int(budget * ANSWERS_SHARE / len(campaign.protocols) / (int(queries) * ANSWER_BYTES))
    found = or_gap(f"{name}: per-query results", collect_query_results, campaign, name, max(1, most))
    part: dict[str, Any] = {"name": name, "protocols": protocols, "found": found}
    part["used"] = shown_images(found) if found else None
    part["arrays"] = page_arrays(found, part["used"]) if found else None
    part["unit"] = campaign.protocols[name][0].unit
    part["positions"] = coordinate_kind(found, part["unit"]) if found else None
    part["verification"] = or_gap(f"{name}: verification of the photos", verification_summary, campaign, name)
    part["verified_by"] = command_for(campaign, campaign.file("verification", name))
    return part


def photo_data(parts: list[dict[str, Any]], folder: Path | None, out: Path, room: float) -> dict[str, Any]:
    """Build the data blocks that the page's scripts read, with the thumbnails that fit.

    Args:
        parts: the datasets' sections.
        folder: the cache of thumbnails; None for none at all.
        out: the HTML file.
        room: bytes that thumbnails may take; if infinite, the page refers to the files in `folder` instead.
    """
    blocks, left = {}, room
    shown: dict[str, dict[str, int]] = {}
    explored = [part for part in parts if part["found"]]
    for number, part in enumerate(explored):
        values, text = dict(part["arrays"]), ""
        if folder:
            index_bytes = 12 * len(part["found"].query) + 8 * len(part["used"])  # the position of each photo
            share = left / (len(explored) - number) - index_bytes
            chosen = choose_thumbnails(part["found"], folder / part["name"], share)
            shown[part["name"]] = {"queries": int(chosen.queries_Q.sum()), "of": len(chosen.queries_Q)}
            shown[part["name"]] |= {"photos": len(chosen.query) + len(chosen.database), "unreadable": chosen.unreadable}
            values["whole"] = chosen.queries_Q.astype(np.uint8)
            if room == np.inf:
                values |= thumbnail_files(chosen, part["used"], out)
            else:
                arrays, text = inline_thumbnails(chosen, part["used"])
                values |= arrays
                left -= chosen.size + index_bytes
        blocks[part["name"]] = {"arrays": encode_block(values), "photos": text}
    return {"blocks": blocks, "shown": shown}


def render_page(page: dict[str, Any]) -> str:
    """Render the page's HTML."""
    environment = page_environment()
    environment.filters |= {"number": format_number, "hours": format_hours, "anchor": html_anchor, "plain": json_value}
    environment.globals["data"] = deflate(json.dumps(chart_data(page), separators=(",", ":"), allow_nan=False).encode())
    return environment.get_template("page.html").render(page)


def chart_data(page: dict[str, Any]) -> dict[str, Any]:
    """Collect the data that the charts are drawn from."""
    datasets = {}
    for part in page["parts"]:
        datasets[part["name"]] = {
            "unit": part["unit"],
            "positions": part["positions"],
            "protocols": [{"name": protocol["name"], "charts": protocol["charts"]} for protocol in part["protocols"]],
            "radii": radius_texts(page["campaign"].protocols[part["name"]]),
        }
    looks = {"hues": HUES, "markers": MARKERS, "dashes": DASHES}
    return {"looks": looks, "datasets": datasets, "training": page["training"]}


def radius_texts(protocols: list[Protocol]) -> list[float]:
    """Return the hit radius of each protocol, in its unit."""
    return [protocol.radius for protocol in protocols]


@functools.cache
def plotly_bundle() -> dict[str, str]:
    """Return the charting library plotly.js, deflated, and its version."""
    import plotly

    source = (Path(plotly.__file__).parent / "package_data/plotly.min.js").read_text()
    version = re.search(r"plotly\.js v([\d.]+)", source[:500])
    return {"source": deflate(source.encode(), 9), "version": version[1] if version else plotly.__version__}


def format_number(value: float | None, digits: int = 1) -> str:
    """Format a number with thousands separators; None is a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def format_hours(value: float) -> str:
    """Format a duration in hours as `12 s`, `3.4 min` or `5.6 h`.

    Examples:
        >>> format_hours(0.05)
        '3.0 min'
    """
    seconds = value * 3600
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min" if seconds < 3600 else f"{value:,.1f} h"


def html_anchor(text: str) -> str:
    """Make a name usable as a part of an HTML id."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", str(text))
