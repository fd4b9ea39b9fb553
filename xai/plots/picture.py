"""What pictures of images are made of: a photograph in [0, 1], a heat map, a scale of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xai.archive import as_array
from xai.foreign import as_explanation
from xai.inputs import is_number, is_whole
from xai.plots.row import locate, read, shape_of
from xai.plots.style import LINE, attribution, diverging, median_note, sequential, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from xai.explanation import Explanation

Floats = NDArray[np.floating[Any]]

SLIM = 20.0
"""So many times longer than wide, or wider than long, an image is one; beyond, it is a series."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""


@dataclass(frozen=True)
class Panel:
    """One image to draw.

    Attributes
    ----------
    photo : (H, W) or (H, W, 3)
        In [0, 1]: the explained image, stretched to its own range.
    heat : (H, W)
        Attributions.
    heading : lines over the picture
    unit : what the colours measure
    error : the players' median standard error; None where the values are exact
    square : whether height and width are lengths of one kind, as an image's: the steps and the
        channels of a series are not, nor are those of an image as slim as one
    """

    photo: Floats
    heat: Floats
    heading: list[str]
    unit: str
    error: float | None = None
    square: bool = True

    @property
    def slimness(self) -> float:
        """Height over width, kept within what a figure can take."""
        height, width = self.heat.shape
        return float(np.clip(height / width, 0.4, 2.0))

    @property
    def aspect(self) -> float:
        """Height of a cell over its width, as it is drawn: a long series would be a hairline."""
        height, width = self.heat.shape
        return 1.0 if self.square else self.slimness / (height / width)

    @property
    def layout(self) -> Literal["compressed", "constrained"]:
        """Of a figure: compressed, but for pictures so narrow that titles would meet then."""
        height, width = self.heat.shape
        return "constrained" if self.square and height > 2 * width else "compressed"


@dataclass(frozen=True)
class Scale:
    """Which value has which colour, the same for all panels of a figure."""

    low: float
    high: float
    colours: Colormap

    @classmethod
    def of(cls, heats: Sequence[Floats], percentile: float, *, signed: bool = False) -> Scale:
        """The scale that fits: symmetric around 0, or upwards from the least where all are >= 0.

        `signed` asks for the first. The least, because values that are never negative may also
        never be near 0, as RISE's.
        """
        high = limit(heats, percentile)
        low = min(float(np.nanmin(heat, initial=np.inf)) for heat in heats)
        some = any((heat > 0).any() for heat in heats)
        if signed or low < 0 or not some:
            return cls(-high, high, diverging())
        return cls(low if low < high else 0.0, high, sequential())

    @property
    def signed(self) -> bool:
        """Whether colours tell signs."""
        return self.low < 0

    def relative(self, heat: Floats) -> Floats:
        """Values in units of this scale: to 1, from -1 or 0."""
        start = 0.0 if self.signed else self.low
        return np.asarray((heat - start) / (self.high - start))

    @classmethod
    def unit(cls, *, signed: bool) -> Scale:
        """The scale of relative values."""
        return cls(-1.0, 1.0, diverging()) if signed else cls(0.0, 1.0, sequential())


def limit(heats: Sequence[Floats], percentile: float) -> float:
    """Where the colours end: this percentile of |value|."""
    if not is_number(percentile) or not 0 < percentile <= 100:
        raise ValueError(f"percentile must lie in (0, 100], not {percentile!r}")
    sizes = np.abs(np.concatenate([heat.ravel() for heat in heats]))
    sizes = sizes[~np.isnan(sizes)]
    if not sizes.any():
        return 1.0
    # Where most of the picture is exactly 0, the percentile may be 0 too.
    return float(np.percentile(sizes, percentile)) or float(sizes.max())


def panel(
    given: Explanation,
    row: int,
    output: int | str | None,
    channel_axis: int | None,
    *,
    signed: bool = False,
) -> Panel:
    """Read one row's photograph and heat map."""
    explanation = as_explanation(given)
    shape = shape_of(explanation)
    if len(shape) not in (2, 3):
        volume = " Draw kind='slices'" if len(shape) == 4 else " Draw kind='bar'"
        raise ValueError(f"no picture: one explained row has the shape {shape}.{volume}")
    shown = over_places(explanation, row, output, channel_axis, signed=signed)
    if shown.heat.ndim != 2:
        raise ValueError(f"no picture: rows of shape {shape} are volumes. Draw kind='slices'")
    image = len(shape) == 3 or explanation.channel_axis == 0
    square = image and max(shown.heat.shape) <= SLIM * min(shown.heat.shape)
    return replace(shown, photo=displayed(shown.photo), square=square)


def over_places(
    explanation: Explanation,
    row: int,
    output: int | str | None,
    channel_axis: int | None,
    *,
    signed: bool = False,
) -> Panel:
    """Read one row, with its channels last, and its heat map without them."""
    shown = mapped(explanation, row, output, signed=signed)
    axis = explanation.channel_axis if channel_axis is None else channel_axis
    last = shown.photo.ndim
    if last < 3 or axis == 0:
        return shown
    if axis is None:
        raise ValueError(f"which axis of x holds the channels? Pass channel_axis=1 or {last}")
    if not is_whole(axis) or not -last <= axis <= last:
        raise ValueError(f"channel_axis={axis!r}: the axes of a row are 1 to {last}")
    axis -= axis > 0  # of one picture, not of the batch
    heat, summed = _over_channels(explanation[row], shown.heat, axis)
    unit = shown.unit + " (sum of the channels)" * summed
    return replace(shown, photo=np.moveaxis(shown.photo, axis, -1), heat=heat, unit=unit)


