"""Faithfulness by removal: what becomes of the prediction when important players go first.

All of these are read off two curves, which are evaluated once: 2(K + 1) model rows per explained
row and draw. ``D_k`` is the value with the k most important players removed, ``I_k`` with only
these kept, ``R_k`` with the k least important removed.
"""

from __future__ import annotations

from math import prod

import numpy as np

from xai.metrics import checks
from xai.metrics.case import Case, Result, metric
from xai.metrics.numerics import ratio, trapezoid
from xai.metrics.paths import (
    Amount,
    Cuts,
    along,
    amounts,
    both_ends,
    changes,
    slack,
    steps_of,
)
from xai.metrics.score import Floats
from xai.places import sides_of
from xai.players import Patches, Superpixels
from xai.removal import Inpaint

PATCH = 8
"""Side of the patches that region perturbation and selectivity remove."""
ROAD_NOISE = 0.01
"""Of Rong et al.'s imputation, in each image's range."""
SEGMENTS = 50
"""Superpixels that IROF removes."""


@metric
def deletion(case: Case, *, steps: int | None = None) -> Result:
    """Area under the value as players are removed, most important first: ``∫ D``.

    Petsiuk, Das & Saenko 2018, who set an image's pixels to 0: ``removal="baseline"``.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> score = deletion(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline")
    >>> score.curve, score.mean()
    (array([[4., 1., 0.]]), 1.5)
    """
    return _area(along(case, "removed", steps_of(case, steps)))


@metric
def insertion(case: Case, *, steps: int | None = None) -> Result:
    """Area under the value as players are put back, most important first: ``∫ I``.

    Petsiuk, Das & Saenko 2018, who put an image's pixels back into a blur: ``removal="blur"``.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> score = insertion(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline")
    >>> score.curve, score.mean()
    (array([[0., 3., 4.]]), 2.5)
    """
    return _area(along(case, "kept", steps_of(case, steps)))


def _area(curve: Floats) -> Result:
    return Result(trapezoid(curve), curve)


@metric
def comprehensiveness(case: Case, *, k: Amount | None = None, steps: int | None = None) -> Result:
    """Mean fall when the k most important are removed: ``mean_k f(x) − D_k``.

    DeYoung et al. 2020 (ERASER), who take ``k=[.01, .05, .1, .2, .5]``; None: steps 1..K.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> a = np.array([[3.0, 1.0]])
    >>> comprehensiveness(f, np.ones((1, 2)), a, removal="baseline", k=1).mean()
    3.0
    """
    return _fall(case, "removed", k, steps)


@metric
def sufficiency(case: Case, *, k: Amount | None = None, steps: int | None = None) -> Result:
    """Mean fall when only the k most important are kept: ``mean_k f(x) − I_k``.

    DeYoung et al. 2020 (ERASER).

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> a = np.array([[3.0, 1.0]])
    >>> sufficiency(f, np.ones((1, 2)), a, removal="baseline", k=1).mean()
    1.0
    """
    return _fall(case, "kept", k, steps)


def _fall(case: Case, first: str, k: Amount | None, steps: int | None) -> Result:
    """Mean of f(x) minus the curve, over the sizes asked for."""
    if k is not None and steps is not None:
        raise ValueError("pass k= or steps=, not both")
    if k is not None:
        gone = along(case, first, lambda d: amounts(k, d))
        return Result(np.nanmean(case.scene.predictions[:, None] - gone, axis=1))
    curve = along(case, first, steps_of(case, steps))
    return Result(case.scene.predictions - np.nanmean(curve[:, 1:], axis=1), curve)


@metric
def pixel_flipping(case: Case, *, steps: int | None = None) -> Result:
    """Area under Bach et al.'s (2015) curve of flipped pixels, most important first.

    The curve of `deletion`; ``curve[:, 1:]`` is Quantus's.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> a = np.array([[3.0, 1.0]])
    >>> pixel_flipping(f, np.ones((1, 2)), a, removal="baseline").curve
    array([[4., 1., 0.]])
    """
    return _area(along(case, "removed", steps_of(case, steps)))


@metric
def region_perturbation(case: Case, *, size: int = PATCH, steps: int | None = None) -> Result:
    """Area over the curve as patches are removed: ``AOPC = mean_k f(x) − D_k``, k = 1..K.

    Samek et al. 2017, eq. 12, without its k = 0, which is always 0. Patches of `size` pixels,
    ranked by the sum of their values; a table's own players.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x[:, :4].sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 8, 8, 1))
    >>> region_perturbation(f, x, x[..., 0], removal="baseline", size=4).curve
    array([[32., 16.,  0.,  0.,  0.]])
    """
    curve = _of_patches(case, size, steps)
    return Result(curve[:, 0] - np.nanmean(curve[:, 1:], axis=1), curve)


@metric
def selectivity(case: Case, *, size: int = PATCH, steps: int | None = None) -> Result:
    """Area under the value as patches are removed, most important first.

    Montavon, Samek & Müller 2018. Patches of `size` pixels, as in `region_perturbation`.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x[:, :4].sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 8, 8, 1))
    >>> selectivity(f, x, x[..., 0], removal="baseline", size=4).mean()
    8.0
    """
    return _area(_of_patches(case, size, steps))


def _of_patches(case: Case, size: int, steps: int | None) -> Floats:
    checks.sides("size", size)
    if _of_pixels(case):
        case = case.changed(("patches", size), players=Patches(size))
    return along(case, "removed", steps_of(case, steps, all_players=True))


def _of_pixels(case: Case) -> bool:
    """Whether the players are an image's single pixels, or parts of them."""
    setting = case.scene.setting
    if setting.axis is None:
        return False
    places = prod(sides_of(setting.inputs.shape, setting.axis))
    return int(setting.partition.counts.max()) >= places


