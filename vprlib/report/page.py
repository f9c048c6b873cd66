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

from vprlib.data.dataset import Protocol
from vprlib.figures.marks import DASHES, HUES, MARKERS
from vprlib.io import files
from vprlib.report import charts
from vprlib.report import cost as stages
from vprlib.report import page_tables as tables
from vprlib.report import provenance as sources
from vprlib.report import query_results as answers
from vprlib.report import thumbnails as photos
from vprlib.report.artifacts import Campaign
from vprlib.report.encoding import block, deflated, plain

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
STYLES = ("base.css", "parts.css")
SCRIPTS = ("base.js", "table.js", "charts.js", "answers.js", "explorer.js", "detail.js", "map.js", "main.js")
ANSWERS_SHARE = 0.55  # of the page's bytes, that answers may take before they are deflated
ANSWER_BYTES = answers.TOP * (4 + 4) + 3 + 4  # of one query by one network, at most: `answers.arrays`, with `right`


def build(out, campaign: Campaign, *, images: str = "inline", megabytes: float = 30, complete: bool = True) -> int:
    """Write the page; returns its bytes.

    Args:
        out: the HTML file.
        campaign: what was asked; what is missing of it becomes a labelled gap.
        images: `inline`: thumbnails in the page; `folder`: all of them in the folder `thumbnails` beside it.
        megabytes: that the page may take.
        complete: whether the page is of all that was asked; or else of what was there.
    """
    out = Path(out)
    parts = [dataset_part(campaign, name, megabytes * 1e6) for name in campaign.protocols]
    page = {"campaign": campaign, "parts": parts, "complete": complete, "files": files, "config": campaign.config}
    page |= {
        "ks_rows": tables.comparison(campaign),
        "runs": tables.runs(campaign),
        "training": charts.training(campaign),
    }
    parts_taken = stages.taken(campaign)
    page |= {
        "sources": tables.safely("provenance", sources.sources, campaign) or [],
        "machines": stages.machines(parts_taken),
    }
    page["stages"] = stages.stages(parts_taken)
    page |= {"total": stages.total(page["stages"]) if page["stages"] else None, "stages_how": stages.HOW}
    page |= {"written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "provenance": files.provenance()}
    page |= {"asked": json.dumps(campaign.asked, indent=2), "python": platform.python_version(), "images": images}
    page["command"] = sources.command(campaign, out if complete else "preview")
    page |= {"styles": static(STYLES), "scripts": static(SCRIPTS), "plotly": plotly()}
    text = render(page | pictures(parts, None, out, 0))
    room = np.inf if images == "folder" else max(0, megabytes * 1e6 - len(text.encode()))
    text = render(page | pictures(parts, out.parent / "thumbnails", out, room))
    files.write_bytes(out, text.encode())
    log.info("%s: %s", out, files.amount(len(text.encode())))
    return len(text.encode())


def dataset_part(campaign: Campaign, name: str, budget: float) -> dict:
    """What the page says of one dataset; its answers as arrays."""
    protocols = []
    for number, protocol in enumerate(campaign.protocols[name]):
        protocols.append({
            "number": number,
            "name": protocol.name,
            "reach": protocol.reach,
            "setting": tables.setting(campaign, name, protocol.name),
            "charts": tables.safely(f"{name}: charts", charts.of_dataset, campaign, name, protocol.name) or {},
            "differences": tables.compared(campaign, name, protocol.name),
            "conditions": tables.safely(f"{name}: conditions", tables.conditions, campaign, name, protocol.name) or {},
        })  # fmt: skip
    queries = max(
        (table.queries.max() for (dataset, _), table in campaign.evaluated.items() if dataset == name), default=1
    )
    most = int(budget * ANSWERS_SHARE / len(campaign.protocols) / (int(queries) * ANSWER_BYTES))
    found = tables.safely(f"{name}: answers to look at", answers.explored, campaign, name, max(1, most))
    part = {"name": name, "protocols": protocols, "found": found, "used": answers.used(found) if found else None}
    part["arrays"] = answers.arrays(found, part["used"]) if found else None
    part["unit"] = campaign.protocols[name][0].unit
    part["positions"] = answers.positions(found, part["unit"]) if found else None
    part["verification"] = tables.safely(f"{name}: verification of the photos", tables.verification, campaign, name)
    part["verified_by"] = sources.command(campaign, campaign.results / name / "verification.json")
    return part


def pictures(parts: list, folder: Path | None, out: Path, room: float) -> dict:
    """The data that the page's scripts read, with the thumbnails that fit into `room`; none without a folder."""
    blocks, shown, left = {}, {}, room
    waiting = [part for part in parts if part["found"]]
    for number, part in enumerate(waiting):
        values, text = dict(part["arrays"]), ""
        if folder:
            beside = 12 * len(part["found"].query) + 8 * len(part["used"])  # where each photo is
            share = left / (len(waiting) - number) - beside
            chosen = photos.choose(part["found"], folder / part["name"], share)
            shown[part["name"]] = {"queries": int(chosen.queries_Q.sum()), "of": len(chosen.queries_Q)}
            shown[part["name"]] |= {"photos": len(chosen.query) + len(chosen.database), "unreadable": chosen.unreadable}
            values["whole"] = chosen.queries_Q.astype(np.uint8)
            if room == np.inf:
                values |= photos.beside(chosen, part["used"], out)
            else:
                arrays, text = photos.inlined(chosen, part["used"])
                values |= arrays
                left -= chosen.size + beside
        blocks[part["name"]] = {"arrays": block(values), "photos": text}
    return {"blocks": blocks, "shown": shown}


def render(page: dict) -> str:
    """The HTML of a page."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "hours": hours, "anchor": anchor, "plain": plain}
    environment.globals["data"] = deflated(json.dumps(data(page), separators=(",", ":"), allow_nan=False).encode())
    return environment.get_template("page.html").render(page)


def data(page: dict) -> dict:
    """What the charts are drawn from."""
    datasets = {}
    for part in page["parts"]:
        charted = [{"name": one["name"], "charts": one["charts"]} for one in part["protocols"]]
        own = {name: part[name] for name in ("unit", "positions")}
        datasets[part["name"]] = own | {"protocols": charted, "radii": radii(page["campaign"].protocols[part["name"]])}
    looks = {"hues": HUES, "markers": MARKERS, "dashes": DASHES}
    return {"looks": looks, "datasets": datasets, "training": page["training"]}


def radii(protocols: list[Protocol]) -> list:
    return [protocol.radius for protocol in protocols]


def static(names) -> str:
    """The files of a kind as one text; the scripts share one scope, in this order."""
    return "\n".join((HERE / "static" / name).read_text() for name in names)


@functools.cache
def plotly() -> dict:
    """The charting library, deflated, and its version."""
    import plotly

    source = (Path(plotly.__file__).parent / "package_data/plotly.min.js").read_text()
    version = re.search(r"plotly\.js v([\d.]+)", source[:500])
    return {"source": deflated(source.encode(), 9), "version": version[1] if version else plotly.__version__}


def number(value, digits: int = 1) -> str:
    """A number for people; a dash for none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def hours(value: float) -> str:
    """A duration in hours, for people: `12 s`, `3.4 min`, `5.6 h`."""
    seconds = value * 3600
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min" if seconds < 3600 else f"{value:,.1f} h"


def anchor(text: str) -> str:
    """A name as a part of an id."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", str(text))
