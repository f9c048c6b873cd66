"""The report: parts made from files, put into one HTML file by templates."""

import functools
import json
import logging
import platform
import re
import time
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

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
from vprlib.report.thumbnails import choose_thumbnails, inline_thumbnails, thumbnail_files

log = logging.getLogger(__name__)


HERE = Path(__file__).parent
STYLES = ("base.css", "parts.css")
SCRIPTS = ("base.js", "table.js", "charts.js", "answers.js", "explorer.js", "detail.js", "map.js", "main.js")
ANSWERS_SHARE = 0.55  # of the page's bytes, that answers may take before they are deflated
ANSWER_BYTES = TOP * (4 + 4) + 3 + 4  # of one query by one network, at most: `page_arrays`, with `right`


def build_page(
    out, campaign: Artifacts, *, images: str = "inline", megabytes: float = 30, complete: bool = True
) -> int:
    """Write the page; returns its bytes.

    Args:
        out: the HTML file.
        campaign: what was asked; what is missing of it becomes a labelled gap.
        images: `inline`: thumbnails in the page; `folder`: all of them in the folder `thumbnails` beside it.
        megabytes: that the page may take.
        complete: whether the page is of all that was asked; or else of what was there.
    """
    out = Path(out)
    parts = [dataset_section(campaign, name, megabytes * 1e6) for name in campaign.protocols]
    page = {"campaign": campaign, "parts": parts, "complete": complete, "files": files, "config": campaign.config}
    page |= {
        "ks_rows": comparison_table(campaign),
        "runs": run_rows(campaign),
        "training": training_charts(campaign),
    }
    parts_taken = read_usage(campaign)
    page |= {
        "sources": or_gap("provenance", evaluation_sources, campaign) or [],
        "machines": machine_lines(parts_taken),
    }
    page["stages"] = stage_rows(parts_taken)
    page |= {"total": total_row(page["stages"]) if page["stages"] else None, "stages_how": HOW}
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


def dataset_section(campaign: Artifacts, name: str, budget: float) -> dict:
    """What the page says of one dataset; its answers as arrays."""
    protocols = []
    for number, protocol in enumerate(campaign.protocols[name]):
        protocols.append({
            "number": number,
            "name": protocol.name,
            "reach": protocol.reach,
            "setting": measured_on(campaign, name, protocol.name),
            "charts": or_gap(f"{name}: charts", dataset_charts, campaign, name, protocol.name) or {},
            "differences": usable_difference_rows(campaign, name, protocol.name),
            "conditions": or_gap(f"{name}: conditions", condition_table, campaign, name, protocol.name) or {},
        })  # fmt: skip
    queries = max(
        (table.queries.max() for (dataset, _), table in campaign.evaluated.items() if dataset == name), default=1
    )
    most = int(budget * ANSWERS_SHARE / len(campaign.protocols) / (int(queries) * ANSWER_BYTES))
    found = or_gap(f"{name}: answers to look at", collect_query_results, campaign, name, max(1, most))
    part = {"name": name, "protocols": protocols, "found": found, "used": shown_images(found) if found else None}
    part["arrays"] = page_arrays(found, part["used"]) if found else None
    part["unit"] = campaign.protocols[name][0].unit
    part["positions"] = coordinate_kind(found, part["unit"]) if found else None
    part["verification"] = or_gap(f"{name}: verification of the photos", verification_summary, campaign, name)
    part["verified_by"] = command_for(campaign, campaign.results / name / "verification.json")
    return part


def photo_data(parts: list, folder: Path | None, out: Path, room: float) -> dict:
    """The data that the page's scripts read, with the thumbnails that fit into `room`; none without a folder."""
    blocks, shown, left = {}, {}, room
    waiting = [part for part in parts if part["found"]]
    for number, part in enumerate(waiting):
        values, text = dict(part["arrays"]), ""
        if folder:
            beside = 12 * len(part["found"].query) + 8 * len(part["used"])  # where each photo is
            share = left / (len(waiting) - number) - beside
            chosen = choose_thumbnails(part["found"], folder / part["name"], share)
            shown[part["name"]] = {"queries": int(chosen.queries_Q.sum()), "of": len(chosen.queries_Q)}
            shown[part["name"]] |= {"photos": len(chosen.query) + len(chosen.database), "unreadable": chosen.unreadable}
            values["whole"] = chosen.queries_Q.astype(np.uint8)
            if room == np.inf:
                values |= thumbnail_files(chosen, part["used"], out)
            else:
                arrays, text = inline_thumbnails(chosen, part["used"])
                values |= arrays
                left -= chosen.size + beside
        blocks[part["name"]] = {"arrays": encode_block(values), "photos": text}
    return {"blocks": blocks, "shown": shown}


def render_page(page: dict) -> str:
    """The HTML of a page."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": format_number, "hours": format_hours, "anchor": html_anchor, "plain": json_value}
    environment.globals["data"] = deflate(json.dumps(chart_data(page), separators=(",", ":"), allow_nan=False).encode())
    return environment.get_template("page.html").render(page)


def chart_data(page: dict) -> dict:
    """What the charts are drawn from."""
    datasets = {}
    for part in page["parts"]:
        charted = [{"name": one["name"], "charts": one["charts"]} for one in part["protocols"]]
        own = {name: part[name] for name in ("unit", "positions")}
        datasets[part["name"]] = own | {
            "protocols": charted,
            "radii": radius_texts(page["campaign"].protocols[part["name"]]),
        }
    looks = {"hues": HUES, "markers": MARKERS, "dashes": DASHES}
    return {"looks": looks, "datasets": datasets, "training": page["training"]}


def radius_texts(protocols: list[Protocol]) -> list:
    return [protocol.radius for protocol in protocols]


def read_static(names) -> str:
    """The files of a kind as one text; the scripts share one scope, in this order."""
    return "\n".join((HERE / "static" / name).read_text() for name in names)


@functools.cache
def plotly_bundle() -> dict:
    """The charting library, deflated, and its version."""
    import plotly

    source = (Path(plotly.__file__).parent / "package_data/plotly.min.js").read_text()
    version = re.search(r"plotly\.js v([\d.]+)", source[:500])
    return {"source": deflate(source.encode(), 9), "version": version[1] if version else plotly.__version__}


def format_number(value, digits: int = 1) -> str:
    """A number for people; a dash for none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def format_hours(value: float) -> str:
    """A duration in hours, for people: `12 s`, `3.4 min`, `5.6 h`."""
    seconds = value * 3600
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min" if seconds < 3600 else f"{value:,.1f} h"


def html_anchor(text: str) -> str:
    """A name as a part of an id."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", str(text))
