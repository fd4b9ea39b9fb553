"""Pictures of concepts: a sheet for a class, a figure for one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import as_array
from xai.foreign import as_explanation
from xai.plots.lines import Laid, Line, bar_lines, bare, colour_of, draw_lines, lay, limits_of
from xai.plots.style import NEUTRAL, Z95, inches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai.concepts.bank import ConceptBank
    from xai.concepts.importance import Importance
    from xai.concepts.segments import Ace
    from xai.explanation import Explanation

Floats = NDArray[np.floating[Any]]


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
        concepts in its order: what speaks for the class from the top, what speaks against it from
        the bottom, its bars to the left. None: by mean coefficient, without bars.
    concepts, crops
        At most so many lines, of the most important either way, and crops in each.
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
    order = _order(bank, importance, concepts)
    pictures = _pictures(bank.images, "bank")
    maps = None if bank.model is None else bank.transform()
    if maps is not None and maps.ndim != 4:  # the layer has no places
        maps = None
    lines = []
    for i in map(int, order):
        best = _best_crops(bank, pictures, i, crops)
        laid = [] if maps is None else _laid(pictures, maps[..., i], images)
        lines.append(Line(f"concept {i}", colour_of(i), best, laid))
    named = title or f"concepts of layer {bank.layer!r}"
    if importance is None:
        return draw_lines(lines, crops, named)
    note = (
        f"\nleft over: {importance.reconstruction_error:.0%} of the activations, "
        f"{importance.gap:.2g} of the output"
    )
    return draw_lines(lines, crops, named + note, lambda ax: _bars(ax, importance, order))


def ace_sheet(ace: Ace, *, concepts: int = 6, crops: int = 6, title: str = "") -> Figure:
    """Draw what `xai.concepts.ace` found, a line each: TCAV score, segments, and where they are.

    Parameters
    ----------
    ace
        Its bars are mean scores with 95 % intervals over random sets; a score above the dashed
        line at ½ speaks for the class. Maps are `Ace.transform`'s, or of ``crop="patches"`` the
        concept's segments.
    concepts, crops
        At most so many lines, of the scores furthest from ½, and segments in each.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        No concept is significant.

    Examples
    --------
    >>> import torch, xai
    >>> from dataclasses import replace
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU(),
    ...                           torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    ...                           torch.nn.Linear(4, 2))
    >>> data = xai.datasets.textures(16, size=32).data
    >>> found = xai.concepts.ace(net, data[:6], data[6:], layer="1", target=0, n_concepts=2,
    ...                          segments=(6,), runs=3, size=5)
    >>> every = replace(found, concepts=found.concepts + found.rejected)
    >>> type(ace_sheet(every, crops=2)).__name__
    'Figure'
    """
    if not ace.concepts:
        raise ValueError(
            f"ACE found no significant concept; {len(ace.rejected)} were no more than random"
            if ace.rejected
            else "ACE found no cluster that enough images share: take more images, an earlier "
            f"layer than {ace.layer!r}, or crop='patches'"
        )
    pictures = _pictures(ace.images, "result")
    tests = [cluster.tcav for cluster in ace.concepts]
    order = _largest(np.array([test.mean for test in tests]) - 0.5, concepts)
    maps = ace.transform() if ace.crop == "places" else _covered(ace)
    lines = []
    for i in map(int, order):
        segments = ace.concepts[i].segments
        best = [
            _on_grey(pictures[ace.image[s]], ace.masks[s])
            for s in _one_of_each(ace.image, segments, crops)
        ]
        laid = _laid(pictures, maps[..., i])
        lines.append(Line(f"concept {i}", colour_of(i), best, laid))
    named = title or f"concepts of output {ace.target} in layer {ace.layer!r}"
    note = f"\n{len(ace.concepts)} significant, {len(ace.rejected)} no more than random"

    def bars(ax: Axes) -> None:
        chosen = [tests[i] for i in order]
        scores = np.array([test.mean for test in chosen])
        errors = Z95 * np.array([test.std_error for test in chosen])
        labels = [line.label for line in lines]
        bar_lines(ax, labels, scores, errors, [line.colour for line in lines])
        ax.axvline(0.5, color=NEUTRAL, linewidth=0.8, linestyle="--")
        ax.set_title("TCAV score", loc="left", fontsize="medium")

    return draw_lines(lines, crops, named + note, bars)


def concepts_of_image(explanation: Explanation, row: int = 0, *, concepts: int = 5) -> Figure:
    """Draw one image's concepts: the image, where each of them is, and how much it matters.

    Parameters
    ----------
    explanation
        Of concepts, as ``xai.explain(model, x, "craft", bank=bank)`` returns.
    concepts
        So many, the largest by |value|; what speaks against the output has its bar to the left.

    Raises
    ------
    ValueError
        The explanation is of no concepts, or of several targets.

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
    if one.activations.ndim != 4:
        raise ValueError("kind='concepts' is for images: leave kind out, or pass 'signal'")
    if one.values.ndim != 2:
        raise ValueError("kind='concepts' draws one output: explain one target")
    values, maps = one.values[0], np.moveaxis(one.activations[0], 0, -1)
    if "slope" in one.info:  # shares of variance have no sign of their own
        values = np.abs(values) * np.sign(one.info["slope"][0])
    order = _largest(values, concepts)
    assert one.channel_axis is not None
    array = as_array(one.data)
    assert array is not None
    picture = _stretched(np.moveaxis(array, one.channel_axis, -1))[0]
    slim = float(np.clip(picture.shape[0] / picture.shape[1], 0.4, 2.0))
    figure = plt.figure(figsize=inches(9.4, 0.8 + 2.8 * slim), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 0.9])
    for ax in (left, middle):
        bare(ax)
    left.imshow(picture, cmap="gray", vmin=0, vmax=1)
    colours = [colour_of(int(i)) for i in order]
    layers = [maps[..., i] for i in order]
    lay(middle, picture, layers, colours, list(map(limits_of, layers)))
    errors = None if one.std_error is None else Z95 * one.std_error[0][order]
    bar_lines(right, [one.feature_names[i] for i in order], values[order], errors, colours)
    name = one.output_names[int(np.ravel(one.target)[0])] if one.output_names else ""
    left.set_title(f"{name}: {one.predictions[0]:.3g}", fontsize="medium", parse_math=False)
    middle.set_title("where the concepts are", fontsize="medium")
    told = one.method if errors is None else f"{one.method}, 95 % intervals"
    right.set_title(told, fontsize="medium", parse_math=False)
    return figure


