"""Pictures of pictures: a signed heat map over the grey image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import as_array
from xai.plots.row import locate, read
from xai.plots.style import diverging, title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation

Floats = NDArray[np.floating[Any]]

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""


@dataclass(frozen=True)
class _Panel:
    """One image to draw: the grey picture in [0, 1] and the heat over it, both (H, W)."""

    grey: Floats
    heat: Floats
    title: list[str]
    unit: str


def image(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    percentile: float = 99.0,
    channel_axis: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one image's attributions as a signed heat map over the grey picture.

    Colours are symmetric around 0 and the more opaque the larger |value|; parameters as in
    `plot`.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, :2].sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 6, 6, 1))
    >>> axes = image(xai.explain(f, x, "occlusion", data=np.zeros((1, 6, 6, 1))))
    >>> axes.images[1].get_clim()
    (-1.0, 1.0)
    """
    panel = _panel(explanation, row, output, channel_axis)
    limit = _limit([panel.heat], percentile)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(
            figsize=(5.0, 0.6 + 4.0 * _slimness(panel)), layout="compressed"
        ).add_subplot()
    _draw(ax, panel, limit)
    _colour_bar([ax], [panel], limit)
    return ax


def images(
    explanation: Explanation,
    rows: Sequence[int] | None = None,
    output: int | str | None = None,
    *,
    percentile: float = 99.0,
    channel_axis: int | None = None,
) -> Figure:
    """Draw several rows' heat maps, by default all, on one colour scale; parameters as in `plot`.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, :2].sum(axis=(1, 2, 3))
    >>> x = np.ones((3, 6, 6, 1))
    >>> figure = images(xai.explain(f, x, "occlusion", data=np.zeros((1, 6, 6, 1))))
    >>> len(figure.axes)  # three pictures and the colour bar
    4
    """
    import matplotlib.pyplot as plt

    chosen = range(len(explanation)) if rows is None else rows
    if not len(chosen):
        raise ValueError("rows is empty: there is nothing to draw")
    panels = [_panel(explanation, row, output, channel_axis) for row in chosen]
    limit = _limit([panel.heat for panel in panels], percentile)
    across = min(len(panels), 4)
    down = math.ceil(len(panels) / across)
    size = (2.6 * across + 0.9, (0.6 + 2.6 * _slimness(panels[0])) * down)
    figure = plt.figure(figsize=size, layout="compressed")
    places = [figure.add_subplot(down, across, place + 1) for place in range(len(panels))]
    for ax, panel in zip(places, panels, strict=True):
        _draw(ax, panel, limit)
    _colour_bar(places, panels, limit)
    return figure


def _panel(
    explanation: Explanation, row: int, output: int | str | None, channel_axis: int | None
) -> _Panel:
    shape = getattr(explanation.data, "shape", ())[1:]
    if len(shape) not in (2, 3):
        raise ValueError(f"no picture: one explained row has the shape {shape}. Draw kind='bar'")
    shown, one = read(explanation, row, output), explanation[row]
    place, _ = locate(one, output)
    picture = np.asarray(as_array(one.data), float)[0]
    heat = one.map()[0] if place is None else one.map()[0][..., place]
    unit = "attribution"
    if picture.ndim == 3:
        axis = channel_axis or one.channel_axis
        if axis is None:
            raise ValueError("which axis of x holds the channels? Pass channel_axis=1 or 3")
        axis -= axis > 0  # of one picture, not of the batch
        owners = np.moveaxis(one.element_players[0], axis, 0)
        channels = np.moveaxis(heat, axis, 0)
        together = bool((owners == owners[0]).all())
        heat = channels[0] if together else channels.sum(axis=0)
        unit = unit if together or len(channels) == 1 else f"{unit} (sum of the channels)"
        picture = np.moveaxis(picture, axis, -1)
    return _Panel(_grey(picture), heat, [shown.heading, shown.state[0]], unit)


def _grey(picture: Floats) -> Floats:
    """Luminance (H, W), stretched to [0, 1], of a picture (H, W) or (H, W, C)."""
    if picture.ndim == 3:
        colour = picture.shape[-1] in (3, 4)
        picture = picture[..., :3] @ LUMINANCE if colour else picture.mean(axis=-1)
    low, high = np.nanmin(picture), np.nanmax(picture)
    return (picture - low) / (high - low) if high > low else np.full(picture.shape, 0.5)


def _limit(heats: Sequence[Floats], percentile: float) -> float:
    """Where the colours end on both sides of 0."""
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must lie in (0, 100], not {percentile!r}")
    sizes = np.abs(np.concatenate([heat.ravel() for heat in heats]))
    sizes = sizes[~np.isnan(sizes)]
    if not sizes.any():
        return 1.0
    # Where most of the picture is exactly 0, the percentile may be 0 too.
    return float(np.percentile(sizes, percentile)) or float(sizes.max())


def _draw(ax: Axes, panel: _Panel, limit: float) -> None:
    ax.imshow(panel.grey, cmap="gray", vmin=-0.5, vmax=1.1)
    ax.imshow(panel.heat, cmap=diverging(), vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set_axis_off()
    title(ax, panel.title, width=30)


def _slimness(panel: _Panel) -> float:
    """Height over width, kept within what a figure can take."""
    height, width = panel.heat.shape
    return float(np.clip(height / width, 0.4, 2.0))


def _colour_bar(places: Sequence[Axes], panels: Sequence[_Panel], limit: float) -> None:
    clipped = any((np.abs(panel.heat) > limit).any() for panel in panels)
    bar = places[0].figure.colorbar(
        places[0].images[-1], ax=list(places), extend="both" if clipped else "neither"
    )
    bar.set_label(panels[0].unit)
