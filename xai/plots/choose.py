"""Choose the picture that fits what was explained."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.foreign import as_explanation
from xai.plots.concepts import concepts_of_image
from xai.plots.heatmap import heatmap
from xai.plots.image import image, images, slices
from xai.plots.interactions import interactions
from xai.plots.masks import masks
from xai.plots.paths import decision, force
from xai.plots.row import lies_over_rows, per_row
from xai.plots.signal import axes_of_places, is_series, signal
from xai.plots.swarm import beeswarm, scatter
from xai.plots.table import bar, global_bar, waterfall
from xai.plots.text import text
from xai.suggest import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    "interactions": interactions,
    "image": image,
    "images": images,
    "concepts": concepts_of_image,
    "masks": masks,
    "signal": signal,
    "text": text,
    "slices": slices,
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
        `highlight`); of either, with `order=2`: "interactions". Of images: "image", "images",
        "masks", "concepts". Of series: "signal", "masks". Of volumes: "slices". Of texts: "text".
        None: "bar", "image", "signal", "slices" or "text", as fits the data.
    row
        Which row ("bar", "waterfall", "force", "image", "masks", "concepts", "signal", "text",
        "interactions").
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
        (pictures, series, texts).
    signed
        Of a network's channels: negative parts of their map, too (pictures).
    channel_axis
        Which axis of x holds the channels, if the explanation does not know (pictures).
    time_axis
        Which axis of x is the time, 1 or 2; None: the one without the channels, where the
        explanation knows, else the longer one (series).
    words
        A word for each player, of token ids (texts).
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
        kind = _fitting(explanation)
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, list(KINDS)))
    check_options(repr(kind), KINDS[kind], options)
    return KINDS[kind](explanation, **options)


def check_options(what: str, draw: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a picture has not, and the lack of one that it needs."""
    _, *known = signature(draw).parameters.values()
    for name in options:
        if name not in [each.name for each in known]:
            raise TypeError(unknown(f"option of {what}", name, [each.name for each in known]))
    for each in known:
        if each.default is Parameter.empty and each.name not in options:
            raise TypeError(f"{what} needs {each.name}=")


def _fitting(explanation: Explanation) -> str:
    """The kind of picture that fits what was explained."""
    if is_series(explanation):
        return "signal"
    if is_picture(explanation):
        return "image"
    if axes_of_places(explanation) == 3 and _of_places(explanation):
        return "slices"
    return "text" if explanation.is_text else "bar"


def is_picture(explanation: Explanation) -> bool:
    """Whether each row's values make an image, rather than a table, a series or colours."""
    return axes_of_places(explanation) == 2 and _of_places(explanation)


def _of_places(explanation: Explanation) -> bool:
    """Whether values differ from place to place, as those of channels do not."""
    axis, owners = explanation.channel_axis, explanation.element_players
    if not axis or explanation.layer or explanation.spans is not None:
        return lies_over_rows(explanation)
    of_places = np.moveaxis(owners, axis, -1).reshape(len(owners), -1, owners.shape[axis])
    return per_row(explanation) and bool((of_places != of_places[:, :1]).any())


def is_drawn(explanation: Explanation) -> bool:
    """Whether each row's values are laid over it, rather than listed."""
    return is_picture(explanation) or is_series(explanation)
