"""What all pictures share: the colours of the signs, how numbers are written, new axes.

Only bars and maps have fixed colours. Text, spines and backgrounds follow matplotlib's own
settings, so a picture drawn under a dark style is a dark picture.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from numpy.typing import ArrayLike, NDArray

# Told apart by every common kind of colour blindness, and readable on black and on white.
POSITIVE = "#d1495b"
NEGATIVE = "#2e6f9e"
NEUTRAL = "#7f7f7f"

SERIES = ("#2e86c1", "#e0703c", "#2a9d74", "#b565a7", "#a8922a", "#7f7f7f")
"""Colours that tell methods or cohorts apart (after Okabe & Ito), each with a marker of its own."""
MARKERS = "osD^vPX"
"""One more than there are colours, so that no two of 42 series look alike."""

Z95 = 1.96
"""Half the width of a 95 % interval, in standard errors."""

LINE = 38
"""Characters in a line of a label."""


def series_style(place: int) -> tuple[str, str]:
    """Colour and marker of the series at `place`: 42 pairs, all different."""
    return SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]


def attribution(*units: str, line: int = 60) -> str:
    """What values are attributions to, where that is known, and the same of all."""
    unit = units[0] if len(set(units)) == 1 else ""
    return in_lines("attribution" + f" to {unit}" * bool(unit), line)


def output_value(unit: str) -> str:
    """What an axis from base value to prediction is of."""
    return in_lines("value of the output" + f" ({unit})" * bool(unit), 60)


def in_lines(text: str, line: int) -> str:
    """Break a text between its words."""
    return "\n".join(textwrap.wrap(text, line, break_on_hyphens=False))


def median_note(errors: NDArray[np.floating] | None) -> list[str]:
    """A colour has no whiskers: say how far off sampled values are, None where they are exact."""
    return [] if errors is None else [f"median standard error {np.nanmedian(errors):.2g}"]


def sign_colours(values: ArrayLike) -> list[str]:
    """Give each value its sign's colour."""
    return [NEGATIVE if value < 0 else POSITIVE for value in np.ravel(values)]


def diverging() -> Colormap:
    """Colours from `NEGATIVE` to `POSITIVE`, as transparent as the value is near the middle."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    ends = [(0.0, NEGATIVE, 1.0), (0.5, NEGATIVE, 0.0), (0.5, POSITIVE, 0.0), (1.0, POSITIVE, 1.0)]
    stops = [(place, to_rgba(colour, alpha)) for place, colour, alpha in ends]
    return LinearSegmentedColormap.from_list("xai", stops)


def greys() -> Colormap:
    """Colours from nothing to `NEUTRAL`: for sizes, which have no sign."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    return LinearSegmentedColormap.from_list("xai greys", [to_rgba(NEUTRAL, a) for a in (0.0, 1.0)])


def sequential() -> Colormap:
    """Colours from dark to bright, transparent at 0: for what is never negative."""
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    part = np.linspace(0, 1, 256)
    colours = mpl.colormaps["inferno"](0.3 + 0.65 * part)
    colours[:, 3] = 0.72 * np.minimum(1, 1.5 * part)
    return ListedColormap(colours, "xai sequential")


def amounts() -> Colormap:
    """Colours of a feature's values from low to high: blue, violet, red, as shap has them."""
    from matplotlib.colors import LinearSegmentedColormap

    made = LinearSegmentedColormap.from_list("xai amounts", ["#3a88bd", "#9169ab", POSITIVE])
    return made.with_extremes(bad=NEUTRAL)


def signed(value: float) -> str:
    """Write three digits and a sign: `+0.0810`, `-3.10e-09`, `0`, `NaN`."""
    if np.isnan(value):
        return "NaN"
    return f"{value:+#.3g}".rstrip(".") if value else "0"


def points(size: Any) -> float:
    """One of matplotlib's settings of sizes, which may be words, in points."""
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=size).get_size_in_points())


def inches(width: float, height: float) -> tuple[float, float]:
    """A size of a figure of our own; where texts are set larger than 10 points, so much larger.

    So that no text is cut off.
    """
    from matplotlib import rcParams

    sizes = (
        rcParams["font.size"], rcParams["axes.labelsize"], rcParams["xtick.labelsize"],
        rcParams["ytick.labelsize"],
    )  # fmt: skip
    growth = max(1.0, *(points(size) / 10 for size in sizes))
    return growth * width, growth * height


def some_axes(
    ax: Axes | None,
    size: tuple[float, float] | None = None,
    layout: Literal["constrained", "compressed"] | None = "constrained",
) -> Axes:
    """`ax`, or those of a new figure of pyplot: notebooks show only the figures that it knows."""
    from matplotlib.axes import Axes

    if ax is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout=layout).add_subplot()
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be one of matplotlib's Axes, as plt.subplots()[1] is, not a "
            f"{type(ax).__name__}: of an array of Axes pass one, of a figure figure.add_subplot()"
        )
    return ax