@metric
def irof(case: Case, *, segments: int = SEGMENTS, steps: int | None = None) -> Result:
    """Area over the relative curve of superpixels: ``1 − ∫ D / f(x)``.

    Rieger & Hansen 2020. SLIC's superpixels, about `segments` of them, ranked by their mean value
    (needs scikit-image); a table's own players. NaN where f(x) = 0; where it is negative, relative
    to its size, ``−1 − ∫ D / |f(x)|``, so that a fall is a gain there, too.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> irof(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline").mean()
    0.625
    """
    checks.count("segments", segments)
    if _of_pixels(case):
        case = case.changed(("slic", segments), players=Superpixels(segments))
    by_mean = case.once("by mean", lambda: _by_mean(case)) or case
    curve = along(by_mean, "removed", steps_of(case, steps, all_players=True))
    relative = ratio(curve, np.abs(curve[:, :1]))
    return Result(relative[:, 0] - trapezoid(relative), relative)


def _by_mean(case: Case) -> Case | None:
    """Each player's value by its number of elements; None where these are alike.

    The order is the same then, and so are the curves.
    """
    owner, d = case.scene.setting.owner.reshape(case.scene.n, -1), case.values.shape[1]
    sizes = np.stack([np.bincount(row[row >= 0], minlength=d) for row in owner])
    if (sizes == sizes[:, :1]).all():
        return None
    return Case(case.scene, case.values / np.maximum(sizes, 1))


@metric
def abpc(case: Case, *, steps: int | None = None) -> Result:
    """Area between the perturbation curves: ``mean_k R_k − D_k``, least minus most important first.

    Schulz et al. 2020; 0 on average for a random attribution, and the negated attribution's is
    the negative, where no values are equal.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> right, wrong = np.array([[3.0, 1.0]]), np.array([[1.0, 3.0]])
    >>> [abpc(f, np.ones((1, 2)), a, removal="baseline").mean() for a in (right, wrong)]
    [1.0, -1.0]
    """
    most, least = both_ends(case, steps_of(case, steps))
    gap = least - most
    return Result(np.nanmean(gap[:, 1:], axis=1), gap, {"most": most, "least": least})


@metric
def road(case: Case, *, steps: int | None = None) -> Result:
    """Remove and debias: half the gap between the curves of noisily imputed images.

    ``mean_k (R_k − D_k) / 2`` for 0 < k < K. Rong et al. 2022: removed pixels become the mean of
    their neighbours (`removal.Inpaint`, the default for images), so that the mask itself tells
    nothing of the class. ``info`` has D and R as `most` and `least`; with ``behavior="margin"``
    the share of rows above 0 is the paper's accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x[:, :2].mean(axis=(1, 2, 3))
    >>> x = np.random.default_rng(0).random((1, 6, 6, 1))
    >>> a = np.zeros((1, 6, 6))
    >>> a[:, :2] = x[:, :2, :, 0]
    >>> road(f, x, a, steps=6).mean() > 0
    True
    """
    if case.scene.removal is None and case.scene.setting.axis is not None:
        case = case.changed("inpaint", removal=Inpaint(ROAD_NOISE), data=None)
    sizes = steps_of(case, steps)
    # with nothing left there is nothing to impute from
    most, least = both_ends(case, lambda d: sizes(d)[1:-1] if len(sizes(d)) > 2 else sizes(d)[1:])
    return Result(np.nanmean(least - most, axis=1) / 2, None, {"most": most, "least": least})


@metric
def monotonicity(case: Case, *, steps: int | None = None) -> Result:
    """1 where no step down is made as players are put back, least important first; else 0.

    Arya et al. 2019, from the baseline up. Falls below 1e-9 of the curve's size, or what the
    model's precision cannot tell apart, are rounding.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> monotonicity(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline").mean()
    1.0
    >>> monotonicity(f, np.array([[1.0, -1.0]]), np.array([[3.0, 1.0]]), removal="baseline").mean()
    0.0
    """
    sizes = steps_of(case, steps)
    curve = along(case, "removed", lambda d: d - sizes(d))
    size = np.nanmax(np.abs(curve), axis=1)
    change = np.nanmax(curve, axis=1) - np.nanmin(curve, axis=1)
    least = np.maximum(1e-9 * size, slack(case.scene.games[0][1], change, size))
    falls = np.diff(curve, axis=1) < -least[:, None]
    return Result(~falls.any(axis=1) * 1.0, curve)


@metric
def pgi(case: Case, *, k: Amount = 0.25) -> Floats:
    """Prediction gap on important players: ``E|f(x) − f(x′)|``, the top k of them removed.

    Agarwal et al. 2022 (OpenXAI) with ``removal=Noise(.1)``; the mean over several `k`.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> pgi(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline", k=1).mean()
    3.0
    """
    return _prediction_gap(case, "removed", lambda d: amounts(k, d))


@metric
def pgu(case: Case, *, k: Amount = 0.25) -> Floats:
    """Prediction gap on unimportant players: ``E|f(x) − f(x′)|``, the k least removed.

    Agarwal et al. 2022 (OpenXAI), whose k are the important players that stay: ``k=d − theirs``.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> pgu(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline", k=1).mean()
    1.0
    """
    return _prediction_gap(case, "kept", lambda d: d - amounts(k, d))


def _prediction_gap(case: Case, first: str, sizes: Cuts) -> Floats:
    """``E|f(x) − f(x′)|``, the mean over sizes; of a single draw it is read off the curve."""
    if all(game.n_draws == 1 for _, game in case.scene.games):
        gap = np.abs(along(case, first, sizes) - case.scene.predictions[:, None])
    else:
        gap = changes(case, first, sizes)
    return np.asarray(gap.mean(axis=1))