def mapped(
    explanation: Explanation, row: int, output: int | str | None, *, signed: bool = False
) -> Panel:
    """One row as it is, and its values over it, both of its own shape.

    Raises
    ------
    ValueError
        Some of its cells are no numbers.
    """
    shown, one = read(explanation, row, output), explanation[row]
    place, _ = locate(one, 0, output)
    heat = one.map(signed=signed)[0]
    try:
        photo = np.asarray(as_array(one.data), float)[0]
    except (TypeError, ValueError, IndexError) as error:  # words; none at all of a text
        told = "no picture: some cells of the row are no numbers. Draw kind='bar'"
        raise ValueError(told) from error
    return Panel(
        photo=photo,
        heat=heat if place is None else heat[..., place],
        heading=[shown.heading, *shown.told],
        unit=attribution(shown.unit, line=LINE),
        error=None if shown.std_error is None else float(np.nanmedian(shown.std_error)),
    )


def _over_channels(one: Explanation, heat: Floats, axis: int) -> tuple[Floats, bool]:
    """A heat map (H, W), and whether channels that were explained apart are summed in it."""
    channels = np.moveaxis(heat, axis, 0)
    owners = np.moveaxis(one.element_players[0], axis, 0)
    # What a layer's maps or overlapping windows lay over an image is the same in all channels.
    together = bool(one.layer) or one.spans is not None or bool((owners == owners[0]).all())
    if together or len(channels) == 1:
        return channels[0], False
    return channels.sum(axis=0), True


def displayed(picture: Floats) -> Floats:
    """A picture (H, W[, C]) as one in [0, 1], grey or in colour, whatever it was scaled to.

    It is stretched to its own range, all channels alike, so that colours keep their tone; of
    channels that are no colours the mean is shown.

    Examples
    --------
    >>> displayed(np.array([[[-2.0, 0.0, 2.0]]])).tolist()  # normalised for a network
    [[[0.0, 0.5, 1.0]]]
    """
    if picture.ndim == 3:
        colour = picture.shape[-1] in (3, 4)
        picture = picture[..., :3] if colour else picture.mean(axis=-1)
    known = picture[np.isfinite(picture)]
    if not len(known) or known.min() == known.max():
        return np.full(picture.shape, 0.5)
    low, high = known.min(), known.max()
    return np.asarray(np.clip(np.nan_to_num((picture - low) / (high - low), nan=0.5), 0, 1))


def grey(photo: Floats) -> Floats:
    """Luminance (H, W), stretched to [0, 1]."""
    return displayed(photo @ LUMINANCE) if photo.ndim == 3 else photo


def draw_photo(
    ax: Axes, photo: Floats, lines: Sequence[str], width: int = 30, aspect: float = 1.0
) -> None:
    """Draw a photograph by itself, or what else is explained, with cells of this aspect."""
    ax.imshow(photo, cmap="gray", vmin=0, vmax=1, interpolation=_between(aspect))
    _draw_places(ax, aspect)
    title(ax, lines, width)


def draw_heat(ax: Axes, shown: Panel, scale: Scale, width: int = 30) -> None:
    """Draw a heat map over the grey picture."""
    between = _between(shown.aspect)
    ax.imshow(grey(shown.photo), cmap="gray", vmin=-0.5, vmax=1.1, interpolation=between)
    ax.imshow(
        shown.heat, cmap=scale.colours, vmin=scale.low, vmax=scale.high, interpolation="nearest"
    )
    _draw_places(ax, shown.aspect)
    title(ax, shown.heading, width)


def _between(aspect: float) -> str | None:
    """How what is drawn between pixels is found: between the channels of a series there is none."""
    return None if aspect == 1 else "nearest"


def _draw_places(ax: Axes, aspect: float) -> None:
    """Pixels need no numbers; the steps of a series, which is stretched, do."""
    from matplotlib.ticker import MaxNLocator

    ax.set_aspect(aspect)
    if aspect == 1:
        ax.set_axis_off()
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


BAR_WIDTH, BAR_HEIGHT = 0.4, 4.6
"""Inches that a colour bar takes in a large figure."""


def colour_bar(places: Sequence[Axes], panels: Sequence[Panel], scale: Scale, unit: str) -> None:
    """Draw the scale that these axes share; a pointed end says that values lie beyond it."""
    drawn = next(ax.images[-1] for ax in places if ax.images[-1].get_cmap() == scale.colours)
    clipped = any((np.abs(shown.heat) > scale.high).any() for shown in panels)
    extend = "neither" if not clipped else "both" if scale.signed else "max"
    figure = places[0].figure
    width, height = figure.figure.get_size_inches()
    # left alone, a bar takes a share of the figure's width, and is wide where it is high
    bar = figure.colorbar(
        drawn, ax=list(places), extend=extend, fraction=min(0.15, BAR_WIDTH / width),
        shrink=min(1.0, BAR_HEIGHT / height), anchor=(0.0, 1.0),
    )  # fmt: skip
    bar.set_label(unit, parse_math=False)


def with_error(panels: Sequence[Panel]) -> str:
    """What the colours measure, and how far off they may be."""
    errors = [shown.error for shown in panels if shown.error is not None]
    return "\n".join([panels[0].unit, *median_note(np.array(errors) if errors else None)])
