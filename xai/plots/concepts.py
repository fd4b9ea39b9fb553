"""Pictures of concepts: a sheet for a class, a figure for one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import as_array
from xai.foreign import as_explanation
from xai.plots.style import NEUTRAL, Z95, signed
from xai.resize import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from xai.concepts.bank import ConceptBank
    from xai.concepts.importance import Importance
    from xai.explanation import Explanation

Floats = NDArray[np.floating[Any]]

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#8c564b")
"""One for each concept, told apart by every common kind of colour blindness (Okabe & Ito)."""
SHOWN = 90.0
"""Percentile of a concept's coefficients, over all images drawn, below which a map is clear."""


def concept_sheet(
    bank: ConceptBank,
    importance: Importance | None = None,
    *,
    concepts: int = 6,
    crops: int = 6,
    images: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw a class's concepts, a line each: importance, best crops, and where it is.

    Parameters
    ----------
    bank
        What `xai.concepts.fit` returned, with its images and, for maps, its network.
    importance
        What `ConceptBank.importance` returned; bars of it come first, with 95 % intervals, and
        concepts in its order. None: by mean coefficient, without bars.
    concepts, crops
        At most so many lines, and crops in each.
    images
        Indices of the bank's images to lay maps over; None: for each concept the three that have
        most of it. Where a bank has no network there are no maps.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bank = xai.concepts.fit(net, x, layer="1", n_concepts=2)
    >>> type(concept_sheet(bank, crops=2)).__name__
    'Figure'
    """
    import matplotlib.pyplot as plt

    order = _order(bank, importance)[:concepts]
    pictures = _pictures(bank)
    maps = None if bank.model is None else bank.transform()
    maps = None if maps is None or maps.ndim != 4 else maps
    if images is not None and len(images) == 0:
        maps = None
    over = 0 if maps is None else min(3, len(pictures)) if images is None else len(images)
    first = 1 if importance is not None else 0
    widths = [1.7] * first + [1.0] * (crops + over)
    size = (1.25 * sum(widths) + 0.4, 1.3 * len(order) + 0.9)
    figure = plt.figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(order), len(widths), width_ratios=widths)
    if importance is not None:
        _bars(figure.add_subplot(grid[:, 0]), importance, order)
    for line, i in enumerate(order):
        colour = colour_of(int(i))
        places = [figure.add_subplot(grid[line, first + j]) for j in range(crops + over)]
        for ax in places:
            _bare(ax)
        for ax, crop in zip(
            places[:crops], _best_crops(bank, pictures, int(i), crops), strict=False
        ):
            ax.imshow(crop, cmap="gray", vmin=0, vmax=1)
            _frame(ax, colour)
        if maps is not None:
            at = _most(maps[..., i], over) if images is None else images
            for ax, image in zip(places[crops:], at, strict=True):
                _lay(ax, pictures[image], [maps[image, ..., i]], [colour], _limits(maps[..., [i]]))
        if importance is None:
            places[0].set_ylabel(f"concept {i}", color=colour)
        if line == 0:
            places[0].set_title("crops with most of it", loc="left", fontsize="medium")
            if over:
                places[crops].set_title("where it is", loc="left", fontsize="medium")
    named = title or f"concepts of layer {bank.layer!r}"
    note = (
        ""
        if importance is None
        else (
            f"\nleft over: {importance.reconstruction_error:.0%} of the activations, "
            f"{importance.gap:.2g} of the output"
        )
    )
    figure.suptitle(named + note, fontsize="medium")
    return figure


def concepts_of_image(explanation: Explanation, row: int = 0, *, concepts: int = 5) -> Figure:
    """Draw one image's concepts: the image, where each of them is, and how much it matters.

    Parameters
    ----------
    explanation
        Of concepts, as ``xai.explain(model, x, "craft", bank=bank)`` returns.
    concepts
        So many, the largest by |value|.

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bank = xai.concepts.fit(net, x, layer="1", n_concepts=2)
    >>> figure = concepts_of_image(xai.explain(net, x[:1], "craft", bank=bank))
    >>> type(figure).__name__
    'Figure'
    """
    import matplotlib.pyplot as plt

    one = as_explanation(explanation)[row]
    if one.activations is None or one.activations.shape[1] != one.values.shape[1]:
        raise ValueError("kind='concepts' is for explanations of concepts, with maps of them")
    if one.values.ndim != 2:
        raise ValueError("kind='concepts' draws one output: explain one target")
    values, maps = one.values[0], np.moveaxis(one.activations[0], 0, -1)
    order = np.argsort(-np.abs(values), kind="stable")[:concepts]
    assert one.channel_axis is not None
    array = as_array(one.data)
    assert array is not None
    picture = _stretched(np.moveaxis(array, one.channel_axis, -1))[0]
    slim = float(np.clip(picture.shape[0] / picture.shape[1], 0.4, 2.0))
    figure = plt.figure(figsize=(9.4, 0.8 + 2.8 * slim), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 0.9])
    for ax in (left, middle):
        _bare(ax)
    left.imshow(picture, cmap="gray", vmin=0, vmax=1)
    colours = [colour_of(int(i)) for i in order]
    layers = [maps[..., i] for i in order]
    _lay(middle, picture, layers, colours, _limits(maps[None][..., order]))
    errors = None if one.std_error is None else Z95 * one.std_error[0][order]
    _bar_lines(right, [one.feature_names[i] for i in order], values[order], errors, colours)
    name = one.output_names[int(np.ravel(one.target)[0])] if one.output_names else ""
    left.set_title(f"{name}: {one.predictions[0]:.3g}", fontsize="medium", parse_math=False)
    middle.set_title("where the concepts are", fontsize="medium")
    right.set_title(f"{one.method}, 95 % intervals", fontsize="medium", parse_math=False)
    return figure


def colour_of(concept: int) -> str:
    """A concept's colour, in every picture."""
    return COLOURS[concept % len(COLOURS)]


# ----------------------------------------------------------------------------------------- parts


def _order(bank: ConceptBank, importance: Importance | None) -> NDArray[np.intp]:
    if importance is None:
        return np.argsort(-bank.coefficients.mean(axis=0), kind="stable")
    return np.argsort(-np.abs(importance.values), kind="stable")


def _pictures(bank: ConceptBank) -> Floats:
    if bank.images is None:
        raise ValueError("this bank was saved without its images, so there are no crops to draw")
    return _stretched(np.moveaxis(bank.images, 1, -1))


def _stretched(images: NDArray[Any]) -> Floats:
    """Images (n, H, W, channels) in [0, 1], all alike; colours where there are three channels."""
    images = images.astype(np.float64)
    low, high = images.min(), images.max()
    images = (images - low) / (high - low) if high > low else np.full_like(images, 0.5)
    return images[..., :3] if images.shape[-1] in (3, 4) else images.mean(axis=-1)


def _best_crops(bank: ConceptBank, pictures: Floats, i: int, k: int) -> list[Floats]:
    """The crops that have most of a concept, at most one of each image where these suffice."""
    order = bank.best(i, len(bank.boxes))
    _, first = np.unique(bank.boxes[order, 0], return_index=True)
    chosen = np.sort(first)[:k]
    if len(chosen) < k:
        rest = np.setdiff1d(np.arange(len(order)), chosen)
        chosen = np.concatenate([chosen, rest[: k - len(chosen)]])
    boxes = bank.boxes[order[chosen]]
    return [
        pictures[image, top : top + high, left : left + wide]
        for image, top, left, high, wide in boxes
    ]


def _most(maps: Floats, k: int) -> NDArray[np.intp]:
    """The images (n, h, w) that have most of a concept."""
    return np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[:k]


def _limits(maps: Floats) -> list[tuple[float, float]]:
    """Of each concept (n, h, w, r): where a map begins to show, and where it is full."""
    flat = maps.reshape(-1, maps.shape[-1])
    low, high = np.percentile(flat, [SHOWN, 99], axis=0)
    return [(float(a), float(max(b, a))) for a, b in zip(low, high, strict=True)]


def _lay(
    ax: Axes,
    picture: Floats,
    maps: Sequence[Floats],
    colours: Sequence[str],
    limits: Sequence[tuple[float, float]],
) -> None:
    """Concepts in their colours over a pale, grey picture."""
    grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
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
    _frame(ax, colours[0] if len(colours) == 1 else NEUTRAL)


def _ramp(colour: str) -> Colormap:
    """From clear to the colour."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    ends = [to_rgba(colour, 0.0), to_rgba(colour, 0.7)]
    return LinearSegmentedColormap.from_list("concept", ends)


def _bars(ax: Axes, importance: Importance, order: NDArray[np.intp]) -> None:
    """Importances, one line high each, so that they stand beside their crops."""
    both = np.nan_to_num(importance.spread)
    if importance.std_error is not None:
        both = np.hypot(both, importance.std_error)
    labels = [f"concept {i}" for i in order]
    against = (importance.effect[order] < 0) & (importance.values[order] > 0)
    labels = [
        f"{label}\n(against)" if a else label for label, a in zip(labels, against, strict=True)
    ]
    colours = [colour_of(int(i)) for i in order]
    _bar_lines(ax, labels, importance.values[order], Z95 * both[order], colours)
    ax.set_title("importance", loc="left", fontsize="medium")


def _bar_lines(
    ax: Axes,
    labels: Sequence[str],
    values: Floats,
    errors: Floats | None,
    colours: Sequence[str],
) -> None:
    lines = range(len(labels))
    known = None if errors is None else np.nan_to_num(errors)
    ax.barh(lines, values, xerr=known, color=colours, height=0.45, error_kw={"capsize": 2})
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


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _frame(ax: Axes, colour: str) -> None:
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(colour)
        spine.set_linewidth(1.5)
