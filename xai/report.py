"""Explanations as HTML: a fragment for notebooks, and one self-contained page.

Whatever comes from the user (names, labels, values) is escaped, and nothing is loaded from the
network: the page forbids it to itself.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xai.plots.choose import is_picture
from xai.plots.png import png
from xai.plots.row import Floats, Row, outputs, per_row, read
from xai.plots.style import NEGATIVE, POSITIVE, signed

if TYPE_CHECKING:
    from xai.explanation import Explanation

MOST_ROWS = 50
"""Explained rows on one page."""
MOST_FEATURES = 50
"""Features in one table of a page."""

_LEGEND = (
    "Red raises the output that is explained, blue lowers it. ±: one standard error of the "
    "sampling, where the values are sampled."
)

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_TABLE = """
.xai-explanation table{border-collapse:collapse;font-size:13px;margin:.4em 0 1em;color:inherit}
.xai-explanation caption{text-align:left;font-weight:600;padding:.2em 0;color:inherit}
.xai-explanation th,.xai-explanation td{padding:.15em .7em .15em 0;font-weight:400;
text-align:left;white-space:nowrap;border:0;border-top:1px solid rgba(128,128,128,.35)}
.xai-explanation tbody th{white-space:normal;overflow-wrap:anywhere;min-width:9em;
max-width:28em}
.xai-explanation td{font-variant-numeric:tabular-nums}
.xai-explanation small{opacity:.75}
.xai-explanation .track{display:block;position:relative;width:12em;height:7px;margin-bottom:2px;
background:linear-gradient(currentColor,currentColor) 50%/1px 100% no-repeat}
.xai-explanation .track span{position:absolute;top:0;height:100%}
.xai-explanation img{max-width:100%;height:auto}
.xai-explanation>img{width:24em;margin-right:1em}
"""

_PAGE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:1.5em auto;padding:0 1.5em;max-width:110em;
color:#1c1e21;background:#fff}
h1{font-size:1.5em}h2{font-size:1.15em;margin:1.2em 0 .4em}
nav:not([hidden]){display:flex;flex-wrap:wrap;gap:.6em;align-items:center;position:sticky;top:0;
padding:.6em 0;background:inherit;border-bottom:1px solid rgba(128,128,128,.35);z-index:1}
button,select{font:inherit;color:inherit;background:transparent;border-radius:4px;
border:1px solid rgba(128,128,128,.6);padding:.15em .6em;max-width:100%}
select option{color:#1c1e21;background:#fff}
button{cursor:pointer}
thead button{border:0;padding:.2em 0;font-weight:600}
thead th[aria-sort=descending] button::after{content:" \\25BC"}
thead th[aria-sort=ascending] button::after{content:" \\25B2"}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(22em,100%),1fr));gap:1em}
figure{margin:0;padding:.6em;border:1px solid rgba(128,128,128,.35);border-radius:6px}
figcaption{font-weight:600;padding-bottom:.4em}
figure img{display:block;margin:auto}
section{overflow-x:auto}
@media (prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181c}}
"""

# Without scripts the page shows all rows below each other.
_SCRIPT = """
const rows = [...document.querySelectorAll('section')], nav = document.querySelector('nav');
const pick = nav.querySelector('select'), [back, next] = nav.querySelectorAll('button');
function show(row) {
  const shown = (row + rows.length) % rows.length;
  pick.value = shown;
  rows.forEach((section, place) => { section.hidden = place !== shown; });
}
pick.onchange = () => show(Number(pick.value));
back.onclick = () => show(Number(pick.value) - 1);
next.onclick = () => show(Number(pick.value) + 1);
nav.hidden = rows.length < 2;
show(0);

function compare(a, b, sign) {
  const x = a === '' ? NaN : Number(a), y = b === '' ? NaN : Number(b);
  if (isNaN(x) && isNaN(y)) return sign * a.localeCompare(b);
  if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
  return sign * (x - y);
}
for (const button of document.querySelectorAll('thead button')) button.onclick = () => {
  const head = button.parentNode, column = head.cellIndex, before = head.getAttribute('aria-sort');
  const rising = before ? before === 'descending' : column === 0;
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', rising ? 'ascending' : 'descending');
  const body = head.closest('table').tBodies[0], key = (row) => row.cells[column].dataset.v;
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b), rising ? 1 : -1)));
};
"""


