"""Pictures of tables: one row's bars or waterfall, and the mean over all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xai.foreign import as_explanation
from xai.plots.many import Many, read_groups, read_many
from xai.plots.row import Floats, Row, outputs, read
from xai.plots.several import beside
from xai.plots.style import (
    NEUTRAL,
    Z95,
    attribution,
    ink,
    median_note,
    output_value,
    row_axes,
    sign_colours,
    signed,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from xai.explanation import Explanation

MOST_OUTPUTS = 10
"""Outputs whose importances are drawn beside each other: of 50 a picture was 7,160 pixels high."""


def bar(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw one row's attributions as bars, the largest on top; parameters as in `plot`.

    Where the values are sampled, each bar carries its 95 % interval: 1.96 standard errors to
    either side.

    Raises
    ------
    ValueError
        Several outputs and none is chosen, or `max_display` below 1.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> explanation = xai.explain(f, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)))
    >>> axes = bar(explanation)
    >>> [float(patch.get_width()) for patch in axes.patches]
    [-3.0, 1.0]
    """
    shown = read(explanation, row, output).largest(max_display)
    axes = row_axes(shown.labels, ax)
    _draw_bars(axes, shown, sign_colours(shown.values), signed)
    title(axes, [shown.heading, ", ".join(shown.state)])
    axes.set_xlabel("\n".join([attribution(shown.unit), *notes(shown)]), parse_math=False)
    return axes


