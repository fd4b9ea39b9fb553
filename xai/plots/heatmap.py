"""All rows and features at once, as a matrix of colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xai.plots.many import Many, read_many
from xai.plots.picture import limit
from xai.plots.row import rows_of
from xai.plots.style import (
    LINE,
    NEUTRAL,
    Z95,
    attribution,
    diverging,
    ink,
    median_note,
    new_axes,
    title,
    two_lines,
)
from xai.plots.table import mean_size
from xai.suggest import unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xai.explanation import Explanation

OPTIMAL = 500
"""So many rows are put in the best order of their tree of clusters; more in any of its orders."""
CLUSTERED = 4000
"""Most rows of the tree, whose distances are all against all."""


def heatmap(
    explanation: Explanation,
    output: int | str | None = None,
    *,
    order: Literal["clusters", "prediction"] | Sequence[int] | None = "clusters",
    max_display: int = 10,
    percentile: float = 99.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a column for each row explained and a line for each feature, coloured by attribution.

    Above stand the predictions, to the right each feature's mean |attribution| with the 95 %
    interval of the mean over rows. Where values are sampled, the colour bar tells their median
    standard error.

    Parameters
    ----------
    explanation, output, max_display, percentile, ax
        As in `plot`; an explanation of ours or of shap's.
    order
        Of the columns: "clusters" puts rows beside each other that were explained alike, as shap
        does (of more than 4,000, so many are clustered, and the others stand beside the one most
        like them); "prediction" sorts them by it; None keeps theirs; or a list of rows.

    Raises
    ------
    ValueError
        An unknown order, rows of different players, or several outputs and none is chosen.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> x = np.array([[1.0, 1.0], [-3.0, 0.0], [1.0, 1.5]])
    >>> axes = heatmap(xai.explain(f, x, "exact_shapley", data=np.zeros((1, 2))))
    >>> axes.images[0].get_array().shape
    (2, 3)
    """
    many = read_many(explanation, output)
    shown = many.largest(max_display)
    rows = _order(many, order)
    count = len(shown.names)
    labels = [two_lines(name) for name in shown.names]
    axes = new_axes(
        ax, 8.0, 2.2 + (0.42 if any("\n" in label for label in labels) else 0.32) * count
    )
    matrix = shown.values[rows].T
    high = limit([matrix], percentile)
    drawn = axes.imshow(
        matrix, aspect="auto", cmap=diverging(), vmin=-high, vmax=high, interpolation="nearest"
    )
    axes.set_yticks(range(count), labels, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left"]].set_visible(False)
    kind = {"clusters": "alike beside each other", "prediction": "sorted by prediction"}
    axes.set_xlabel("rows" + (f", {kind[order]}" if isinstance(order, str) else ""))
    _above(axes, many, rows)
    _beside(axes, shown)
    clipped = bool((np.abs(matrix) > high).any())
    figure = axes.figure.figure
    bar = figure.colorbar(drawn, ax=axes, extend="both" if clipped else "neither", aspect=30)
    told = [attribution(many.unit, line=LINE), *median_note(many.std_error)]
    bar.set_label("\n".join(told), parse_math=False)
    return axes


def _order(many: Many, order: str | Sequence[int] | None) -> NDArray[np.intp]:
    if order is None:
        return np.arange(len(many))
    if not isinstance(order, str):
        return np.array(rows_of(order, len(many), "order"), np.intp)
    if order not in ("clusters", "prediction"):
        raise ValueError(unknown("order", order, ["clusters", "prediction"]))
    if order == "prediction" or len(many) < 3:
        return np.argsort(many.prediction, kind="stable")
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist

    values = np.nan_to_num(many.values)
    count = min(len(many), CLUSTERED)
    some = values[np.arange(count) * len(many) // count]  # evenly among all
    apart = pdist(some)  # a square matrix would be warned of, as one of these
    tree = linkage(apart, "average", optimal_ordering=count <= OPTIMAL)
    leaves = np.asarray(leaves_list(tree), np.intp)
    if count == len(many):
        return leaves
    from sklearn.metrics import pairwise_distances_argmin

    return np.argsort(np.argsort(leaves)[pairwise_distances_argmin(values, some)], kind="stable")


def _above(axes: Axes, many: Many, rows: NDArray[np.intp]) -> None:
    """The predictions of the columns."""
    line = axes.inset_axes((0, 1.02, 1, 0.18), sharex=axes)
    line.plot(np.arange(len(rows)), many.prediction[rows], color=ink(axes), linewidth=1)
    if not np.isnan(many.base).any():
        line.axhline(float(many.base.mean()), color=NEUTRAL, linewidth=0.8, linestyle=":")
    line.set_ylabel("prediction", rotation=0, ha="right", va="center")
    line.tick_params(labelbottom=False, length=0, labelsize="x-small")
    line.spines[["top", "right", "bottom"]].set_visible(False)
    line.yaxis.tick_right()
    line.spines["left"].set_visible(False)
    title(line, many.heading, width=70)


def _beside(axes: Axes, shown: Many) -> None:
    """The mean size of the lines, and its interval."""
    bars = axes.inset_axes((1.01, 0, 0.1, 1), sharey=axes)
    sizes = mean_size(shown)
    size = np.nan_to_num(sizes.values)
    error = np.zeros_like(size) if sizes.std_error is None else sizes.std_error
    reach = Z95 * np.nan_to_num(error)
    bars.barh(
        np.arange(len(size)), size, xerr=reach, color=NEUTRAL, ecolor=ink(axes), height=0.7,
        error_kw={"elinewidth": 0.8},
    )  # fmt: skip
    bars.set_xlim(0, float((size + reach).max()) or 1.0)
    bars.tick_params(labelleft=False, labelbottom=False, length=0)
    bars.spines[:].set_visible(False)
    bars.set_xlabel("mean |…|", fontsize="small")
