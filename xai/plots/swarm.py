"""A dot for each row: the beeswarm of all features, and one feature's values and attributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xai.plots.many import Many, read_many
from xai.plots.row import Floats
from xai.plots.style import (
    LINE,
    NEUTRAL,
    Z95,
    amounts,
    attribution,
    category_ticks,
    ink,
    legend_beside,
    legend_label,
    new_axes,
    row_axes,
    series_style,
    title,
    two_lines,
    value_bar,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xai.explanation import Explanation

REACH = 0.38
"""How far dots leave the middle of their line, in lines."""
KINDS = 12
"""So many categories of a feature are told apart by colours and markers of dots."""


def beeswarm(
    explanation: Explanation,
    output: int | str | None = None,
    *,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw every row's attributions as dots, a line per feature; parameters as in `plot`.

    Colours tell the feature's value, from the 5th to the 95th percentile of its column; what is
    no number is grey. Where values are sampled, a faint line through each dot is its 95 %
    interval.

    Raises
    ------
    ValueError
        Rows have different players, or several outputs and none is chosen.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> x = np.array([[1.0, 1.0], [-3.0, 0.0]])
    >>> axes = beeswarm(xai.explain(f, x, "exact_shapley", data=np.zeros((1, 2))))
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['feature 0', 'feature 1']
    """
    shown = read_many(explanation, output).largest(max_display)
    axes = row_axes(shown.names, ax)
    axes.axvline(0, color=ink(axes), linewidth=0.8, zorder=0)
    finite = shown.values[np.isfinite(shown.values)]
    span = float(np.ptp(finite)) if len(finite) else 0.0
    size = 16 if len(shown) < 300 else 9
    for place in range(len(shown.names)):
        known = np.isfinite(shown.values[:, place])
        x = shown.values[known, place]
        y = place + spread(x, span or 1.0)
        if shown.std_error is not None:
            reach = Z95 * shown.std_error[known, place]
            axes.hlines(y, x - reach, x + reach, color=ink(axes), alpha=0.3, lw=0.7, zorder=1)
        drawn = axes.scatter(
            x, y, size, _coloured(shown, place)[known], cmap=amounts(), vmin=0, vmax=1,
            plotnonfinite=True, linewidths=0, zorder=2,
        )  # fmt: skip
    if np.isfinite(shown.data).any():
        grey = "; grey: categories" if any(shown.categories) else ""
        value_bar(axes, drawn, "times in the text" if shown.of_words else f"feature value{grey}")
    title(axes, shown.heading)
    axes.set_xlabel("\n".join([attribution(shown.unit), *line_notes(shown)]), parse_math=False)
    return axes


def spread(x: Floats, span: float) -> Floats:
    """How far each dot leaves its line, so that dots of like values lie beside each other."""
    bins = np.round(100 * (x - np.min(x, initial=0)) / span).astype(int)
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], bins[order])
    layer = np.empty(len(x), int)
    layer[order] = np.arange(len(x)) - starts
    side = (layer + 1) // 2 * np.where(layer % 2, 1, -1)
    return np.asarray(side * min(0.09, REACH / max(1, np.abs(side).max(initial=0))))


def _coloured(shown: Many, player: int) -> Floats:
    """A column's values from 0, low, to 1, high; NaN where it holds no numbers."""
    column = shown.data[:, player]
    if shown.categories[player] or not np.isfinite(column).any():
        return np.full(len(column), np.nan)
    low, high = _bounds(column)
    return np.asarray(np.clip((column - low) / ((high - low) or 1.0), 0, 1))


def _bounds(column: Floats) -> tuple[float, float]:
    """Where the colours end: the 5th and 95th percentile, or all there is where these are equal."""
    finite = column[np.isfinite(column)]
    low, high = np.percentile(finite, [5, 95])
    return (low, high) if low < high else (finite.min(), finite.max())


def _ends(column: Floats) -> tuple[str, str]:
    """What the ends of the colours stand for, in numbers."""
    if not np.isfinite(column).any():
        return "low", "high"
    (low, high), least, most = _bounds(column), np.nanmin(column), np.nanmax(column)
    left, right = "≤ " if least < low else "", "≥ " if most > high else ""
    return f"{left}{low:.4g}", f"{right}{high:.4g}"


def line_notes(shown: Many) -> list[str]:
    """Say what the faint lines are."""
    return [] if shown.std_error is None else [f"lines: ±{Z95} standard errors (95 %)"]