def row_axes(labels: Sequence[str], ax: Axes | None) -> Axes:
    """`ax`, or new axes, with one row per label, the first on top."""
    axes = some_axes(ax)
    axes.set_yticks(range(len(labels)), [two_lines(label) for label in labels], parse_math=False)
    axes.set_ylim(len(labels) - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if ax is None:
        fit_figure(axes)
    return axes


def new_axes(ax: Axes | None, width: float = 7.0, height: float = 4.0) -> Axes:
    """`ax`, or new axes of this size in inches, without the upper frame."""
    axes = some_axes(ax, inches(width, height))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def wrapped(count: int, most: int) -> tuple[int, int]:
    """Lines, and panels in each, so that `count` of them fill lines of at most `most` evenly."""
    lines = -(-count // most)
    return lines, -(-count // lines)


def value_bar(
    ax: Axes, drawn: ScalarMappable, label: str, ends: tuple[str, str] = ("low", "high")
) -> None:
    """A narrow bar from low to high beside the axes."""
    figure = ax.figure.figure
    bar = figure.colorbar(drawn, ax=ax, aspect=40, pad=0.02)
    low, high = drawn.get_clim()
    bar.set_ticks([low, high], labels=ends)
    bar.ax.tick_params(length=0)
    bar.ax.spines["outline"].set_visible(False)
    bar.set_label(two_lines(label), labelpad=-6, parse_math=False)


def title(ax: Axes, lines: Sequence[str], width: int = 50) -> None:
    """Write these lines over the axes, none longer than `width` characters."""
    wrapped = [part for line in lines for part in textwrap.wrap(line, width)]
    ax.set_title("\n".join(wrapped), fontsize="medium", parse_math=False)


def fit_figure(ax: Axes, width: float = 7.0) -> None:
    """Make the figure that holds only these axes as high as their rows need, in inches."""
    labels = ax.get_yticklabels()
    line = 0.42 if any("\n" in label.get_text() for label in labels) else 0.32
    figure = ax.figure.figure
    height = 1.4 + line * max(len(labels), 1)
    figure.set_size_inches(inches(width, height))


def legend_label(name: str) -> str:
    """A legend's entry: short lines, nothing typeset."""
    label = "\n".join(textwrap.wrap(name, 32)).replace("$", r"\$")
    # matplotlib leaves out what has no label, or one that begins with "_"
    return f" {label}" if label.startswith("_") or not label else label


def legend_beside(ax: Axes, *, own: bool, clear: bool = False) -> None:
    """A legend to the right of the axes, which a figure of their own is made large enough for.

    `clear`: not over labels that stick out of the axes; then it is the figure's, if that is `own`.
    """
    look: dict[str, Any] = {"frameon": False, "fontsize": "small"}
    figure = ax.figure.figure
    if own and clear:
        legend = figure.legend(loc="outside right upper", **look)
    else:
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1.15 if clear else 1, 1), **look)
    if own:
        box = legend.get_window_extent()
        width, height = figure.get_size_inches()
        grown = max(1, (box.height / figure.dpi + 0.5) / height)  # a title is above the axes
        across = grown if clear else 1  # room for the labels of a circle that is larger
        figure.set_size_inches(across * width + box.width / figure.dpi, grown * height)


def one_line(label: str, most: int = LINE) -> str:
    """Take out the middle of a label longer than `most`."""
    half = most // 2
    return f"{label[: half - 1]}…{label[-half:]}" if len(label) > most else label


def category_ticks(axes: Axes, kinds: Sequence[str]) -> None:
    """Name the places 0, 1, … below the axes; every second, third, … where all have no room.

    Names are slanted, and upright where there are many.
    """
    from matplotlib import rcParams

    figure, line = axes.figure.figure, 1.2 * points(rcParams["xtick.labelsize"])
    room = max(1, int(72 * axes.get_window_extent().width / figure.dpi / line))
    step, slanted = -(-len(kinds) // room), 1.7 * len(kinds) <= room
    names = [one_line(kind, LINE if slanted else LINE // 2) for kind in kinds[::step]]
    axes.set_xticks(
        range(0, len(kinds), step), names, rotation=30 if slanted else 90,
        ha="right" if slanted else "center", parse_math=False,
    )  # fmt: skip


def two_lines(label: str) -> str:
    """Break a long label, and take out its middle where two lines do not hold it."""
    if len(label) > 2 * LINE:
        label = f"{label[: LINE - 2]}… {label[3 - LINE :]}"
    return "\n".join(textwrap.wrap(label, LINE)) if len(label) > LINE else label


def ink(ax: Axes) -> str:
    """Say the colour of text on these axes."""
    return str(ax.xaxis.label.get_color())
