"""Configuration of Sphinx. `make docs` builds the site, offline, and takes every warning for an error."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402
import notebook  # noqa: E402

from vprlib import __version__  # noqa: E402

project = "vprlib"
author = "The vprlib authors"
copyright = author
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # so that links to headings are checked
exclude_patterns = ["_build"]
nitpicky = True
source_suffix = {".md": "markdown", ".ipynb": "markdown"}

html_theme = "furo"
html_title = f"vprlib {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "tango"


def setup(app):
    """Generate the pages of the reference from the code before Sphinx looks for pages."""
    app.connect("builder-inited", lambda app: generate.write(Path(app.srcdir) / "reference/generated"))
    app.connect("source-read", read_notebook)


def read_notebook(app, name, source):
    """Turn a notebook into Markdown when Sphinx reads it as a page."""
    if str(app.env.doc2path(name)).endswith(".ipynb"):
        source[0] = notebook.to_markdown(source[0])
