"""Interactions of two features, as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xai.foreign import as_explanation
from xai.plots.many import read_many
from xai.plots.picture import limit
from xai.plots.row import check_count, read
from xai.plots.style import (
    LINE,
    diverging,
    greys,
    in_lines,
    ink,
    median_note,
    new_axes,
    title,
    two_lines,
)
from xai.summary.base import PAIR_ERRORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xai.explanation import Explanation

WRITTEN = 12
"""Most features whose numbers are written into the cells."""


def interactions(
    explanation: Explanation,
    row: int | None = None,
    output: int | str | None = None,
    *,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much each two features are worth together, beyond what each is worth alone.

    The features are those that interact most; what each is worth alone is written on the diagonal.
    Cells are as ``explanation.interactions`` holds them: of "k-SII", shap's, (i, j) and (j, i) are
    halves.

    Parameters
    ----------
    explanation
        Of `order=2`, ours or shap's.
    row
        Which row, with its signs; None: the mean size over all rows, or the one row there is.
    output, max_display, ax
        As in `plot`.

    Raises
    ------
    ValueError
        The explanation has no interactions, several outputs and none is chosen, or `max_display`
        is below 1.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, 0] * x[:, 1]
    >>> x = np.array([[1.0, 3.0]])
    >>> e = xai.explain(f, x, "exact_shapley", data=np.zeros((1, 2)), order=2)
    >>> [text.get_text() for text in interactions(e).texts]
    ['+0', '+1.5', '+1.5', '+0']
    """
    given = as_explanation(explanation)
    if given.interactions is None:
        raise ValueError(
            "the explanation has no interactions: ask for them, as explain(model, x, order=2)"
        )
    check_count(max_display)
    single = row is not None or len(given) == 1
    one = read(given, row or 0, output) if single else None
    many = read_many(given if one is None else given[[row or 0]], output)
    assert many.interactions is not None
    found = many.interactions[0] if single else np.abs(many.interactions).mean(axis=0)
    apart = found.copy()
    np.fill_diagonal(apart, np.nan)
    sizes = np.nan_to_num(np.abs(apart)).sum(axis=0)
    order = np.argsort(-sizes, kind="stable")[:max_display]
    shown, count = apart[np.ix_(order, order)], len(order)
    side = 2.6 + 0.48 * count
    axes = new_axes(ax, side + 1.2, side)
    high = limit([shown], 100)
    low, colours = (-high, diverging()) if single else (0.0, greys())
    drawn = axes.imshow(shown, cmap=colours, vmin=low, vmax=high)
    names = [two_lines(many.names[j]) for j in order]
    axes.set_xticks(range(count), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(count), names, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    sign = "+" if single else ""
    for (i, j), value in np.ndenumerate(found[np.ix_(order, order)]):
        if count <= WRITTEN or i == j:
            number, colour = f"{value:{sign}.2g}", ink(axes)
            axes.text(j, i, number, ha="center", va="center", fontsize="x-small", color=colour)
    what = "interaction" if single else "mean |interaction|"
    what = in_lines(what + f" ({many.unit})" * bool(many.unit), LINE)
    bar = axes.figure.figure.colorbar(drawn, ax=axes, shrink=0.8)
    told = median_note(given.info.get(PAIR_ERRORS))
    bar.set_label("\n".join([what, *told]), parse_math=False)
    some = f"the {count} of {len(found)} that interact most"
    heading = many.heading if one is None else [one.heading, *one.told]
    title(axes, heading if count == len(found) else [*heading, some])
    return axes