def scatter(
    explanation: Explanation,
    feature: int | str,
    output: int | str | None = None,
    *,
    color: int | str | None = "auto",
    ax: Axes | None = None,
) -> Axes:
    """Draw one feature's attributions over its values, coloured by a feature it interacts with.

    Rows whose number is missing have no place; the label counts them.

    Parameters
    ----------
    explanation
        Ours or shap's.
    feature
        Name or index.
    output, ax
        As in `plot`.
    color
        The feature that colours the dots, by its values, or by its categories, of which at most 12
        are told apart; "auto": the one of largest mean |interaction| where the
        explanation has `interactions`, else the one whose values best explain what is left at
        like values of `feature` (as shap chooses); None: none.

    Raises
    ------
    ValueError
        There is no such feature, or it is not one column of a table, or has no value there; or
        `color` has too many categories.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, 0] * x[:, 1]
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> e = xai.explain(f, x, "exact_shapley", data=np.zeros((1, 3)))
    >>> axes = scatter(e, 0)
    >>> axes.figure.axes[1].get_ylabel()
    'feature 1'
    """
    many = read_many(explanation, output)
    player = many.player(feature)
    column, kinds = many.column(player)
    if np.isnan(column).all():
        raise ValueError(
            f"{many.names[player]!r} is not one column of a table, or one that is missing in every "
            "row: nothing to draw"
        )
    other = partner(many, player) if color == "auto" else color
    axes, y = new_axes(ax), many.values[:, player]
    axes.axhline(0, color=ink(axes), linewidth=0.8, zorder=0)
    x = column + _jitter(column) if kinds else column
    if many.std_error is not None:
        reach = Z95 * many.std_error[:, player]
        axes.vlines(x, y - reach, y + reach, color=ink(axes), alpha=0.3, lw=0.7, zorder=1)
    by = None if other is None else many.player(other)
    if by is None:
        axes.scatter(x, y, 18, NEUTRAL, linewidths=0, zorder=2)
    elif many.categories[by]:
        _kinds(axes, x, y, many, by)
        legend_beside(axes, own=ax is None)
    else:
        drawn = axes.scatter(
            x, y, 18, _coloured(many, by), cmap=amounts(), vmin=0, vmax=1, plotnonfinite=True,
            linewidths=0, zorder=2,
        )  # fmt: skip
        value_bar(axes, drawn, many.names[by], _ends(many.data[:, by]))
    _histogram(axes, column, len(kinds))
    if kinds:
        category_ticks(axes, kinds)
    if player in many.days:
        axes.xaxis_date()
    title(axes, many.heading)
    absent = int((~np.isfinite(column)).sum())
    gone = [f"without a value, not drawn: {absent} of {len(many)} rows"] if absent else []
    axes.set_xlabel("\n".join([two_lines(many.names[player]), *gone]), parse_math=False)
    told = [attribution(many.unit, line=LINE), *line_notes(many)]
    axes.set_ylabel("\n".join(told), parse_math=False)
    return axes


def _kinds(axes: Axes, x: Floats, y: Floats, many: Many, by: int) -> None:
    """Dots in the colour and with the marker of their category of another feature."""
    kinds = many.categories[by]
    if len(kinds) > KINDS:
        raise ValueError(
            f"color={many.names[by]!r} has {len(kinds)} categories, and at most {KINDS} are told "
            "apart: pass another feature, or color=None"
        )
    for code, kind in enumerate(kinds):
        here, (colour, marker) = many.data[:, by] == code, series_style(code)
        label = legend_label(f"{many.names[by]} = {kind}")
        axes.scatter(
            x[here], y[here], 18, colour, marker=marker, linewidths=0, zorder=2, label=label
        )


def _histogram(axes: Axes, column: Floats, categories: int) -> None:
    """How many rows have which value, along the bottom."""
    known = column[np.isfinite(column)]
    edges = np.arange(categories + 1) - 0.5 if categories else _edges(known)
    counts, _ = np.histogram(known, edges)
    axes.bar(
        edges[:-1], 0.2 * counts / max(1, counts.max()), np.diff(edges), align="edge",
        transform=axes.get_xaxis_transform(), color=NEUTRAL, alpha=0.2, zorder=-1,
    )  # fmt: skip


def _edges(known: Floats) -> Floats:
    """Of 5 to 30 bins, or so few as numbers as large as times in nanoseconds can tell apart."""
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    edges = np.unique(np.linspace(low, high, 1 + min(30, max(5, len(known) // 8))))
    half = max(0.5, 1e-3 * abs(low))
    return edges if len(edges) > 1 else np.array([low - half, low + half])


def _jitter(column: Floats) -> Floats:
    """Up to a fifth to either side, the same for the same rows."""
    golden = (np.sqrt(5) - 1) / 2
    return np.asarray(((np.arange(len(column)) * golden) % 1 - 0.5) * 0.4)


def partner(many: Many, player: int) -> int | None:
    """The player that interacts most with this one; None where no other can colour its dots."""
    if many.interactions is not None:
        size = np.abs(many.interactions[:, player]).mean(axis=0)
        size[[len(kinds) > KINDS for kinds in many.categories]] = -1
        size[player] = -1
        return int(np.argmax(size)) if size.max() >= 0 else None
    others = [
        j
        for j in range(len(many.names))
        if j != player and not many.categories[j] and _varies(many.data[:, j])
    ]
    return max(others, key=lambda j: _interaction(many, player, j), default=None)


def _varies(column: Floats) -> bool:
    known = column[np.isfinite(column)]
    return len(known) > 0 and bool(np.ptp(known) > 0)


def _interaction(many: Many, player: int, other: int) -> float:
    """Correlation of attributions with the other's values among rows alike in this feature.

    Summed |covariance|/|std| over stretches of the sorted rows, as shap approximates it.
    """
    known = np.isfinite(many.data[:, [player, other]]).all(axis=1)
    order = np.flatnonzero(known)[np.argsort(many.data[known, player], kind="stable")]
    total = 0.0
    for part in np.array_split(order, max(1, len(order) // max(min(len(order) // 10, 50), 1))):
        a, b = many.values[part, player], many.data[part, other]
        if len(part) > 1 and a.std() > 0 and b.std() > 0:
            total += abs(float(np.corrcoef(a, b)[0, 1])) * len(part)
    return total
