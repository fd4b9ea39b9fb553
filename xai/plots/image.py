"""Pictures of pictures: heat maps over grey images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xai.foreign import as_explanation
from xai.plots.picture import (
    Panel,
    Scale,
    colour_bar,
    displayed,
    draw_heat,
    over_places,
    panel,
    with_error,
)
from xai.plots.row import outputs, rows_of
from xai.plots.style import inches, some_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation

WIDEST = 13.0
"""Inches of a line of pictures, where there are enough of them to fill it."""


def image(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    percentile: float = 99.0,
    signed: bool = False,
    channel_axis: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one image's attributions as a heat map over the grey picture; parameters as in `plot`.

    The data decide on the colours: where some values are negative they are symmetric around 0,
    red above and blue below; else they go from dark to bright. The larger |value|, the more opaque.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: (x[:, :2] - x[:, 4:]).sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 6, 6, 1))
    >>> axes = image(xai.explain(f, x, "occlusion", data=np.zeros((1, 6, 6, 1))))
    >>> axes.images[1].get_clim()
    (-1.0, 1.0)
    """
    shown = panel(explanation, row, output, channel_axis, signed=signed)
    scale = Scale.of([shown.heat], percentile)
    axes = some_axes(ax, inches(5.0, 0.6 + 4.0 * shown.slimness), "compressed")
    draw_heat(axes, shown, scale)
    colour_bar([axes], [shown], scale, with_error([shown]))
    return axes


def images(
    explanation: Explanation,
    rows: Sequence[int] | None = None,
    output: int | str | None = None,
    *,
    percentile: float = 99.0,
    signed: bool = False,
    channel_axis: int | None = None,
) -> Figure:
    """Draw several rows' heat maps, by default all, on one colour scale; parameters as in `plot`.

    With ``output="all"`` a line of pictures for each row, one for each output explained.

    Raises
    ------
    ValueError
        `rows` is empty, or the rows make no picture.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, :2].sum(axis=(1, 2, 3))
    >>> x = np.ones((3, 6, 6, 1))
    >>> figure = images(xai.explain(f, x, "occlusion", data=np.zeros((1, 6, 6, 1))))
    >>> len(figure.axes)  # three pictures and the colour bar
    4
    """
    explanation = as_explanation(explanation)
    chosen = rows_of(rows, len(explanation))
    found = outputs(explanation) if output == "all" else [[output]] * len(explanation)
    panels = [
        panel(explanation, row, one, channel_axis, signed=signed)
        for row in chosen
        for one in found[row]
    ]
    many = len(found[chosen[0]])
    return _together(panels, percentile, many if many > 1 else min(len(panels), 4))


def slices(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    frames: int = 8,
    percentile: float = 99.0,
    signed: bool = False,
    channel_axis: int | None = None,
) -> Figure:
    """Draw a volume's, or a video's, heat maps across its first axis, on one colour scale.

    Parameters
    ----------
    frames
        So many, evenly from the first to the last.
    row, output, percentile, signed, channel_axis
        As in `plot`.

    Raises
    ------
    ValueError
        Rows without three axes of places.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, 0, :, :2].sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 1, 5, 4, 4))
    >>> e = xai.explain(f, x, "occlusion", removal="baseline", channel_axis=1)
    >>> [ax.get_title() for ax in slices(e, frames=3).axes[:3]]
    ['0', '2', '4']
    """
    explanation = as_explanation(explanation)
    shown = over_places(explanation, row, output, channel_axis, signed=signed)
    if shown.heat.ndim != 3:
        raise ValueError(
            f"no slices: one explained row has places {shown.heat.shape}, and a volume has three "
            "axes of them"
        )
    depth, high, *rest = shown.photo.shape
    photo = displayed(shown.photo.reshape(depth * high, *rest))  # all alike
    photo = photo.reshape(depth, high, *photo.shape[1:])
    places = np.unique(np.linspace(0, depth - 1, frames).round().astype(int))
    own = [replace(shown, photo=photo[i], heat=shown.heat[i], heading=[str(i)]) for i in places]
    figure = _together(own, percentile, min(len(own), 4))
    figure.suptitle("\n".join(shown.heading), fontsize="medium", parse_math=False)
    return figure


def _together(panels: Sequence[Panel], percentile: float, across: int) -> Figure:
    """Panels in lines of so many, on one colour scale."""
    import matplotlib.pyplot as plt

    scale = Scale.of([shown.heat for shown in panels], percentile)
    down = math.ceil(len(panels) / across)
    wide = max(1.3, min(2.6, WIDEST / across))
    size = inches(wide * across + 0.9, (0.6 + wide * panels[0].slimness) * down)
    figure = plt.figure(figsize=size, layout=panels[0].layout)
    places = [figure.add_subplot(down, across, place + 1) for place in range(len(panels))]
    for ax, shown in zip(places, panels, strict=True):
        draw_heat(ax, shown, scale, round(30 * wide / 2.6))
    colour_bar(places, panels, scale, with_error(panels))
    return figure
