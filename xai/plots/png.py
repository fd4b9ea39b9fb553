"""Pictures as PNG files, drawn beside pyplot: no window, no figure that stays open."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from xai.plots.choose import plot
from xai.plots.style import fit_figure

if TYPE_CHECKING:
    from xai.explanation import Explanation


def png(
    explanation: Explanation, kind: str | None = None, *, width: float = 7.0, **options: Any
) -> bytes:
    """Draw what `plot` draws, as the content of a PNG file; a table's bars `width` inches wide."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    plot(explanation, kind, ax=axes, **options)
    if axes.images:
        figure.set_layout_engine("compressed")
    else:
        fit_figure(axes, width)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
    return file.getvalue()
