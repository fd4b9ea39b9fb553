"""Choose the picture that fits what was explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai.foreign import as_explanation
from xai.plots.concepts import concepts_of_image
from xai.plots.heatmap import heatmap
from xai.plots.image import image, images
from xai.plots.masks import masks
from xai.plots.paths import decision, force
from xai.plots.row import per_row
from xai.plots.signal import is_signal, signal
from xai.plots.swarm import beeswarm, scatter
from xai.plots.table import bar, global_bar, waterfall
from xai.suggest import unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation

KINDS: dict[str, Callable[..., Axes | Figure]] = {
    "bar": bar,
    "waterfall": waterfall,
    "global": global_bar,
    "beeswarm": beeswarm,
    "scatter": scatter,
    "heatmap": heatmap,
    "decision": decision,
    "force": force,
    "image": image,
    "images": images,
    "concepts": concepts_of_image,
    "masks": masks,
    "signal": signal,
}


def plot(explanation: Explanation, kind: str | None = None, **options: Any) -> Axes | Figure:
    """Draw an explanation; nothing is shown before matplotlib's `show`, except in notebooks.

    Parameters
    ----------
    explanation
        What `xai.explain` returned.
    kind
        Of one row of a table: "bar", "waterfall", "force"; of many: "global", "beeswarm",
        "scatter" (with `feature`, and `color`), "heatmap" (with `order`), "decision" (with
        `highlight`). Of images: "image", "images", "masks", "concepts". Of series: "signal".
        None: "bar", "image" or "signal", as fits the data.
    row
        Which row ("bar", "waterfall", "force", "image", "masks", "concepts", "signal").
    rows
        Which rows, all by default ("images", "decision").
    output
        Where several outputs were explained, the one to draw: its index among the model's
        outputs, or its name; "all" of them beside each other ("global", "images").
    max_display
        So many features, the largest by |value|, are drawn one by one and the others summed
        into one (tables).
    percentile
        The colours end at this percentile of |value|; what lies beyond has the last colour
        (pictures, series).
    signed
        Of a network's channels: negative parts of their map, too (pictures).
    channel_axis
        Which axis of x holds the channels, if the explanation does not know (pictures).
    time_axis
        Which axis of x is the time, 1 or 2; None: the longer one (series).
    ax
        Draw here; None: in a new figure (not "images" and "masks", which always make one).

    Returns
    -------
    matplotlib Axes, or a Figure for "images" and "masks"

    Raises
    ------
    ValueError
        An unknown kind, feature or output, several outputs without `output`, `max_display`
        below 1, or values that do not add up where the kind shows a way from the base value
        to the prediction.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> explanation = xai.explain(f, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)))
    >>> plot(explanation, "waterfall", max_display=1).get_xlabel()
    'value of the output'
    """
    explanation = as_explanation(explanation)
    if kind is None:
        drawn = "signal" if is_series(explanation) else "image"
        kind = drawn if is_drawn(explanation) else "bar"
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, list(KINDS)))
    return KINDS[kind](explanation, **options)


def is_picture(explanation: Explanation) -> bool:
    """Whether each row's values make an image, rather than a table or a series."""
    shape = getattr(explanation.data, "shape", ())[1:]
    flat = len(shape) == 2 and not is_signal(shape)
    picture = flat or (len(shape) == 3 and explanation.channel_axis is not None)
    return picture and per_row(explanation)


def is_series(explanation: Explanation) -> bool:
    """Whether each row's values are of a series with an axis for its channels."""
    return is_signal(getattr(explanation.data, "shape", ())[1:]) and per_row(explanation)


def is_drawn(explanation: Explanation) -> bool:
    """Whether each row's values are laid over it, rather than listed."""
    return is_picture(explanation) or is_series(explanation)
