"""Masked images: learned masks of several areas, and what is left as a map is followed."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xai.foreign import as_explanation
from xai.plots.picture import Floats, Panel, Scale, colour_bar, draw_heat, draw_photo, panel
from xai.plots.row import read
from xai.plots.signal import channels, draw_below, is_series, panel_of, time_is_first
from xai.plots.style import NEGATIVE, POSITIVE, inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation
    from xai.metrics.score import Score


def masks(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    channel_axis: int | None = None,
) -> Figure:
    """Draw an image as each of its learned masks shows it, with the area each one keeps.

    What is kept stays in colour, the rest fades to grey; the line is where the mask is half.

    Parameters
    ----------
    explanation
        With ``info["masks"]``, (n, areas, H, W) in [0, 1], as `extremal_perturbation` gives; of
        series (n, areas, T), which are drawn as colours behind their lines.
    row, output, channel_axis
        As in `plot`.

    Returns
    -------
    matplotlib Figure
        The photograph, and one picture for each area.

    Raises
    ------
    ValueError
        The explanation holds no masks, or they do not fit the images.

    Examples
    --------
    >>> import numpy as np, xai
    >>> from dataclasses import replace
    >>> f = lambda x: x[:, :2].sum(axis=(1, 2, 3))
    >>> e = xai.explain(f, np.ones((1, 6, 6, 1)), "occlusion", data=np.zeros((1, 6, 6, 1)))
    >>> kept = np.zeros((1, 1, 6, 6))
    >>> kept[..., :2, :] = 1
    >>> figure = masks(replace(e, info={"masks": kept}))
    >>> figure.axes[1].get_title()
    'keeps 33.3 %'
    """
    import matplotlib.pyplot as plt

    explanation = as_explanation(explanation)
    shown = panel_of(explanation, row, output, channel_axis)
    found = _masks(explanation, row, shown)
    if is_series(explanation):
        return _along_time(channels(explanation, row, output, None), found)
    size = inches(2.4 * (len(found) + 1) + 0.2, 0.75 + 2.4 * shown.slimness)
    figure = plt.figure(figsize=size, layout=shown.layout)
    first = figure.add_subplot(1, len(found) + 1, 1)
    draw_photo(first, shown.photo, shown.heading, aspect=shown.aspect)
    for place, mask in enumerate(found):
        ax = figure.add_subplot(1, len(found) + 1, place + 2)
        draw_photo(ax, faded(shown.photo, mask), [_keeps(mask)], aspect=shown.aspect)
        if mask.min() < 0.5 < mask.max():
            ax.contour(mask, [0.5], colors=[POSITIVE], linewidths=1.2)
    return figure


def _along_time(shown: Panel, found: Floats) -> Figure:
    """A series below itself, over the colours of each mask."""
    whole, scale = np.ones_like(shown.heat), Scale.unit(signed=False)
    panels = [replace(shown, heat=mask * whole, heading=[_keeps(mask)]) for mask in found]
    figure = draw_below(panels, [scale] * len(panels), shown.heading)
    colour_bar(figure.axes, panels, scale, "mask")
    return figure


def _keeps(mask: Floats) -> str:
    return f"keeps {mask.mean():.1%}".replace("%", " %")


def _masks(explanation: Explanation, row: int, shown: Panel) -> Floats:
    """One row's masks (areas, H, W)."""
    if "masks" not in explanation.info:
        raise ValueError(
            f"{explanation.method} learned no masks: info['masks'] comes with methods such as "
            "'extremal_perturbation'"
        )
    found = np.asarray(explanation[row].info["masks"][0], float)
    steps = is_series(explanation) and found.ndim == 2  # all channels together
    sides = shown.heat.shape[steps:]
    if found.shape[1:] != sides:
        raise ValueError(
            f"one row's masks have the shape {found.shape}; expected (areas, "
            f"{', '.join(map(str, sides))})"
        )
    return found


def faded(photo: Floats, mask: Floats) -> Floats:
    """A photograph whose removed parts, mask 0, are the middle of its own colours, greyed."""
    colour = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, axis=-1)
    mean = 0.5 + 0.5 * float(colour.mean())
    ghost = 0.75 * mean + 0.25 * colour.mean(axis=-1, keepdims=True)
    return np.asarray(mask[..., None] * colour + (1 - mask[..., None]) * ghost)


