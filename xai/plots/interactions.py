"""Interactions of two features, as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xai.foreign import as_explanation
from xai.plots.many import places_of, read_many
from xai.plots.picture import limit
from xai.plots.row import check_count, chosen, known, read
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
    from numpy.typing import NDArray

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
        The explanation has no interactions, several outputs and none is chosen, or several texts
        and no row; or `max_display` is below 1.

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
    one = read(given, row or 0, output) if row is not None or len(given) == 1 else None
    if one is not None:
        given = given[[row or 0]]
        names, heading = one.names, [one.heading, *one.told]
        if given.is_text:
            names = given.names_of(0)[: len(names)]
    elif given.is_text:
        raise ValueError("the words of several texts differ: draw the interactions of one, by row=")
    else:
        many = read_many(given, output)
        names, heading = many.names, many.heading
    places, _ = places_of(given, output)
    assert given.interactions is not None
    of_rows = chosen(given.interactions, places)[:, : len(names), : len(names)]
    found = np.abs(of_rows).mean(axis=0) if one is None else of_rows[0]
    apart = found.copy()
    np.fill_diagonal(apart, np.nan)
    sizes = np.nan_to_num(np.abs(apart)).sum(axis=0)
    order = np.argsort(-sizes, kind="stable")[:max_display]
    shown, count = apart[np.ix_(order, order)], len(order)
    side = 2.6 + 0.48 * count
    axes = new_axes(ax, side + 1.2, side)
    high = limit([shown], 100)
    low, colours = (0.0, greys()) if one is None else (-high, diverging())
    drawn = axes.imshow(shown, cmap=colours, vmin=low, vmax=high)
    labels = [two_lines(names[j]) for j in order]
    axes.set_xticks(range(count), labels, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(count), labels, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    sign = "" if one is None else "+"
    for (i, j), value in np.ndenumerate(found[np.ix_(order, order)]):
        if count <= WRITTEN or i == j:
            number, colour = f"{value:{sign}.2g}", ink(axes)
            axes.text(j, i, number, ha="center", va="center", fontsize="x-small", color=colour)
    what = "mean |interaction|" if one is None else "interaction"
    what = in_lines(what + f" ({given.unit})" * bool(given.unit), LINE)
    bar = axes.figure.figure.colorbar(drawn, ax=axes, shrink=0.8)
    bar.set_label("\n".join([what, *_error(given, places, len(names))]), parse_math=False)
    some = f"the {count} of {len(found)} that interact most"
    title(axes, heading if count == len(found) else [*heading, some])
    return axes


def _error(given: Explanation, places: NDArray[np.intp] | None, d: int) -> list[str]:
    """How far off what is drawn may be: of these rows and this output, and of pairs alone."""
    errors = given.info.get(PAIR_ERRORS)
    if errors is None:
        return []
    errors = known(chosen(errors, places)[:, :d, :d][:, ~np.eye(d, dtype=bool)])
    return median_note(errors if np.any(errors) else None)
