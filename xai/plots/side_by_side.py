"""Several methods' maps of the same images or series, on one colour scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xai.foreign import as_explanation
from xai.plots.picture import Panel, Scale, colour_bar, draw_heat, draw_photo, panel
from xai.plots.row import read
from xai.plots.signal import channels, draw_below
from xai.plots.style import inches, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.explanation import Explanation


MOST_ALONE, MOST = 5, 8
"""Pictures in a line, of one row and of several: more go on in the next line."""


def named(
    explanations: Mapping[str, Explanation] | Sequence[Explanation],
) -> dict[str, Explanation]:
    """Explanations of the same rows by name: as given, or by their methods.

    Methods that come more than once are told apart by their removal, else by their place.
    """
    if isinstance(explanations, Mapping):
        found = {name: as_explanation(one) for name, one in explanations.items()}
    elif not isinstance(explanations, list | tuple):
        raise TypeError("explanations must be a dict from names to Explanations, or a list of them")
    else:
        ours = [as_explanation(one) for one in explanations]
        methods = [one.method for one in ours]
        long = [f"{one.method}, {one.removal}" for one in ours]
        texts = long if len(set(methods)) < len(methods) else methods
        if len(set(texts)) < len(texts):
            texts = [f"{text} ({place + 1})" for place, text in enumerate(texts)]
        found = dict(zip(texts, ours, strict=True))
    counts = {name: len(one) for name, one in found.items()}
    if not counts:
        raise ValueError("there is nothing to compare: pass at least one explanation")
    if len(set(counts.values())) > 1:
        raise ValueError(f"methods are compared on the same rows; their numbers differ: {counts}")
    return found


def maps(
    explanations: Mapping[str, Explanation],
    rows: Sequence[int],
    output: int | str | None = None,
    *,
    shared: bool = False,
    percentile: float = 99.0,
    signed: bool = False,
    channel_axis: int | None = None,
) -> Figure:
    """Draw a grid: a line for each row with its photograph, a column for each method.

    Many methods go on in further lines.

    See `xai.plots.compare`.
    """
    import matplotlib.pyplot as plt

    drawn = partial(panel, channel_axis=channel_axis, signed=signed)
    panels = [
        shown for row in rows for shown in _panels(explanations, row, output, drawn, "images")
    ]
    many = len(explanations)
    panels, scales = _scaled(panels, many, percentile, shared=shared)
    lines, across = wrapped(many + 1, MOST_ALONE if len(rows) == 1 else MOST)
    bars, down = len({scale.signed for scale in scales}), lines * len(rows)
    size = inches(2.3 * across + 0.9 * bars, (0.75 + 2.1 * panels[0].slimness) * down)
    figure = plt.figure(figsize=size, layout=panels[0].layout)
    first, places = next(iter(explanations.values())), []
    for line, row in enumerate(rows):
        said, of = read(first, row, output), panels[line * many]
        start = line * lines * across + 1
        ax = figure.add_subplot(down, across, start)
        draw_photo(ax, of.photo, [said.output, *said.told], 26, of.aspect)
        for column in range(many):
            index = line * many + column
            ax = figure.add_subplot(down, across, start + column + 1)
            draw_heat(ax, panels[index], scales[index], 26)
            places.append(ax)
    _colour_bars(places, panels, scales, shared=shared)
    return figure


def signals(
    explanations: Mapping[str, Explanation],
    row: int,
    output: int | str | None = None,
    *,
    shared: bool = False,
    percentile: float = 99.0,
    time_axis: int | None = None,
) -> Figure:
    """Draw one series below itself, once for each method; see `xai.plots.compare`."""
    drawn = partial(channels, time_axis=time_axis)
    panels = _panels(explanations, row, output, drawn, "series")
    panels, scales = _scaled(panels, len(panels), percentile, shared=shared)
    said = read(next(iter(explanations.values())), row, output)
    figure = draw_below(panels, scales, [said.output, *said.told])
    _colour_bars(figure.axes, panels, scales, shared=shared)
    return figure


def _panels(
    explanations: Mapping[str, Explanation],
    row: int,
    output: int | str | None,
    drawn: Callable[..., Panel],
    what: str,
) -> list[Panel]:
    """One row by each method, under its name, as it is drawn."""
    said = read(next(iter(explanations.values())), row, output)
    panels = [
        replace(drawn(one, row, output), heading=[read(one, row, output).titled(name, said)])
        for name, one in explanations.items()
    ]
    if any(shown.photo.shape != panels[0].photo.shape for shown in panels):
        raise ValueError(f"methods are compared on the same {what}; their shapes differ")
    return panels


def _scaled(
    panels: list[Panel], methods: int, percentile: float, *, shared: bool
) -> tuple[list[Panel], list[Scale]]:
    """Panels, and the scale of each: one for all, or of each one's own units.

    A method that tells signs in one row is drawn with signs in all.
    """
    if shared:
        return panels, [Scale.of([shown.heat for shown in panels], percentile)] * len(panels)
    alone = [Scale.of([shown.heat], percentile) for shown in panels]
    signs = [any(scale.signed for scale in alone[place::methods]) for place in range(methods)]
    own = [
        Scale.of([shown.heat], percentile, signed=signs[place % methods])
        for place, shown in enumerate(panels)
    ]
    panels = [_relative(shown, scale) for shown, scale in zip(panels, own, strict=True)]
    return panels, [Scale.unit(signed=scale.signed) for scale in own]


def _colour_bars(
    places: Sequence[Axes], panels: Sequence[Panel], scales: Sequence[Scale], *, shared: bool
) -> None:
    """One bar for what has signs, one for what is never negative."""
    for signed in (False, True):
        mine = [index for index, scale in enumerate(scales) if scale.signed == signed]
        if mine:
            units = {panels[index].unit for index in mine}
            same = units.pop() if len(units) == 1 else "attribution"
            unit = same if shared else "in units of ±1" if signed else "from 0 to 1"
            colour_bar(places, [panels[index] for index in mine], scales[mine[0]], unit)


def _relative(shown: Panel, scale: Scale) -> Panel:
    """Values in units of their own scale, which is told in the heading."""
    ends = f"±1 = ±{scale.high:.3g}" if scale.signed else f"0…1 = {scale.low:z.3g}…{scale.high:.3g}"
    return replace(shown, heat=scale.relative(shown.heat), heading=[*shown.heading, ends])