def global_bar(
    explanation: Explanation | Mapping[str, Explanation],
    output: int | str | None = None,
    *,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw each feature's mean |attribution| over all rows; parameters as in `plot`.

    With the 95 % interval of the mean over rows. Where values are sampled, their median standard
    error is told, too: it is more than these intervals know of, since rows share samples, and
    since sizes of errors do not cancel. Several explanations by name, such as
    `xai.overview.cohorts` makes, are drawn beside each other; so are, with ``output="all"``, the
    outputs of one: of more than 10 those of the largest attributions.

    Raises
    ------
    ValueError
        No explanation, cohorts of different features, or several outputs and none is
        chosen.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> x = np.array([[1.0, 1.0], [-3.0, 0.0]])
    >>> axes = global_bar(xai.explain(f, x, "exact_shapley", data=np.zeros((1, 2))))
    >>> [float(patch.get_width()) for patch in axes.patches]
    [2.0, 1.5]
    """
    if isinstance(explanation, Mapping):
        return _cohorts(explanation, output, max_display, ax)
    if output == "all":
        return _outputs(explanation, max_display, ax)
    many = read_many(explanation, output)
    shown = mean_size(many).largest(max_display)
    axes = row_axes(shown.labels, ax)
    _draw_bars(axes, shown, [NEUTRAL] * len(shown.values), "{:.3g}".format)
    title(axes, [shown.heading, f"over {many.heading[1]}"])
    axes.set_xlabel(_size_label([shown], [many]), parse_math=False)
    return axes


def _cohorts(
    explanations: Mapping[str, Explanation],
    output: int | str | None,
    max_display: int,
    ax: Axes | None,
) -> Axes:
    """Mean sizes of several groups of rows, a series for each."""
    if not explanations:
        raise ValueError("there is nothing to draw: pass at least one explanation")
    many = read_groups([*explanations.values()], output)
    if any(one.names != many[0].names for one in many):
        raise ValueError("cohorts are compared on the same features; their names differ")
    labels = [f"{name} ({len(one)})" for name, one in zip(explanations, many, strict=True)]
    axes = _side_by_side(dict(zip(labels, many, strict=True)), max_display, ax)
    title(axes, list(dict.fromkeys(one.heading[0] for one in many)))
    return axes


def _outputs(given: Explanation, max_display: int, ax: Axes | None) -> Axes:
    """Mean sizes of several outputs, a series for each."""
    explanation = as_explanation(given)
    chosen = outputs(explanation)[0] if len(explanation) else [None]
    many = [read_many(explanation, index) for index in chosen]
    over = [f"over {many[0].heading[1]}"]
    if len(many) > MOST_OUTPUTS:
        over += [f"the {MOST_OUTPUTS} of {len(many)} outputs with the largest attributions"]
        sizes = [np.nanmean(np.abs(one.values)) for one in many]
        kept = np.sort(np.argsort(np.negative(sizes), kind="stable")[:MOST_OUTPUTS])
        many, chosen = [many[i] for i in kept], [chosen[i] for i in kept]
    names = [one.output for one in many]
    labels = [
        name if names.count(name) == 1 else f"{name} ({index})"
        for name, index in zip(names, chosen, strict=True)
    ]
    axes = _side_by_side(dict(zip(labels, many, strict=True)), max_display, ax)
    title(axes, [many[0].method, *over])
    return axes


def _side_by_side(many: Mapping[str, Many], max_display: int, ax: Axes | None) -> Axes:
    """Mean sizes of the same features, a series for each of these tables."""
    shown = {name: mean_size(one) for name, one in many.items()}
    axes = beside(shown, max_display, ax)
    axes.set_xlabel(_size_label([*shown.values()], [*many.values()]), parse_math=False)
    return axes


def _size_label(shown: Sequence[Row], many: Sequence[Many]) -> str:
    """What mean sizes are, their intervals, and how far off the single values of many rows are."""
    over = any(len(one) > 1 for one in many)
    sampled = next((one for one in shown if one.std_error is not None), shown[0])
    errors = [one.std_error.ravel() for one in many if over and one.std_error is not None]
    single = median_note(np.concatenate(errors) if errors else None)
    said = [*notes(sampled, over=over), *(f"single values: {note}" for note in single)]
    return "\n".join([f"mean |{attribution(*(one.unit for one in shown))}|", *said])


def mean_size(many: Many) -> Row:
    """The mean |value| of every player over all rows, with its standard error over rows.

    A single row, as of a data set, has its own standard error.
    """
    n, sizes = len(many), np.abs(many.values)
    errors = None if many.std_error is None else many.std_error[0]
    if n > 1:
        errors = sizes.std(axis=0, ddof=1) / np.sqrt(n)
    return Row(
        method=many.method,
        output=many.output,
        names=many.names,
        cells=[""] * len(many.names),
        values=sizes.mean(axis=0),
        std_error=errors,
        base=np.nan,
        prediction=np.nan,
        unit=many.unit,
    )


def waterfall(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw the way from the base value (below) to the prediction (above); parameters as in `plot`.

    Each step carries the 95 % interval of its own length, where the values are sampled.

    Raises
    ------
    ValueError
        Where base value and attributions do not add up to the prediction.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> explanation = xai.explain(f, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)))
    >>> [float(patch.get_x()) for patch in waterfall(explanation).patches]
    [1.0, 0.0]
    """
    shown = read(explanation, row, output).largest(max_display)
    check_additive(shown, "waterfall")
    axes = row_axes(["prediction", *shown.labels, "base value"], ax)
    _draw_steps(axes, shown)
    title(axes, [shown.heading, shown.place])
    axes.set_xlabel("\n".join([output_value(shown.unit), *notes(shown)]), parse_math=False)
    return axes


def _draw_bars(
    axes: Axes, shown: Row, colours: Sequence[str], number: Callable[[float], str]
) -> None:
    places = range(len(shown.values))
    axes.barh(places, shown.values, color=colours, height=0.7)
    _draw_whiskers(axes, shown, shown.values, places)
    axes.axvline(0, color=ink(axes), linewidth=0.8)
    _number_rows(axes, [number(value) for value in shown.values])


def _draw_whiskers(axes: Axes, shown: Row, heads: Floats, places: Sequence[int]) -> None:
    """Each value's 95 % interval, at the head of its bar."""
    if shown.std_error is not None:
        axes.errorbar(
            heads, places, xerr=Z95 * shown.std_error, fmt="none", ecolor=ink(axes),
            elinewidth=1, capsize=2,
        )  # fmt: skip


def _draw_steps(axes: Axes, shown: Row) -> None:
    ends = shown.base + np.cumsum(shown.values[::-1])[::-1]
    starts = np.append(ends[1:], shown.base)
    last = len(ends) + 1
    axes.use_sticky_edges = False
    axes.barh(
        range(1, last), shown.values, left=starts, color=sign_colours(shown.values), height=0.7
    )
    _draw_whiskers(axes, shown, ends, range(1, last))
    path = np.append(ends, shown.base)
    axes.vlines(path, np.arange(last), np.arange(1, last + 1), color=ink(axes), lw=0.8, ls=":")
    axes.plot([shown.prediction, shown.base], [0, last], "o", markersize=4, color=ink(axes))
    steps = [signed(value) for value in shown.values]
    _number_rows(axes, [f"{shown.prediction:z.4g}", *steps, f"{shown.base:z.4g}"])


def _number_rows(axes: Axes, numbers: Sequence[str]) -> None:
    """Write each row's number in a column to the right, where it meets no bar and no label."""
    for place, number in enumerate(numbers):
        axes.annotate(
            number,
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )


def check_additive(shown: Row | Many, picture: str, rows: Sequence[int] = (0,)) -> None:
    """Refuse values that do not lead from the base value to the prediction, as a picture does."""
    bases, predictions = np.atleast_1d(shown.base), np.atleast_1d(shown.prediction)
    for row in rows:
        base, prediction, values = bases[row], predictions[row], np.atleast_2d(shown.values)[row]
        total, size = base + values.sum(), abs(base) + abs(prediction) + np.abs(values).sum()
        # Wide enough for float32 sums, too narrow to see in a picture.
        if not abs(total - prediction) <= 1e-5 * size:
            raise ValueError(
                f"a {picture} needs values that add up from the base value to the prediction, and "
                f"those of {shown.method} do not: base value {base:.4g} + sum {values.sum():.4g} "
                f"is not the prediction {prediction:.4g}. Draw kind='bar' instead"
            )


def notes(shown: Row, *, over: bool = False) -> list[str]:
    """Say what the reader of the bars must know."""
    whiskers = f"whiskers: ±{Z95} standard errors{' over rows' if over else ''} (95 %)"
    left_out = f"left out, their value is NaN: {shown.undefined}"
    return [whiskers] * (shown.std_error is not None) + [left_out] * bool(shown.undefined)
