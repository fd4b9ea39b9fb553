"""Ways from the base value to the prediction: of many rows as lines, of one row as a bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.plots.many import read_many
from xai.plots.row import Row, read, rows_of
from xai.plots.style import (
    NEGATIVE,
    POSITIVE,
    Z95,
    amounts,
    ink,
    new_axes,
    one_line,
    output_value,
    row_axes,
    title,
)
from xai.plots.swarm import line_notes
from xai.plots.table import check_additive, notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    from xai.explanation import Explanation


def decision(
    explanation: Explanation,
    rows: Sequence[int] | None = None,
    output: int | str | None = None,
    *,
    highlight: Sequence[int] | NDArray[Any] | None = None,
    max_display: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw each row's way from the base value, below, to its prediction, above, as a line.

    Features are in the order of their mean |attribution|; lines are coloured by where they end.
    Where values are sampled, a faint line through the end of each step is the 95 % interval of
    its own length. Rows to `highlight`, a list or a mask of all, such as misclassified ones, are
    bold and dashed.

    Raises
    ------
    ValueError
        Where base values and attributions do not add up to the predictions.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> e = xai.explain(f, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)))
    >>> decision(e).lines[-1].get_xdata().tolist()
    [0.0, 1.0, -2.0]
    """
    from matplotlib.colors import Normalize

    many = read_many(explanation, output)
    chosen = rows_of(rows, len(many))
    marked = np.zeros(len(many), bool)
    asked = np.asarray([] if highlight is None else highlight)
    if asked.dtype == bool and asked.shape == marked.shape:
        marked = asked
    elif asked.size:
        marked[rows_of(asked, len(many), "highlight")] = True
    check_additive(many, "decision plot", chosen)
    shown = many.largest(max_display)
    axes = row_axes(shown.names, ax)
    count = len(shown.names)
    ends = many.prediction[chosen]
    scale = Normalize(ends.min(), ends.max() if np.ptp(ends) else ends.max() + 1)
    axes.axvline(float(many.base[chosen].mean()), color=ink(axes), linewidth=0.8, zorder=0)
    colours = []
    by_end = [chosen[at] for at in np.argsort(ends, kind="stable")]
    steps = np.column_stack([shown.base[by_end], shown.values[by_end, ::-1]])
    ways = steps.cumsum(axis=1)
    for row, way in zip(by_end, ways, strict=True):
        colour = amounts()(scale(many.prediction[row])) if len(chosen) > 1 else ink(axes)
        form, width = ("--", 2.4) if marked[row] else ("-", 1.2)
        places = np.arange(count, -1, -1) - 0.5
        axes.plot(way, places, form, color=colour, linewidth=width, alpha=0.8)
        colours += [colour] * count
    if shown.std_error is not None:  # of all rows at once: each call takes longer than a line
        heads, reach = ways[:, :0:-1].ravel(), Z95 * shown.std_error[by_end].ravel()
        places = np.tile(np.arange(count) - 0.5, len(by_end))
        axes.hlines(places, heads - reach, heads + reach, color=colours, lw=0.7, alpha=0.6)
    axes.set_ylim(count - 0.5, -0.5)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    heading = [many.heading[0], f"{len(chosen)} row{'s' * (len(chosen) != 1)}"]
    title(axes, heading)
    axes.set_xlabel("\n".join([output_value(shown.unit), *line_notes(shown)]), parse_math=False)
    return axes


def force(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    max_display: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Draw what pushes one prediction up (red, from the left) and down (blue, from the right).

    Parameters as in `plot`. The two sides meet at the prediction; their lengths differ by its
    distance from the base value. Where values are sampled, the blunt end of each arrow carries the
    95 % interval of its own length.

    Raises
    ------
    ValueError
        Where base value and attributions do not add up to the prediction.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> e = xai.explain(f, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)))
    >>> len(force(e).patches)
    2
    """
    shown = read(explanation, row, output).largest(max_display)
    check_additive(shown, "force plot")
    axes = new_axes(ax, 9.0, 2.6)
    # beside rounding alone, of which an axis of that length would be none
    total = max(float(np.abs(shown.values).sum()), 1e-9 * abs(shown.prediction)) or 1.0
    labels = [
        *_side(axes, shown, -1.0, total),
        *_side(axes, shown, 1.0, total),
    ]
    axes.vlines(shown.prediction, 0, 1.1, color=ink(axes), linewidth=1.5)
    axes.vlines(shown.base, -0.15, 1.1, color=ink(axes), linewidth=1, linestyle=":")
    up = float(shown.values[shown.values > 0].sum())
    down = float(-shown.values[shown.values < 0].sum())
    margin = 0.04 * total
    axes.set_xlim(
        min(shown.prediction - up, shown.base) - margin,
        max(shown.prediction + down, shown.base) + margin,
    )
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.xaxis.set_ticks_position("top")
    title(axes, [shown.heading, shown.ends, *notes(shown)], width=80)
    _stack(axes, labels)
    return axes


def _side(axes: Axes, shown: Row, way: float, total: float) -> list[Text]:
    """Arrows that push towards the prediction from below (-1) or above (1), and their labels.

    The largest is nearest to it.
    """
    from matplotlib.patches import Polygon

    colour = POSITIVE if way < 0 else NEGATIVE
    point, place, labels = 0.012 * total, shown.prediction, []
    order = np.argsort(-np.abs(shown.values), kind="stable")
    for player in order[way * shown.values[order] < 0]:
        far = place - shown.values[player]
        if shown.std_error is not None and shown.std_error[player] > 0:
            axes.errorbar(
                far, 0.5, xerr=Z95 * shown.std_error[player], color=ink(axes), elinewidth=1,
                capsize=2,
            )  # fmt: skip
        head = min(point, abs(far - place))
        outline = [
            (place + way * head, 0.9), (place, 0.5), (place + way * head, 0.1), (far, 0.1),
            (far - way * head, 0.5), (far, 0.9),
        ]  # fmt: skip
        axes.add_patch(Polygon(outline, closed=True, facecolor=colour, edgecolor="none"))
        if abs(far - place) > 0.02 * total:
            text = axes.text(
                (place + far) / 2, 0, one_line(shown.labels[player]), ha="center", va="top",
                fontsize="small", color=colour, parse_math=False,
            )  # fmt: skip
            labels.append(text)
        place = far
    return labels


def _stack(axes: Axes, labels: Sequence[Text]) -> None:
    """Put labels that would cover each other on lines below each other.

    What leads from an arrow to its label passes behind other labels unseen.
    """
    lines: list[list[Bbox]] = []
    levels = []
    labels = sorted(labels, key=lambda text: float(text.get_position()[0]))
    for text in labels:
        box = text.get_window_extent()
        level = next((i for i, line in enumerate(lines) if box.x0 > line[-1].x1 + 4), len(lines))
        if level == len(lines):
            lines.append([])
        lines[level].append(box)
        levels.append(level)
        text.set_y(-0.15 - 0.45 * level)
    for text, level in zip(labels, levels, strict=True):
        x, _ = text.get_position()
        middle = axes.transData.transform((x, 0))[0]
        free = [not any(b.x0 < middle < b.x1 for b in line) for line in lines[:level]]
        tops = np.append(0.08, -0.1 - 0.45 * np.flatnonzero(free))
        lengths = np.append(0.18, np.full(sum(free), 0.45))
        axes.vlines(
            np.full(len(tops), x), tops - lengths, tops, color=text.get_color(), linewidth=0.6,
            alpha=0.7,
        )  # fmt: skip
    axes.set_ylim(-0.15 - 0.45 * max(1, len(lines)), 1.1)
