"""Several methods beside each other, whatever they explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.inputs import is_whole
from xai.plots.choose import is_picture
from xai.plots.row import rows_of
from xai.plots.several import methods
from xai.plots.side_by_side import maps, named, signals
from xai.plots.signal import is_series
from xai.suggest import unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation


def compare(
    explanations: Mapping[str, Explanation] | Sequence[Explanation],
    rows: int | Sequence[int] = 0,
    output: int | str | None = None,
    *,
    shared: bool | None = None,
    **options: Any,
) -> Figure | Axes:
    """Draw several methods' attributions of the same rows on one scale.

    One that explains another output than the title's is named after it.

    Parameters
    ----------
    explanations
        Of the same rows, by name; a list is named by its methods.
    rows
        Which row; of images, also several: a line for each.
    output
        As in `plot`.
    shared
        Whether the scale is of the attributions themselves. If not, it is of each method's own
        units: of its largest values. None: of the attributions for tables, of their own units
        for images and series, where methods measure different things.
    options
        `max_display` and `ax` for tables, `percentile`, `signed` and `channel_axis` for images,
        `percentile` and `time_axis` for series, as in `plot`.

    Returns
    -------
    matplotlib Figure for images: the photograph, and a map for each method; for series: a picture
    for each, below each other; Axes for tables

    Raises
    ------
    ValueError
        No explanation, or explanations of other rows, features or shapes; several rows of a
        table.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> x, zeros = np.ones((1, 2)), np.zeros((1, 2))
    >>> found = [xai.explain(f, x, name, data=zeros) for name in ("shapley", "occlusion")]
    >>> [text.get_text() for text in compare(found).get_legend().get_texts()]
    ['shapley', 'occlusion']
    """
    found = named(explanations)
    images, series = (all(map(kind, found.values())) for kind in (is_picture, is_series))
    draw: Any = maps if images else signals if series else methods
    known = [p.name for p in signature(draw).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise TypeError(unknown("option of compare", name, [*known, "output", "rows"]))
    if images:
        lines = rows_of(np.atleast_1d(rows), len(next(iter(found.values()))))
        return maps(found, lines, output, shared=bool(shared), **options)
    if not is_whole(rows):
        raise ValueError("tables and series are compared one row at a time: pass rows=an index")
    if series:
        return signals(found, rows, output, shared=bool(shared), **options)
    return methods(found, rows, output, shared=shared is not False, **options)
