"""Pictures of reports."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.metrics.intervals import of_mean
from xai.suggest import unknown

if TYPE_CHECKING:
    from xai.metrics.report import Report


RINGS = 4
"""Of a radar, with a number each, where there are so many."""


def draw(report: Report, kind: str, ax: Any) -> Any:
    """Draw a report as "bars", "ranks" or "radar"."""
    kinds = {"bars": _bars, "ranks": _ranks, "radar": _radar}
    if kind not in kinds:
        raise ValueError(unknown("kind", kind, list(kinds)))
    if not report.metrics:
        raise ValueError("there is nothing to draw: the report has no metrics")
    return kinds[kind](report, ax)


def _bars(report: Report, ax: Any) -> Any:
    """Means and intervals, a panel for each metric; controls in grey, and hollow."""
    import matplotlib.pyplot as plt

    from xai.plots.style import NEUTRAL, inches, one_line, series_style, wrapped

    if ax is not None:
        raise ValueError('kind="bars" draws a panel for each metric, and makes its own figure')
    lines, columns = wrapped(len(report.metrics), 3)
    names = [one_line(name) for name in report.names]
    beside = max(1.6, 0.4 + 0.075 * max(map(len, names)))  # inches that the names need
    figure, axes = plt.subplots(
        lines, columns, squeeze=False, layout="constrained",
        figsize=inches(beside + 2.7 * columns, (1.0 + 0.26 * len(report.names)) * lines),
    )  # fmt: skip
    for panel in axes.flat[len(report.metrics) :]:
        panel.set_visible(False)
    for index, (panel, metric) in enumerate(zip(axes.flat, report.metrics, strict=False)):
        for place, name in enumerate(report.names):
            if (metric, name) not in report.scores:
                continue
            mean, (low, high) = report[metric, name].mean(), report.interval(metric, name)
            colour, marker = series_style(place)
            control = name in report.controls
            colour = NEUTRAL if control else colour  # grey is one of the series' colours, too
            panel.plot(mean, place, marker, color=colour, mfc="none" if control else colour)
            if not np.isnan(low):
                panel.plot([low, high], [place, place], color=colour)
        # each line of panels names the explanations once, on its left
        labels = names if index % columns == 0 else [""] * len(names)
        panel.set_yticks(range(len(labels)), labels, parse_math=False)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        title = f"{one_line(metric)}\n{report.better(metric)} is better"
        panel.set_title(title, fontsize="medium", parse_math=False)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _ranks(report: Report, ax: Any) -> Any:
    """Mean ranks as lines over the metrics, with their 95 % intervals; 1, on top, is best."""
    from xai.plots.style import legend_beside, legend_label, new_axes, one_line, series_style

    at, labels = np.arange(len(report.metrics)), [one_line(metric) for metric in report.metrics]
    width = max(4.5, 3.5 + 0.06 * max(map(len, labels)), 1.5 + 0.55 * len(labels))
    own, ax = ax is None, new_axes(ax, width)
    ranks = report.row_ranks()
    names = list(next(iter(ranks.values())))
    for place, name in enumerate(names):
        of_rows = [ranks[m].get(name, np.empty(0)) for m in report.metrics]
        mean = np.array([r.mean() if len(r) else np.nan for r in of_rows])
        ends = np.clip([of_mean(r) for r in of_rows], 1, len(names)).T
        error = np.nan_to_num(np.abs(ends - mean))  # of one row there is none
        colour, marker = series_style(place)
        step = min(0.06, 0.8 / len(names))  # intervals beside one another, nearer than metrics
        beside = at + step * (place - (len(names) - 1) / 2)
        ax.errorbar(
            beside, mean, error, label=legend_label(name), color=colour, marker=marker, capsize=2
        )
    ax.set_xticks(at, labels, rotation=30, ha="right", rotation_mode="anchor", parse_math=False)
    ax.invert_yaxis()
    ax.set_ylabel("mean rank (1 is best)")
    ax.set_xlabel("whiskers: 95 % intervals over rows")
    legend_beside(ax, own=own)
    return ax


def _radar(report: Report, ax: Any) -> Any:
    """Mean ranks on spokes, the best outside."""
    from xai.plots.style import inches, legend_beside, legend_label, one_line, series_style

    own, short = ax is None, [one_line(metric) for metric in report.metrics]
    labels = ["\n".join(textwrap.wrap(label, 24, break_long_words=False)) for label in short]
    if ax is None:
        import matplotlib.pyplot as plt

        # inches that the labels need: the layout makes no circle smaller for them
        beside = 2 * (0.3 + 0.07 * max(map(len, "\n".join(labels).split("\n"))))
        figure = plt.figure(figsize=inches(4.2 + beside, 4.2), layout="constrained")
        ax = figure.add_subplot(projection="polar")
    elif ax.name != "polar":
        raise ValueError('kind="radar" needs axes with projection="polar"')
    ranks = report.ranks()
    angles = np.linspace(0, 2 * np.pi, len(report.metrics), endpoint=False)
    names = list(next(iter(ranks.values())))
    for place, name in enumerate(names):
        reach = [len(names) + 1 - ranks[m].get(name, np.nan) for m in report.metrics]
        colour, marker = series_style(place)
        closed = [*reach, reach[0]]
        label = legend_label(name)
        ax.plot([*angles, angles[0]], closed, label=label, color=colour, marker=marker)
    ax.set_xticks(angles, labels, parse_math=False)
    ax.tick_params(axis="x", pad=1)
    for label, angle in zip(ax.get_xticklabels(), angles, strict=True):  # away from the circle
        side = np.cos(angle).round(9)
        label.set_horizontalalignment("left" if side > 0 else "right" if side < 0 else "center")
    named = np.linspace(1, len(names), min(len(names), RINGS)).round().astype(int)
    ax.set_yticks(len(names) + 1 - named, named.astype(str))
    ax.set_ylim(0, len(names))
    legend_beside(ax, own=own, clear=True)
    return ax