def fragment(explanation: Explanation, max_tables: int = 3, max_display: int = 8) -> str:
    """Write the first rows' largest attributions as HTML that a notebook shows.

    Parameters
    ----------
    explanation
        What `xai.explain` returned.
    max_tables
        So many tables (one per row and output) or pictures; how many are left out is said.
    max_display
        So many features in a table; the others are summed.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> explanation = xai.explain(f, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)))
    >>> "feature 1 = 1" in fragment(explanation)
    True
    """
    pairs = [
        (row, output) for row, choices in enumerate(outputs(explanation)) for output in choices
    ]
    parts = [_block(explanation, *pair, max_display) for pair in pairs[:max_tables]]
    hidden = len(pairs) - len(parts)
    note = (
        f"<p>{hidden} more not shown: choose with explanation[i] or plot(row=…, output=…).</p>"
        if hidden
        else ""
    )
    return (
        f'<div class="xai-explanation"><style>{_TABLE}</style>'
        f"<p>{escape(_recipe(explanation))}</p>{''.join(parts)}{note}</div>"
    )


def page(
    explanations: Mapping[str, Explanation],
    path: str | PathLike[str],
    *,
    title: str = "Explanations",
    row_names: Sequence[str] | None = None,
    output: int | str | None = None,
) -> Path:
    """Write one self-contained HTML page: rows to choose from, methods side by side.

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
        As in `xai.plots.plot`.

    Returns
    -------
    Path
        The file. It holds at most the first 50 rows, and 50 features in a table; what is left
        out is said on it.

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
    count = _common_rows(explanations)
    names = [f"row {row}" for row in range(count)] if row_names is None else list(row_names)
    if len(names) != count:
        raise ValueError(f"row_names has {len(names)} names for {count} rows")
    shown = range(min(count, MOST_ROWS))
    choices = "".join(f'<option value="{row}">{escape(names[row])}</option>' for row in shown)
    hidden = f"<p>The first {MOST_ROWS} of {count} rows.</p>" if count > MOST_ROWS else ""
    sections = "".join(_section(explanations, row, output, names[row]) for row in shown)
    recipes = "".join(
        f"<li><b>{escape(name)}</b>: {escape(_recipe(explanation))}</li>"
        for name, explanation in explanations.items()
    )
    file = Path(path)
    file.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f'<style>{_TABLE}{_PAGE}</style></head><body class="xai-explanation">'
        f"<h1>{escape(title)}</h1><nav hidden><label>Row <select>{choices}</select></label>"
        f'<button type="button">previous</button><button type="button">next</button></nav>'
        f"<p>{_LEGEND}</p>{hidden}{sections}<h2>How</h2><ul>{recipes}</ul><script>{_SCRIPT}</script></body></html>",
        encoding="utf-8",
    )
    return file


def _common_rows(explanations: Mapping[str, Explanation]) -> int:
    counts = {name: len(explanation) for name, explanation in explanations.items()}
    if not counts:
        raise ValueError("there is nothing to show: pass at least one explanation")
    if len(set(counts.values())) > 1:
        raise ValueError(f"one page shows the same rows for every method; they differ: {counts}")
    return next(iter(counts.values()))


def _recipe(explanation: Explanation) -> str:
    """Say how the explanation was made and what it cost."""
    rows = f"{len(explanation)} row{'s' * (len(explanation) > 1)}"
    ran = f" (ran: {explanation.ran})" if explanation.ran else ""
    return (
        f"method {explanation.method}, {rows}, {explanation.evaluations:,} model rows each, "
        f"removal {explanation.removal}, behavior {explanation.behavior}, "
        f"summary {explanation.summary}{ran}, seed {explanation.seed}"
    )


def _block(explanation: Explanation, row: int, output: int | None, max_display: int) -> str:
    """Write one row and output of a fragment: its picture, or its largest attributions."""
    if is_picture(explanation):
        return _picture(explanation, row, output)
    found = read(explanation, row, output)
    shown = found.largest(max_display)
    which = [f"row {row}"] if per_row(explanation) else []
    caption = ", ".join([*which, shown.heading, *shown.state])
    body = "".join(
        f"<tr><th>{escape(label)}</th>{_cell(value, error, _size(shown))}</tr>"
        for label, value, error in zip(shown.labels, shown.values, _errors(shown), strict=True)
    )
    undefined = (
        f"<p>Left out, their value is NaN: {shown.undefined}.</p>" if shown.undefined else ""
    )
    return f"<table><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>{undefined}"


def _section(
    explanations: Mapping[str, Explanation], row: int, output: int | str | None, name: str
) -> str:
    """Write everything about one row: a card per method, and the table of all of them."""
    cards = "".join(
        f"<figure><figcaption>{escape(method)}</figcaption>"
        f"{_picture(explanation, row, output)}</figure>"
        for method, explanation in explanations.items()
    )
    rows = {
        method: read(explanation, row, output)
        for method, explanation in explanations.items()
        if not is_picture(explanation)
    }
    table = _comparison(rows) if rows else ""
    return f'<section><h2>{escape(name)}</h2><div class="cards">{cards}</div>{table}</section>'


def _picture(explanation: Explanation, row: int, output: int | str | None) -> str:
    """Draw one row and embed the picture."""
    code = base64.b64encode(png(explanation, width=5.4, row=row, output=output)).decode("ascii")
    alt = escape(f"{read(explanation, row, output).heading}, row {row}")
    return f'<img alt="{alt}" src="data:image/png;base64,{code}">'


def _comparison(rows: Mapping[str, Row]) -> str:
    """Write a sortable table of features × methods."""
    first = next(iter(rows.values()))
    if any(row.names != first.names for row in rows.values()):
        raise ValueError("one page compares the same features: write a page for each set of them")
    order = np.argsort(-np.nan_to_num(np.abs(first.values), nan=-1.0), kind="stable")
    heads = ["feature", "value", *rows]
    head = "".join(f'<th><button type="button">{escape(text)}</button></th>' for text in heads)
    body = "".join(_feature(rows, first, int(player)) for player in order[:MOST_FEATURES])
    hidden = len(order) - MOST_FEATURES
    note = f"<p>{hidden} features with smaller values are left out.</p>" if hidden > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _feature(rows: Mapping[str, Row], first: Row, player: int) -> str:
    cells = "".join(
        _cell(float(row.values[player]), float(_errors(row)[player]), _size(row))
        for row in rows.values()
    )
    name, value = escape(first.names[player]), escape(first.cells[player])
    return f'<tr><th data-v="{name}">{name}</th><td data-v="{value}">{value}</td>{cells}</tr>'


def _errors(row: Row) -> Floats:
    """Standard errors, NaN where there are none to show."""
    return np.full(len(row.values), np.nan) if row.std_error is None else row.std_error


def _size(row: Row) -> float:
    """The largest |value|, which fills the bars."""
    return float(np.nanmax(np.abs(row.values), initial=0.0))


def _cell(value: float, error: float, size: float) -> str:
    """Write a number, its standard error and its bar around the middle."""
    width = 50 * abs(value) / size if size and not np.isnan(value) else 0.0
    left = 50 - width if value < 0 else 50.0
    colour = NEGATIVE if value < 0 else POSITIVE
    text = signed(value) + ("" if np.isnan(error) else f" <small>± {error:.2g}</small>")
    return (
        f'<td data-v="{value}">{text}<span class="track"><span style="left:{left:.2f}%;'
        f'width:{width:.2f}%;background:{colour}"></span></span></td>'
    )