# ----------------------------------------------------------------------------------------- parts


def _order(bank: ConceptBank, importance: Importance | None, k: int) -> NDArray[np.intp]:
    if importance is None:
        return np.argsort(-bank.coefficients.mean(axis=0), kind="stable")[:k]
    return _largest(importance.signed, k)


def _largest(signed: Floats, k: int) -> NDArray[np.intp]:
    """The k largest either way, from the most for to the most against."""
    chosen = np.argsort(-np.abs(signed), kind="stable")[:k]
    return chosen[np.argsort(-signed[chosen], kind="stable")]


def _pictures(images: NDArray[Any] | None, what: str) -> Floats:
    if images is None:
        raise ValueError(f"this {what} was saved without its images, so there are no crops to draw")
    if images.ndim != 4:
        raise ValueError(
            f"a sheet is of images, and this {what} of rows of {images.shape[1:]}: look at "
            "bank.crops(i), or at explain(…, players=xai.players.Concepts(bank)).plot()"
        )
    return _stretched(np.moveaxis(images, 1, -1))


def _stretched(images: NDArray[Any]) -> Floats:
    """Images (n, H, W, channels) in [0, 1], all alike; colours where there are three channels."""
    images = images.astype(np.float64)
    low, high = images.min(), images.max()
    images = (images - low) / (high - low) if high > low else np.full_like(images, 0.5)
    return images[..., :3] if images.shape[-1] in (3, 4) else images.mean(axis=-1)


def _best_crops(bank: ConceptBank, pictures: Floats, i: int, k: int) -> list[Floats]:
    """The crops that have most of a concept, at most one of each image where these suffice."""
    order = bank.best(i, len(bank.boxes))
    chosen = _one_of_each(bank.boxes[:, 0], order, k)
    return [
        pictures[image, top : top + high, left : left + wide]
        for image, top, left, high, wide in bank.boxes[chosen]
    ]


def _covered(ace: Ace) -> Floats:
    """Where each concept's segments are, (n, H, W, r): cut out, they are of another scale."""
    where = np.zeros((len(ace.images), *ace.masks.shape[1:], len(ace.concepts)))
    for i, cluster in enumerate(ace.concepts):
        for s in cluster.segments:
            where[ace.image[s], ..., i] += ace.masks[s]
    return np.minimum(where, 1)


def _one_of_each(image: NDArray[np.intp], order: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """The first k of `order`, at most one of each image where these suffice."""
    _, first = np.unique(image[order], return_index=True)
    chosen = np.sort(first)[:k]
    rest = np.setdiff1d(np.arange(len(order)), chosen)
    best: NDArray[np.intp] = order[np.concatenate([chosen, rest[: k - len(chosen)]])]
    return best


def _on_grey(picture: Floats, mask: NDArray[np.bool_]) -> Floats:
    """A segment on mid-grey, cut out to its bounding box."""
    from xai.concepts.segments import box

    (top, bottom), (left, right) = box(mask)
    shown = np.where(mask if picture.ndim == 2 else mask[..., None], picture, 0.5)
    return shown[top:bottom, left:right]


def _laid(pictures: Floats, where: Floats, images: Sequence[int] | None = None) -> list[Laid]:
    """A concept's maps (n, h, w) over these images, or the three that have most of it."""
    most = np.argsort(-where.mean(axis=(1, 2)), kind="stable")[:3]
    limits = limits_of(where)
    return [(pictures[i], where[i], limits) for i in (most if images is None else images)]


def _bars(ax: Axes, importance: Importance, order: NDArray[np.intp]) -> None:
    """Importances, one line high each, so that they stand beside their crops."""
    both = np.nan_to_num(importance.spread)
    if importance.std_error is not None:
        both = np.hypot(both, importance.std_error)
    signed = importance.signed[order]
    labels = [
        f"concept {i}" + ("\n(against)" if v < 0 else "")
        for i, v in zip(order, signed, strict=True)
    ]
    colours = [colour_of(int(i)) for i in order]
    bar_lines(ax, labels, signed, Z95 * both[order], colours)
    ax.set_title("importance", loc="left", fontsize="medium")