def strip(
    explanation: Explanation,
    score: Score,
    row: int = 0,
    output: int | str | None = None,
    *,
    frames: int = 6,
    percentile: float = 99.0,
    channel_axis: int | None = None,
) -> Figure:
    """Draw how an image goes as its map is followed, over the curve of the model's output.

    Parameters
    ----------
    explanation
        Of images.
    score
        `xai.metrics.deletion` or `insertion` of this explanation, or another with a curve from
        nothing changed to everything changed, in its own players.
    row, output
        As in `plot`; the score is of this output.
    frames
        So many images from the first step to the last. What is removed is shown faded, whatever
        the model was given in its place: `score.removal`, which is told below.
    percentile, channel_axis
        As in `plot`.

    Returns
    -------
    matplotlib Figure
        The map, the frames, and the curve.

    Raises
    ------
    ValueError
        The score has no curve, or is of other rows.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, :2].sum(axis=(1, 2, 3))
    >>> x = np.random.default_rng(0).random((1, 6, 6, 1))
    >>> e = xai.explain(f, x, "occlusion", removal="baseline")
    >>> figure = strip(e, xai.metrics.deletion(f, x, e, removal="baseline"), frames=3)
    >>> [ax.get_title() for ax in figure.axes[1:4]]
    ['0 %', '50 %', '100 %']
    """
    import matplotlib.pyplot as plt

    from xai.metrics.paths import cuts

    made = panel_of if _along_known_time(as_explanation(explanation)) else panel
    shown, said = made(explanation, row, output, channel_axis), read(explanation, row, output)
    curve = _curve(score, len(explanation), row)
    order, players = _order(explanation[row], said.values, shown)
    steps = np.unique(np.linspace(0, len(curve) - 1, frames).round().astype(int))
    figure = plt.figure(
        figsize=inches(1.7 * (len(steps) + 1) + 0.6, 2.7 + 1.7 * shown.slimness),
        layout="constrained",
    )
    grid = figure.add_gridspec(2, len(steps) + 1, height_ratios=[1.7 * shown.slimness + 0.4, 1.6])
    first = figure.add_subplot(grid[0, 0])
    draw_heat(first, shown, Scale.of([shown.heat], percentile), 22)
    for place, step in enumerate(steps):
        changed = order < cuts(players, len(curve) - 1)[step]
        kept = changed if score.name == "insertion" else ~changed
        ax = figure.add_subplot(grid[0, place + 1])
        share = 100 * step / (len(curve) - 1)
        seen = faded(shown.photo, kept.astype(float))
        draw_photo(ax, seen, [f"{share:.0f} %"], aspect=shown.aspect)
    ax = figure.add_subplot(grid[1, 1:])
    _draw_curve(ax, curve, steps, score, said.output)
    return figure


def _curve(score: Score, rows: int, row: int) -> Floats:
    if score.curve is None:
        raise ValueError(f"{score.name} has no curve: pass the Score of 'deletion' or 'insertion'")
    if len(score) != rows:
        raise ValueError(f"the score is of {len(score)} rows, and the explanation of {rows}")
    curve = np.asarray(score.curve[row], float)
    return np.asarray(curve[~np.isnan(curve)])  # rows with fewer players have fewer steps


def _order(one: Explanation, values: Floats, shown: Panel) -> tuple[NDArray[np.intp], int]:
    """Of each pixel the place of its player in the order of removal, and the number of players.

    The players, of these values, are the explanation's own where these are parts of the image;
    windows that overlap and a network's channels are scored as pixels.
    """
    owner = one.element_players[0]
    if _along_known_time(one):
        owner = np.atleast_2d(owner.T if time_is_first(one) else owner)
    if one.layer or one.spans is not None:
        heat = shown.heat[:1] if _along_known_time(one) else shown.heat  # channels together
        owner, values = np.arange(heat.size).reshape(heat.shape), heat.ravel()
        owner = np.broadcast_to(owner, shown.heat.shape)
    elif owner.ndim == 3 and one.channel_axis is not None:
        owner = np.take(owner, 0, axis=one.channel_axis - 1)
    place = np.empty(len(values), int)
    place[np.argsort(-values, kind="stable")] = np.arange(len(values))
    # what no player owns is never removed
    return np.where(owner < 0, len(values), place[np.maximum(owner, 0)]), len(values)


def _along_known_time(one: Explanation) -> bool:
    """Whether rows are series whose channels are known, and so their time."""
    return one.channel_axis is not None and is_series(one)


def _draw_curve(ax: Axes, curve: Floats, steps: NDArray[np.intp], score: Score, name: str) -> None:
    share = np.linspace(0, 100, len(curve))
    ax.plot(share, curve, color=NEGATIVE)
    ax.fill_between(share, curve, min(0.0, curve.min()), color=NEGATIVE, alpha=0.15, linewidth=0)
    ax.plot(share[steps], curve[steps], "o", color=NEGATIVE, markersize=5)
    half = 50 / max(len(steps) - 1, 1)
    ax.set_xlim(-half, 100 + half)  # so that each frame stands over its place
    ax.set_xticks(share[steps].round())
    done = "put back" if score.name == "insertion" else "removed"
    note = f"; the model saw them as {score.removal}" if score.removal else ""
    ax.set_xlabel("\n".join(textwrap.wrap(f"players {done} (%){note}", 90)), parse_math=False)
    ax.set_ylabel("\n".join(textwrap.wrap(name, 24)), parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
