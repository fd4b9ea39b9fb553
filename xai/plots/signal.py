"""Pictures of series: each channel's line, over colours that tell what its steps add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xai.foreign import as_explanation
from xai.plots.picture import Floats, Panel, Scale, colour_bar, displayed, mapped, panel, with_error
from xai.plots.row import lies_over_rows, shape_of
from xai.plots.style import inches, ink, new_axes, one_line, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation

CHANNELS = 16
"""Rows with two axes are a series where one is so short, and the other twice as long or longer."""


def signal(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    time_axis: int | None = None,
    channel_names: Sequence[str] | None = None,
    percentile: float = 99.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw one series' attributions as colours behind its lines, a line for each channel.

    Each line is stretched to its own range. Colours are as in `xai.plots.image`.

    Parameters
    ----------
    row, output, percentile, ax : as in `plot`
    time_axis : which axis of x is the time: 1 or 2; None: the one that does not hold the channels,
        where the explanation knows, else the longer one
    channel_names : one for each line, from the first channel on; None: their numbers

    Raises
    ------
    ValueError
        Rows of more than two axes, or not of numbers; names that are not one for each channel.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, 2:4, 0].sum(axis=1)
    >>> e = xai.explain(f, np.ones((1, 9, 2)), "occlusion", removal="baseline")
    >>> signal(e).images[0].get_array().shape  # two channels of nine steps
    (2, 9)
    """
    shown = channels(explanation, row, output, time_axis)
    lines = len(shown.photo)
    if channel_names is not None and len(channel_names) != lines:
        raise ValueError(f"channel_names has {len(channel_names)} names for {lines} channels")
    scale = Scale.of([shown.heat], percentile)
    axes = new_axes(ax, 8.0, 1.4 + height(shown))
    draw(axes, shown, scale)
    if channel_names is not None:
        axes.set_yticks(range(lines), list(map(one_line, channel_names)))
    colour_bar([axes], [shown], scale, with_error([shown]))
    return axes


def axes_of_places(explanation: Explanation) -> int:
    """How many axes of places rows have: 1 as series, 2 as images, 3 as volumes; 0 as tables."""
    shape, axis = shape_of(explanation), explanation.channel_axis
    if axis is not None:
        return len(shape) - bool(axis)
    if len(shape) != 2:
        return 0
    return 1 if min(shape) <= CHANNELS and max(shape) >= 2 * min(shape) else 2


def is_series(explanation: Explanation) -> bool:
    """Whether each row's values are of a series."""
    return axes_of_places(explanation) == 1 and lies_over_rows(explanation)


def panel_of(
    explanation: Explanation, row: int, output: int | str | None, channel_axis: int | None
) -> Panel:
    """Read one row to draw it: an image as it is, a series with its steps from left to right."""
    explanation = as_explanation(explanation)
    if not is_series(explanation):
        return panel(explanation, row, output, channel_axis)
    shown = channels(explanation, row, output, None)
    return replace(shown, photo=displayed(shown.photo))


def channels(
    explanation: Explanation, row: int, output: int | str | None, time_axis: int | None
) -> Panel:
    """Read one row's lines (C, T), and what their steps add."""
    explanation = as_explanation(explanation)
    shape = shape_of(explanation)
    if len(shape) not in (1, 2):
        raise ValueError(f"no series: one explained row has the shape {shape}")
    if time_axis not in (None, 1, len(shape)):
        raise ValueError(f"time_axis={time_axis!r}: the axes of a row are 1 to {len(shape)}")
    shown = mapped(explanation, row, output)
    lines, heat = np.atleast_2d(shown.photo), np.atleast_2d(shown.heat)
    if time_is_first(explanation, time_axis):
        lines, heat = lines.T, heat.T
    return replace(shown, photo=lines, heat=heat, square=False)


def time_is_first(explanation: Explanation, time_axis: int | None = None) -> bool:
    """Whether the time is the first of a row's two axes: as given, as known, or the longer one."""
    shape, axis = shape_of(explanation), explanation.channel_axis
    if len(shape) < 2:
        return False
    if time_axis is None and axis:
        time_axis = 3 - axis
    return bool(shape[0] > shape[1] if time_axis is None else time_axis == 1)


def bands(shown: Panel) -> Floats:
    """Each channel's line (C, T) in its own range, from 0.4 below its place to 0.4 above."""
    known = [np.where(np.isfinite(line), displayed(line[None])[0], np.nan) for line in shown.photo]
    return np.arange(len(known))[:, None] + 0.4 - 0.8 * np.array(known)


def height(shown: Panel) -> float:
    """Inches for a panel's channels."""
    return float(np.clip(0.5 * len(shown.heat), 1.2, 9.0))


def draw_below(panels: Sequence[Panel], scales: Sequence[Scale], lines: Sequence[str]) -> Figure:
    """Draw series below each other, along one time, under a title of these lines."""
    import matplotlib.pyplot as plt

    size = inches(8.0, 0.8 + len(panels) * (0.4 + height(panels[0])))
    figure = plt.figure(figsize=size, layout="constrained")
    places = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for ax, shown, scale in zip(places, panels, scales, strict=True):
        draw(ax, shown, scale)
        ax.label_outer()
    figure.suptitle("\n".join(lines), fontsize="medium", parse_math=False)
    return figure


def draw(ax: Axes, shown: Panel, scale: Scale) -> None:
    """Draw colours, and a line in each channel's band."""
    from matplotlib.ticker import MaxNLocator

    C, T = shown.heat.shape
    ax.imshow(shown.heat, cmap=scale.colours, vmin=scale.low, vmax=scale.high, aspect="auto")
    for line in bands(shown):
        ax.plot(np.arange(T), line, color=ink(ax), linewidth=1)
    ax.set_yticks(range(C), [f"channel {c}" for c in range(C)] if C > 1 else [""])
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("step")
    title(ax, shown.heading)
