"""One self-contained interactive page of explanations.

Small scripts of our own draw it: plotly.js is 4.8 MB by itself, vega-lite with vega 0.9 MB and a
package of 88 MB to inline it; ours are 20 kB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai.foreign import as_explanation
from xai.plots.style import NEGATIVE, POSITIVE
from xai.report.fragment import TABLE, in_base64, recipe_of
from xai.report.payload import payload

if TYPE_CHECKING:
    from xai.explanation import Explanation

_LEGEND = (
    "Red raises the output that is explained, blue lowers it. ±: one standard error of the "
    "sampling, where the values are sampled; thin lines: 95 % intervals. Click on headings to "
    "sort, on rows and features to see them; rest on a number to read all of it."
)

_BODY = """<nav><span id="step"><button type="button" id="back">previous</button>
<button type="button" id="next">next</button></span><b id="name"></b><span id="state"></span>
<label id="outputs">output <select id="output"></select></label>
<span id="sight"><label>opacity <input type="range" id="opacity" min="0" max="1" step="0.01"
value="1"></label> <label><input type="checkbox" id="grey" checked> grey photograph</label></span>
</nav>
<div class="beside"><section id="row" class="grey"></section>
<section id="all"><h2>Rows</h2><div id="rows" class="scroll"></div></section></div>
<section id="global"><h2>Features, over these rows</h2><div class="halves">
<div id="features" class="scroll"></div><div><b id="feature"></b>: attribution over value
<select id="method"></select><canvas id="scatter"></canvas></div></div></section>
<div id="tip" hidden></div>"""


def page(
    explanations: Mapping[str, Explanation],
    path: str | PathLike[str],
    *,
    title: str = "Explanations",
    row_names: Sequence[Any] | None = None,
    output: int | str | None = None,
    words: Sequence[Sequence[str]] | None = None,
) -> Path:
    """Write one self-contained HTML page: rows to choose from, methods side by side.

    Tables sort, numbers tell all their digits to a resting pointer, features show their
    attributions over their values; images have an opacity slider. Nothing is loaded.

    Parameters
    ----------
    explanations
        Explanations of the same rows, by the names to show.
    path
        The file to write.
    title
        Stands on top.
    row_names
        What to call the rows; None: by their number.
    output
        As in `xai.plots.plot`; None: all that were explained, to choose from.
    words
        Of token ids: a word for each player of each row; one that is empty is not shown.

    Returns
    -------
    Path
        The file. It holds as many of the first rows as keep it under 6 MB; what is left out is
        said on it.

    Raises
    ------
    ValueError
        No explanation, explanations of other rows or features, tables beside images, or
        another number of `row_names` or `words` than rows or players.

    Examples
    --------
    >>> import numpy as np, tempfile, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> methods = ["exact_shapley", "occlusion"]
    >>> x, zeros = np.ones((1, 2)), np.zeros((1, 2))
    >>> found = {name: xai.explain(f, x, name, data=zeros) for name in methods}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page(found, f"{folder}/index.html").name
    'index.html'
    """
    if not isinstance(explanations, Mapping):
        raise TypeError(
            "explanations must be a dict from names to Explanations; a page of one is "
            "explanation.to_html(path)"
        )
    found = {name: as_explanation(one) for name, one in explanations.items()}
    count = _common_rows(found)
    given = [f"row {row}" for row in range(count)] if row_names is None else row_names
    names = [str(name) for name in given]  # numbers and dates of an index, too
    if len(names) != count:
        raise ValueError(f"row_names has {len(names)} names for {count} rows")
    data = payload(found, names, output, words) | {"positive": POSITIVE, "negative": NEGATIVE}
    shown = len(data["rows"])
    hidden = f"<p>The first {shown} of {count} rows.</p>" if shown < count else ""
    recipes = "".join(
        f"<li><b>{escape(name)}</b>: {escape(recipe_of(one))}</li>" for name, one in found.items()
    )
    body = f"<h1>{escape(title)}</h1><p>{_LEGEND}</p>{hidden}{_BODY}<h2>How</h2><ul>{recipes}</ul>"
    return write(path, title, body, "page.js", data)


def write(
    path: str | PathLike[str], title: str, body: str, name: str, data: dict[str, Any]
) -> Path:
    """Write a page that may run this one script of ours, by its name, and load nothing."""
    script = _source("common.js") + _source(name)
    # "<" cannot end the element early, and JSON.parse reads it back.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    digest = in_base64(hashlib.sha256(script.encode()).digest())
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    file = Path(path)
    file.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f'<style>{TABLE}{_source("page.css")}</style></head><body class="xai-explanation">'
        "<noscript><p>This page draws itself with its own script: allow scripts to see it. It "
        f"loads nothing from the network.</p></noscript>{body}"
        f'<script type="application/json" id="data">{text}</script>'
        f"<script>{script}</script></body></html>",
        encoding="utf-8",
        newline="\n",
    )
    return file


def _source(name: str) -> str:
    return files("xai.report").joinpath(name).read_text(encoding="utf-8")


def _common_rows(explanations: Mapping[str, Explanation]) -> int:
    counts = {name: len(explanation) for name, explanation in explanations.items()}
    if not counts:
        raise ValueError("there is nothing to show: pass at least one explanation")
    if len(set(counts.values())) > 1:
        raise ValueError(f"one page shows the same rows for every method; they differ: {counts}")
    if 0 in counts.values():
        raise ValueError("the explanations have no rows: there is nothing to show")
    return next(iter(counts.values()))
