"""Several methods beside each other, whatever they explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xai.plots.side_by_side import maps, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation


def compare(
    explanations: Mapping[str, Explanation] | Sequence[Explanation],
    rows: int | Sequence[int] = 0,
    output: int | str | None = None,
    **options: Any,
) -> Figure | Axes:
    """Draw several methods' attributions."""
    found = named(explanations)
    lines = [rows] if isinstance(rows, int) else list(rows)
    return maps(found, lines, output, **options)
