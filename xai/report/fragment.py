"""The small form of an explanation: a fragment of HTML that a notebook shows."""

from __future__ import annotations

import base64
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from xai.foreign import as_explanation
from xai.plots.choose import is_drawn
from xai.plots.png import png
from xai.plots.row import outputs, per_row, read
from xai.plots.style import NEGATIVE, POSITIVE, signed

if TYPE_CHECKING:
    from xai.explanation import Explanation

TABLE = """
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
"""Style of tables, here and on pages."""


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
    explanation = as_explanation(explanation)
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
        f'<div class="xai-explanation"><style>{TABLE}</style>'
        f"<p>{escape(recipe_of(explanation))}</p>{''.join(parts)}{note}</div>"
    )


def recipe_of(explanation: Explanation) -> str:
    """Say how the explanation was made and what it cost."""
    rows = f"{len(explanation)} row{'s' * (len(explanation) > 1)}"
    ran = f" (ran: {explanation.ran})" if explanation.ran else ""
    return (
        f"method {explanation.method}, {rows}, {explanation.evaluations:,} model rows each, "
        f"removal {explanation.removal}, behavior {explanation.behavior}, "
        f"summary {explanation.summary}{ran}, seed {explanation.seed}"
    )


def in_base64(content: bytes) -> str:
    """Bytes as a page holds them."""
    return base64.b64encode(content).decode("ascii")


def address(kind: str, content: bytes) -> str:
    """Where a page has a file of this kind: in the address itself."""
    return f"data:{kind};base64,{in_base64(content)}"


def _block(explanation: Explanation, row: int, output: int | None, max_display: int) -> str:
    """Write one row and output of a fragment: its picture, or its largest attributions."""
    if is_drawn(explanation):
        return _picture(explanation, row, output)
    shown = read(explanation, row, output).largest(max_display)
    which = [f"row {row}"] if per_row(explanation) else []
    caption = ", ".join([*which, shown.heading, replace(shown, place="").ends])
    errors = np.full(len(shown.values), np.nan) if shown.std_error is None else shown.std_error
    size = float(np.nanmax(np.abs(shown.values), initial=0.0))  # fills the bars
    body = "".join(
        f"<tr><th>{escape(label)}</th>{_cell(value, error, size)}</tr>"
        for label, value, error in zip(shown.labels, shown.values, errors, strict=True)
    )
    undefined = (
        f"<p>Left out, their value is NaN: {shown.undefined}.</p>" if shown.undefined else ""
    )
    return f"<table><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>{undefined}"


def _picture(explanation: Explanation, row: int, output: int | str | None) -> str:
    """Draw one row and embed the picture."""
    source = address("image/png", png(explanation, width=5.4, row=row, output=output))
    alt = escape(f"{read(explanation, row, output).heading}, row {row}")
    return f'<img alt="{alt}" src="{source}">'


def _cell(value: float, error: float, size: float) -> str:
    """Write a number, its standard error and its bar around the middle."""
    width = 50 * abs(value) / size if size and not np.isnan(value) else 0.0
    left = 50 - width if value < 0 else 50.0
    colour = NEGATIVE if value < 0 else POSITIVE
    text = signed(value) + ("" if np.isnan(error) else f" <small>± {error:.2g}</small>")
    exact = f"{value:.7g}" + ("" if np.isnan(error) else f" ± {error:.3g}")
    return (
        f'<td title="{exact}">{text}<span class="track"><span style="left:{left:.2f}%;'
        f'width:{width:.2f}%;background:{colour}"></span></span></td>'
    )
