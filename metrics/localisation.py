"""Does the attribution lie where the truth is? Metrics against a mask.

`mask` tells which features (pixels) matter: shaped like the attributions, like x, or like images
without their channels; for every row, or one for all. Numbers other than 0 count as True. The
attributions' sign counts: what matters is expected to be positive (pass ``abs(e.values)`` where
it need not be). Among attributions that are equal, but for rounding, chance would decide, and its
expectation is scored. A row whose mask is empty has no score: NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from xai.explanation import Explanation
from xai.inputs import dense, on_host
from xai.metrics import checks
from xai.metrics.attributed import has_places, in_columns_of
from xai.metrics.case import Case, Result, metric
from xai.metrics.numerics import FLAT, average_ranks, ratio
from xai.metrics.paths import Amount, amounts
from xai.metrics.score import Floats, Indices
from xai.places import sides_of

Inside = NDArray[np.bool_]


@metric
def pointing_game(case: Case, *, mask: Any) -> Floats:
    """Whether the largest attribution lies in the mask: 1 or 0; a share where several are largest.

    Zhang et al. 2018, without their tolerance of some pixels.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[3.0, 1.0], [1.0, 2.0], [1.0, 1.0]])
    >>> pointing_game(None, None, a, mask=[True, False]).values
    array([1. , 0. , 0.5])
    """
    a, inside = aligned(case, mask)
    return _hits(inside, *_at_the_last(a, inside, np.ones(len(a), np.intp)))


@metric
def relevance_mass(case: Case, *, mask: Any) -> Floats:
    """Share of the positive attribution in the mask: ``Σ_mask a⁺ / Σ a⁺``.

    Arras, Osman & Samek 2022; NaN where nothing is positive.

    Examples
    --------
    >>> import numpy as np
    >>> relevance_mass(None, None, np.array([[3.0, 1.0, -5.0]]), mask=[True, False, True]).mean()
    0.75
    """
    return _mass(*aligned(case, mask))


@metric
def relevance_rank(case: Case, *, mask: Any) -> Floats:
    """Share of the mask's K features among the K largest attributions.

    Arras, Osman & Samek 2022.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[3.0, 1.0, 2.0]])
    >>> relevance_rank(None, None, a, mask=[True, True, False]).mean()
    0.5
    """
    a, inside = aligned(case, mask)
    K = inside.sum(axis=1)
    return ratio(_hits(inside, *_at_the_last(a, inside, K)), K)


@metric
def roc_auc(case: Case, *, mask: Any) -> Floats:
    """Chance that a feature in the mask is attributed more than one outside (ties count half).

    NaN also where the mask covers everything.

    Examples
    --------
    >>> import numpy as np
    >>> roc_auc(None, None, np.array([[3.0, 1.0, 2.0]]), mask=[True, True, False]).mean()
    0.5
    """
    a, inside = aligned(case, mask)
    absent = np.isneginf(a).sum(axis=1)  # they rank below all others
    ins = inside.sum(axis=1)
    out = a.shape[1] - ins - absent
    size = _largest(a)
    below = np.where(np.isneginf(a), np.inf, a).min(axis=1, keepdims=True) - size - (size == 0)
    ranks = average_ranks(np.where(np.isneginf(a), below, a))
    ranks = np.where(inside, ranks, 0.0).sum(axis=1)
    return ratio(ranks - ins * (ins + 1) / 2 - ins * absent, ins * out)


@metric
def iou(case: Case, *, mask: Any, k: Amount | None = None) -> Floats:
    """Intersection over union of the mask and the k largest attributions.

    `k` None: as many as the mask has.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[3.0, 1.0, 2.0]])
    >>> iou(None, None, a, mask=[True, False, False], k=2).mean()
    0.5
    """
    a, inside = aligned(case, mask)
    size = inside.sum(axis=1)
    if k is None:
        sizes = size[:, None]
    else:
        present = (~np.isneginf(a)).sum(axis=1)
        sizes = np.stack([amounts(k, int(d)) for d in present])
    return np.asarray(np.mean([_iou(a, inside, s) for s in sizes.T], axis=0))


@metric
def grid_pointing(case: Case, *, cell: Any, grid: int = 2) -> Floats:
    """Share of the positive attribution in the mosaic's cells that show the target.

    Images are mosaics of `grid` × `grid` images. Böhle, Fritz & Schiele 2021; with several cells
    of the target, Focus (Arias-Duart et al. 2022).

    Parameters
    ----------
    cell : (n,) int or one int, or (n, grid²) bool
        The cells of the target, row by row.
    grid : int

    Raises
    ------
    ValueError
        A grid of more cells than pixels, or a cell outside it.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.zeros((1, 4, 4))
    >>> a[0, 0, 3], a[0, 3, 3] = 3.0, 1.0
    >>> grid_pointing(None, None, a, cell=1).mean()
    0.75
    """
    image = _image(case)
    n, height, width = image.shape
    checks.count("grid", grid)
    if min(height, width) < grid:
        raise ValueError(f"grid={grid}: images have {height} × {width} pixels")
    chosen = np.asarray(on_host(cell))
    several = chosen.dtype == bool
    fits = ((grid**2,), (n, grid**2)) if several else ((), (n,))
    if chosen.dtype.kind not in "iub" or chosen.shape not in fits:
        raise ValueError(
            f"cell={cell!r:.80}: expected an integer, one for each of {n} rows, or a mask of "
            f"{grid**2} cells"
        )
    if not several:
        chosen = np.broadcast_to(chosen, (n,))
        bad = (chosen < 0) | (chosen >= grid * grid)
        if bad.any():
            raise ValueError(
                f"cell {chosen[bad][0]}: a {grid} × {grid} mosaic has 0 to {grid**2 - 1}"
            )
        chosen = chosen[:, None] == np.arange(grid * grid)
    row, column = np.arange(height) * grid // height, np.arange(width) * grid // width
    inside = np.broadcast_to(chosen, (n, grid * grid))[:, row[:, None] * grid + column]
    return _mass(image.reshape(n, -1), inside.reshape(n, -1))


@metric
def suppressor_mass(case: Case, *, mask: Any) -> Result:
    """Share of |attribution| on features that know nothing of the target: those not in the mask.

    ``Σ_outside |a| / Σ |a|``. ``info["pooled"]`` is ``E Σ_outside |a| / E Σ |a|`` over the rows
    (Wilming et al. 2023). A faithful explanation of a good model may have to score badly.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[3.0, -1.0], [1.0, 1.0]])
    >>> score = suppressor_mass(None, None, a, mask=[True, False])
    >>> score.values, round(float(score.info["pooled"]), 3)
    (array([0.25, 0.5 ]), 0.333)
    """
    a, inside = aligned(case, mask)
    size = np.where(np.isneginf(a), 0.0, np.abs(a))
    empty = ~inside.any(axis=1)
    outside = ratio(np.where(inside, 0.0, size).sum(axis=1), size.sum(axis=1))
    pooled = ratio(np.where(inside, 0.0, size)[~empty].sum(), size[~empty].sum())
    return Result(np.where(empty, np.nan, outside), info={"pooled": pooled})


def _mass(a: Floats, inside: Inside) -> Floats:
    positive = np.maximum(a, 0.0)  # absent features are -inf
    mass = ratio(np.where(inside, positive, 0.0).sum(axis=1), positive.sum(axis=1))
    return np.where(inside.any(axis=1), mass, np.nan)


def _hits(inside: Inside, sure: Indices, left: Indices, good: Indices, equal: Indices) -> Floats:
    """How many of the largest lie inside, in expectation over the order of equals."""
    return np.where(inside.any(axis=1), sure + left * good / equal, np.nan)


def _iou(a: Floats, inside: Inside, k: Indices) -> Floats:
    """Intersection over union with the k (n,) largest, in expectation over the order of equals."""
    both, of_rows = k + inside.sum(axis=1), _at_the_last(a, inside, k)
    hits, (_, left, good, equal) = _hits(inside, *of_rows), of_rows
    out = np.asarray(hits / (both - hits))
    for i in np.flatnonzero((left < equal) & (good > 0) & (good < equal)):  # else hits are sure
        sure, left, good, equal = (part[i] for part in of_rows)
        met = np.arange(max(0, left + good - equal), min(left, good) + 1)
        ways = -sum(
            gammaln(1 + m) for m in (met, good - met, left - met, equal - good - left + met)
        )
        chance = np.exp(ways - ways.max())  # hypergeometric
        out[i] = np.average((sure + met) / (both[i] - sure - met), weights=chance)
    return out


def _at_the_last(
    a: Floats, inside: Inside, k: Indices
) -> tuple[Indices, Indices, Indices, Indices]:
    """Of the k (n,) largest: how many above the last lie inside, and how many are not above it.

    And how many of the equals of the last lie inside, and are there.
    """
    last = np.take_along_axis(-np.sort(-a, axis=1), np.maximum(k - 1, 0)[:, None], axis=1)
    slack = FLAT * _largest(a)
    above = a > last + slack
    equal = (a >= last - slack) & ~above
    left = k - above.sum(axis=1)
    return (above & inside).sum(axis=1), left, (equal & inside).sum(axis=1), equal.sum(axis=1)


def _largest(a: Floats) -> Floats:
    """The largest |a| of each row, (n, 1)."""
    return np.asarray(np.where(np.isneginf(a), 0.0, np.abs(a)).max(axis=1, keepdims=True))


def aligned(case: Case, mask: Any) -> tuple[Floats, Inside]:
    """Attributions and mask as (n, m) each; -inf, and not inside, where a row has no feature."""
    truth = dense(in_columns_of(case.scene.x, mask), "mask=")
    if mask is None:
        raise TypeError("a mask is of booleans or numbers, not None")
    if truth.dtype.kind not in "biuf":
        try:
            truth = truth.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"a mask is of booleans or numbers, not {mask!r:.80}") from None
    if truth.dtype.kind == "f" and np.isnan(truth).any():
        raise ValueError("the mask holds NaN")
    views = list(_views(case))
    for shapes in ([a.shape for a in views], [a.shape[1:] for a in views]):
        if truth.shape in shapes:
            a = views[shapes.index(truth.shape)]
            flat = a.reshape(len(a), -1)
            inside = np.broadcast_to(truth != 0, a.shape).reshape(flat.shape)
            absent = np.isnan(flat)
            return np.where(absent, -np.inf, flat), inside & ~absent
    known = " or ".join(map(str, dict.fromkeys(a.shape for a in views)))
    raise ValueError(
        f"a mask of shape {truth.shape} does not fit the attributions {known}: expected one of "
        "these shapes, or without the first axis for the same mask in every row"
        + " (a mask of places, without their channels: pass channel_axis=)"
        * any(a.ndim > 2 for a in views)
    )


def _views(case: Case) -> Iterator[Floats]:
    """The attributions as they are, over the input's shape if at all, and without channels."""
    given, own = case.explanation, case.flat
    yield own.reshape(given.values.shape) if isinstance(given, Explanation) else own
    yield own[:, ~np.isnan(own).all(axis=0)]  # without places that only rows not among these have
    if not isinstance(given, Explanation) or has_places(given):
        yield case.map
        yield from _without_channels(case)


def _without_channels(case: Case) -> Iterator[Floats]:
    """Attributions of places as means over their channels, of images (n, H, W)."""
    a, known = case.map, getattr(case.explanation, "channel_axis", None)
    known = case.scene.channel_axis if known is None else known
    known = None if known is None else known + a.ndim * (known < 0)
    if known is None and a.ndim == 4:
        fits = [axis for axis in (1, 3) if a.shape[axis] in (1, 3, 4)]
    else:
        fits = [known] if known and 0 < known < a.ndim else []
    for axis in fits:
        yield a.mean(axis=axis)


def _image(case: Case) -> Floats:
    """Attributions of images' pixels, (n, H, W)."""
    axis = getattr(case.explanation, "channel_axis", None)
    if axis and case.map.ndim != 4:
        raise ValueError(
            "grid_pointing is for mosaics of images, not for rows of places "
            f"{sides_of(case.map.shape[1:], axis)}: use relevance_mass with mask="
        )
    for view in (case.map, *_without_channels(case)):
        if view.ndim == 3:
            return view
    raise ValueError(
        f"grid_pointing needs attributions of images, (n, H, W) or with channels: {case.map.shape}"
    )
