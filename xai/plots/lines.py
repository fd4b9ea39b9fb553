"""Parts that pictures of concepts share: lines of crops and maps, bars, a concept's colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.plots.picture import LUMINANCE
from xai.plots.style import NEUTRAL, inches, ink, signed
from xai.resize import resize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#8c564b")
"""One for each concept, told apart by every common kind of colour blindness (Okabe & Ito)."""
SHOWN = 90.0
"""Percentile of a concept's coefficients, over all images drawn, below which a map is clear."""
Laid: TypeAlias = tuple[Floats, Floats, tuple[float, float]]
"""A picture, a map, and where this begins to show and is full."""


@dataclass(frozen=True, eq=False)
class Line:
    """A concept on a sheet."""

    label: str
    colour: str
    crops: list[Floats]
    laid: list[Laid]


def draw_lines(
    lines: Sequence[Line], crops: int, title: str, bars: Callable[[Axes], None] | None = None
) -> Figure:
    """Draw a line for each concept: a bar, at most `crops` crops, and pictures under its map."""
    import matplotlib.pyplot as plt

    first, over = 0 if bars is None else 1, max((len(line.laid) for line in lines), default=0)
    widths = [1.7] * first + [1.0] * (crops + over)
    size = inches(1.25 * sum(widths) + 0.4, 1.3 * len(lines) + 0.9)
    figure = plt.figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(lines), len(widths), width_ratios=widths)
    if bars is not None:
        bars(figure.add_subplot(grid[:, 0]))
    for place, line in enumerate(lines):
        axes = [figure.add_subplot(grid[place, first + j]) for j in range(crops + over)]
        for ax in axes:
            bare(ax)
        for ax, crop in zip(axes, line.crops, strict=False):
            ax.imshow(crop, cmap="gray", vmin=0, vmax=1)
            frame(ax, line.colour)
        for ax, (picture, small, limits) in zip(axes[crops:], line.laid, strict=True):
            lay(ax, picture, [small], [line.colour], [limits])
        if bars is None:
            axes[0].set_ylabel(line.label, color=line.colour)
        if place == 0:
            axes[0].set_title("crops with most of it", loc="left", fontsize="medium")
            if over:
                axes[crops].set_title("where it is", loc="left", fontsize="medium")
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def colour_of(concept: int) -> str:
    """A concept's colour, in every picture."""
    return COLOURS[concept % len(COLOURS)]


def limits_of(where: Floats) -> tuple[float, float]:
    """Where a concept's map, of one image or several, begins to show, and where it is full."""
    low, high = np.percentile(where, [SHOWN, 99])
    return float(low), float(max(high, low))


def lay(
    ax: Axes,
    picture: Floats,
    maps: Sequence[Floats],
    colours: Sequence[str],
    limits: Sequence[tuple[float, float]],
) -> None:
    """Concepts in their colours over a pale, grey picture."""
    grey = picture if picture.ndim == 2 else picture @ LUMINANCE
    ax.imshow(grey, cmap="gray", vmin=-0.4, vmax=1.1)
    heats = []
    for small, (low, high) in zip(maps, limits, strict=True):
        large = resize(small, *grey.shape)
        heat = np.clip((large - low) / max(high - low, 1e-30), 0, 1)
        heats.append(np.where(large > max(low, 0), 0.25 + 0.75 * heat, 0.0))
    strongest = np.argmax(heats, axis=0)  # one colour for each pixel: mixed ones mean nothing
    for i, (heat, colour) in enumerate(zip(heats, colours, strict=True)):
        shown = np.where(strongest == i, heat, 0.0)
        ax.imshow(shown, cmap=_ramp(colour), vmin=0, vmax=1, interpolation="nearest")
    frame(ax, colours[0] if len(colours) == 1 else NEUTRAL)


def _ramp(colour: str) -> Colormap:
    """From clear to the colour."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    ends = [to_rgba(colour, 0.0), to_rgba(colour, 0.7)]
    return LinearSegmentedColormap.from_list("concept", ends)


def bar_lines(
    ax: Axes,
    labels: Sequence[str],
    values: Floats,
    errors: Floats | None,
    colours: Sequence[str],
) -> None:
    """Draw bars, the first on top, with whiskers of these lengths and their values below."""
    lines = range(len(labels))
    known = None if errors is None else np.nan_to_num(errors)
    whiskers = {"capsize": 2, "ecolor": ink(ax)}
    ax.barh(lines, values, xerr=known, color=colours, height=0.45, error_kw=whiskers)
    ax.set_yticks(lines, labels, parse_math=False)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.axvline(0, color=NEUTRAL, linewidth=0.8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    for line, value in enumerate(values):
        ax.annotate(
            signed(float(value)) if values.min() < 0 else f"{value:.2g}",
            (0, line + 0.24), (2, -1), textcoords="offset points", fontsize="small", va="top",
        )  # fmt: skip


def bare(ax: Axes) -> None:
    """Take ticks and frame away."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def frame(ax: Axes, colour: str) -> None:
    """Frame a picture in a concept's colour."""
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(colour)
        spine.set_linewidth(1.5)
