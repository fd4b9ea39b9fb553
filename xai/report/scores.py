"""One self-contained page of a scored table, with the curves behind it."""

from __future__ import annotations

import io
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.report.fragment import address
from xai.report.page import write

if TYPE_CHECKING:
    from xai.metrics.report import Report

_LEGEND = (
    "Mean over rows ± one standard error; thin lines: ±1.96 of them; intervals: 95 %. "
    "↑: higher is better, ↓: lower is. In italics: controls. Click on headings to sort; rest on a "
    "number to read all of it."
)


def scores_page(report: Report, path: str | PathLike[str], *, title: str = "Scores") -> Path:
    """Write a report of metrics as one self-contained HTML page: a table that sorts, and curves.

    Parameters
    ----------
    report
        What `xai.metrics.evaluate` or `xai.compare` returned.
    path
        The file to write.
    title
        Stands on top.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError
        `report` is none.

    Examples
    --------
    >>> import numpy as np, tempfile, xai
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> x = np.random.default_rng(0).normal(size=(8, 2))
    >>> report = xai.compare(f, x, ["occlusion"], ["deletion"], data=np.zeros((1, 2)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scores_page(report, f"{folder}/scores.html").name
    'scores.html'
    """
    if not hasattr(report, "scores"):
        raise TypeError(
            f"expected a Report, as xai.metrics.evaluate returns, not {type(report).__name__}; "
            "xai.report.page is for explanations"
        )
    lines = [_jsonable(report.line(metric, name)) for metric, name in report.scores]
    having = dict.fromkeys(m for (m, _), score in report.scores.items() if score.curve is not None)
    pictures = "".join(_curves(report, metric) for metric in having)
    body = (
        f'<h1>{escape(title)}</h1><p>{_LEGEND}</p><div id="scores" class="wide"></div>'
        f'<div class="cards pictures">{pictures}</div>'
    )
    return write(path, title, body, "scores.js", {"lines": lines})


def _jsonable(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the table with null for NaN, and infinite numbers, which JSON lacks, in words."""
    plain = {key: one.item() if isinstance(one, np.generic) else one for key, one in line.items()}
    return {key: _finite(one) if isinstance(one, float) else one for key, one in plain.items()}


def _finite(number: float) -> float | str | None:
    if np.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"  # as JavaScript reads and writes them
    return None if np.isnan(number) else number


def _curves(report: Report, metric: str) -> str:
    """The curves of one metric, as a picture."""
    from matplotlib.figure import Figure

    from xai.plots.several import curves

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    curves(report, metric, ax=figure.add_subplot())
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    source = address("image/png", file.getvalue())
    return f'<img alt="curves of {escape(metric)}" src="{source}">'
