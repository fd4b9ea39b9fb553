"""The site: `make docs` builds it into docs/_build/html."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import catalogue  # noqa: E402 # beside this file

import xai  # noqa: E402

project = "xai"
version = release = xai.__version__
copyright = "the xai authors"  # noqa: A001 # Sphinx's name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "generated/methods.md", "generated/metrics.md"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 2
suppress_warnings = ["myst.header"]  # generated pages nest headings in what includes them

autodoc_typehints = "none"  # docstrings say kinds and shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]  # listed as parameters are
smartquotes_action = "De"  # dashes and dots; quotes are code's
default_role = "ours"
nitpicky = True

html_theme = "furo"
html_title = "xai"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = html_copy_source = html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "native"


def ours(role: str, raw: str, text: str, line: int, inliner: Any, *_: Any) -> tuple[list[Any], Any]:
    """`name` in a docstring: a link where it is a public name of ours, code elsewhere."""
    code = nodes.literal(raw, text)
    target = PLACES.get(text.split("(")[0])
    if target is None:
        return [code], []
    link = addnodes.pending_xref(
        raw, code, refdomain="py", reftype="obj", reftarget=target, refexplicit=True
    )
    return [link], []


def plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text but for their backticks: |a| and *x mean what they say."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``|`.*?`)", line)
            parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
            lines[i] = "".join(parts)
    if what in ("attribute", "property"):
        OWN_WORDS[name] = lines[:]


def undo(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Napoleon takes what stands before a property's first colon for its type; it is a sentence."""
    lines[:] = OWN_WORDS.pop(name, lines)


OWN_WORDS: dict[str, list[str]] = {}
PLACES = catalogue.places()


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_role("ours", ours)
    app.connect("autodoc-process-docstring", plain, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", undo, priority=900)  # after it
    app.connect("builder-inited", lambda app: catalogue.write(HERE / "generated"))
