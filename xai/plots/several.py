"""Several methods, cohorts or scores in one picture, each with a colour and marker of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.plots.row import Floats, Row, check_count, read, rows_of
from xai.plots.style import (
    NEUTRAL,
    Z95,
    attribution,
    inches,
    ink,
    legend_beside,
    legend_label,
    new_axes,
    row_axes,
    series_style,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xai.explanation import Explanation
    from xai.metrics.report import Report
    from xai.metrics.score import Score

RANDOM = "random"
"""Name of a report's control, which is drawn in grey."""


def beside(rows: Mapping[str, Row], max_display: int, ax: Axes | None) -> Axes:
    """Draw rows of the same players beside each other, a series of dots with 95 % intervals each.

    A line for each of the `max_display` players that are largest in any of them.
    """
    check_count(max_display)
    count, first = len(rows), next(iter(rows.values()))
    sizes = np.max([np.nan_to_num(np.abs(one.values)) for one in rows.values()], axis=0)
    kept = np.argsort(-sizes, kind="stable")[:max_display]
    axes = row_axes([first.labels[j] for j in kept], ax)
    if ax is None:
        height = 1.6 + len(kept) * max(0.32, 0.14 * count)
        axes.figure.figure.set_size_inches(inches(8.5, height))
    step = 0.7 / max(count, 2)
    for place, (name, one) in enumerate(rows.items()):
        values, y = one.values[kept], np.arange(len(kept)) + step * (place - (count - 1) / 2)
        colour, marker = series_style(place)
        axes.errorbar(
            values, y, xerr=None if one.std_error is None else Z95 * one.std_error[kept],
            fmt=marker, color=colour, markersize=5, elinewidth=1, capsize=2,
            label=legend_label(name),
        )  # fmt: skip
        axes.hlines(y, 0, values, color=colour, linewidth=1.5, alpha=0.35)
    axes.axvline(0, color=ink(axes), linewidth=0.8)
    for line in range(1, len(kept)):
        axes.axhline(line - 0.5, color=ink(axes), linewidth=0.3, alpha=0.3)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def methods(
    explanations: Mapping[str, Explanation],
    row: int = 0,
    output: int | str | None = None,
    *,
    shared: bool = True,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw one row's attributions by several methods; see `xai.plots.compare`."""
    found = {name: read(one, row, output) for name, one in explanations.items()}
    first = next(iter(found.values()))
    if any(one.names != first.names for one in found.values()):
        raise ValueError("methods are compared on the same features; their names differ")
    if not shared:
        found = {name: _relative(one) for name, one in found.items()}
    axes = beside({one.titled(name, first): one for name, one in found.items()}, max_display, ax)
    title(axes, [first.output, ", ".join(first.told)], width=60)
    unit = attribution(*(one.unit for one in found.values()) if shared else [])
    unit += " / each method's largest" * (not shared)
    whiskers = any(one.std_error is not None for one in found.values())
    notes = [f"whiskers: ±{Z95} standard errors (95 %)"] if whiskers else []
    left_out = max(0, len(first.names) - max_display)
    notes += [f"{left_out} features of smaller attributions are left out"] if left_out else []
    axes.set_xlabel("\n".join([unit, *notes]), parse_math=False)
    return axes


def _relative(row: Row) -> Row:
    """Values in units of the largest."""
    unit = float(np.nanmax(np.abs(row.values), initial=0.0)) or 1.0
    errors = None if row.std_error is None else row.std_error / unit
    return replace(row, values=np.asarray(row.values / unit), std_error=errors)


def curves(
    scores: Score | Report | Mapping[str, Score],
    metric: str | None = None,
    *,
    rows: Sequence[int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean curves of scores, with their 95 % intervals over rows.

    Parameters
    ----------
    scores
        A `Score` with a curve, several by name, or a `Report` and the name of a metric in it: of
        its controls only the random one is drawn.
    metric
        Of a report: which one; None: the first that has curves.
    rows
        The mean over these rows only.
    ax
        As in `plot`.

    Raises
    ------
    ValueError
        No score, or one without a curve.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> score = xai.metrics.deletion(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline")
    >>> curves(score).lines[0].get_ydata().tolist()
    [4.0, 1.0, 0.0]
    """
    from xai.metrics.intervals import of_mean

    found = _scores(scores, metric)
    axes = new_axes(ax, 5.0, 3.8)
    over, value = _axes_of([score.name for score in found.values()])
    longest, shown = 0, []
    for place, (name, score) in enumerate(found.items()):
        if score.curve is None:
            raise ValueError(f"the score of {name!r}, {score.name}, has no curve")
        curve = np.asarray(score.curve[rows_of(rows, len(score))], float)
        curve = _over_all_steps(curve)
        mean = curve.mean(axis=0)
        # steps are counted from the first: there is none before it
        share = np.linspace(0, 100, len(mean)) if "%" in over else np.arange(1.0, len(mean) + 1)
        colour, marker = series_style(place)
        colour = NEUTRAL if name == RANDOM else colour
        auc = f" ({score.mean():.3g})" if rows is None else ""
        axes.plot(
            share, mean, color=colour, marker=marker, markersize=4,
            linestyle="--" if name == RANDOM else "-",
            markevery=max(1, len(mean) // 8), label=legend_label(name + auc),
        )  # fmt: skip
        if len(curve) > 1:
            low, high = np.transpose([of_mean(values) for values in curve.T])
            axes.fill_between(share, low, high, color=colour, alpha=0.18, lw=0)
            shown += [curve.min(), curve.max()]
        longest = max(longest, len(curve))
    if ax is None and np.ptp(shown or 0.0) > 0:  # bands of two rows would leave the lines no room
        beyond = 0.05 * np.ptp(shown)
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, min(shown) - beyond), min(top, max(shown) + beyond))
    heads = [f"{score.name}: {score.better} is better" for score in found.values()]
    title(axes, list(dict.fromkeys(heads)), width=60)
    band = ["bands: 95 % intervals over rows"] if longest > 1 else []
    axes.set_xlabel("\n".join([over, *band]))
    axes.set_ylabel(value)
    if "%" not in over:
        axes.locator_params("x", integer=True)
    legend_beside(axes, own=ax is None)
    return axes


def _axes_of(metrics: Sequence[str]) -> tuple[str, str]:
    """What these metrics' curves run over, and what they are of."""
    from xai.metrics.registry import RECORDS, Record

    known = {record.name: record.axes for record in RECORDS}
    over, value = zip(*(known.get(metric, Record.axes) for metric in metrics), strict=True)
    return " or ".join(dict.fromkeys(over)), " or ".join(dict.fromkeys(value))


def _over_all_steps(curve: Floats) -> Floats:
    """Curves (n, K + 1), of rows with fewer steps over all of them, as their areas are taken.

    Rows without a curve are left out.
    """
    at, found = np.linspace(0, 1, curve.shape[1]), []
    for row in curve:
        known = row[~np.isnan(row)]
        if len(known):
            found.append(np.interp(at, np.linspace(0, 1, len(known)), known))
    return np.stack(found or [curve[0]])


def _scores(given: Any, metric: str | None) -> dict[str, Score]:
    """Scores by name, of one metric."""
    if hasattr(given, "metrics"):  # a report
        having = [m for (m, _), score in given.scores.items() if score.curve is not None]
        if metric is None and not having:
            raise ValueError(f"no metric of this report has curves: {', '.join(given.metrics)}")
        chosen = having[0] if metric is None else metric
        left_out = set(given.controls) - {RANDOM}
        found = {
            name: s for (m, name), s in given.scores.items() if m == chosen and name not in left_out
        }
        return found or {chosen: given[chosen, given.names[0]]}
    found = dict(given) if isinstance(given, Mapping) else {given.name: given}
    if not found:
        raise ValueError("there is nothing to draw: pass at least one score")
    return found
