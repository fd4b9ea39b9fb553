"""Correlations and averages along the last axis, for all rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels import order
from xai.kernels.correlation import correlations
from xai.metrics.score import Floats, Indices

FLAT = 1e-12
"""Numbers whose spread is below this part of their size are all alike: a correlation is NaN."""


def pearson(a: Floats, b: Floats) -> Floats:
    """Correlation along the last axis; NaN where one side does not vary.

    Examples
    --------
    >>> pearson(np.array([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]]), np.array([2.0, 4.0, 8.0]))
    array([ 1., nan])
    """
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = (one if one.ndim == 1 else np.broadcast_to(one, shape) for one in (a, b))
    out = np.empty(math.prod(shape[:-1]))
    correlations(_lines(a), _lines(b), FLAT, out)
    return out.reshape(shape[:-1])


def _lines(a: NDArray[Any]) -> NDArray[Any]:
    return a.reshape(-1, a.shape[-1])


def spearman(a: Floats, b: Floats) -> Floats:
    """Correlation of average ranks along the last axis.

    Examples
    --------
    >>> spearman(np.array([1.0, 2.0, 9.0]), np.array([1.0, 20.0, 30.0])).item()
    1.0
    """
    return pearson(average_ranks(a), average_ranks(b))


def average_ranks(a: Floats) -> Floats:
    """Ranks from 1 along the last axis, equals at the mean of theirs; all NaN beside NaN or inf.

    Neighbours in order that differ by `FLAT` of the largest |a|, or less, are equals.

    Examples
    --------
    >>> average_ranks(np.array([[5.0, 5.0, 9.0], [0.3, 0.1 + 0.2, 9.0]]))
    array([[1.5, 1.5, 3. ],
           [1.5, 1.5, 3. ]])
    """
    ranks = np.empty(a.shape)
    order.average_ranks(_lines(a), _lines(np.argsort(a, axis=-1)), FLAT, _lines(ranks))
    return ranks


def of_present(a: Floats, b: Floats, score: Callable[[Floats, Floats], Any]) -> Floats:
    """Scores (n,) of rows a and b (n, d) without the NaN that both are padded with behind."""
    counts = (~np.isnan(a)).sum(axis=1)
    out = np.full(len(a), np.nan)
    for d in np.unique(counts):
        rows = np.flatnonzero(counts == d)
        out[rows] = score(a[rows, :d], b[rows, :d])
    return out


def levels(a: Floats, size: Floats | None = None) -> Indices:
    """Whole numbers in the order of `a` along the first axis, equal where it is but for rounding.

    Parameters
    ----------
    a : (m, …), ±inf among them or not
    size : (…,)
        Of numbers of which a part of `FLAT` is rounding; None: the largest finite |a|.

    Examples
    --------
    >>> levels(np.array([0.3, 2.0, 0.1 + 0.2, -np.inf]))
    array([1, 2, 1, 0])
    """
    size = sizes(a) if size is None else size
    ascending = np.argsort(a, axis=0)
    with np.errstate(invalid="ignore"):  # inf − inf: equal
        apart = np.diff(np.take_along_axis(a, ascending, axis=0), axis=0) > FLAT * size
    out = np.zeros(a.shape, np.intp)
    np.put_along_axis(out, ascending[1:], np.cumsum(apart, axis=0), axis=0)
    return out


def sizes(a: Floats) -> Floats:
    """The largest finite |a| along the first axis, 0 where none is finite."""
    return np.asarray(np.where(np.isfinite(a), np.abs(a), 0.0).max(axis=0))


def trapezoid(curve: Floats) -> Floats:
    """Area under curves (n, K + 1) over [0, 1]; shorter ones are padded with NaN.

    Examples
    --------
    >>> trapezoid(np.array([[1.0, 0.5, 0.0], [1.0, 0.0, np.nan], [np.nan, np.nan, np.nan]]))
    array([0.5, 0.5, nan])
    """
    area = curve.sum(axis=1) - (curve[:, 0] + curve[:, -1]) / 2
    if not np.isnan(area).any():
        return np.asarray(area / (curve.shape[1] - 1))
    steps = (curve[:, 1:] + curve[:, :-1]) / 2
    return ratio(np.nansum(steps, axis=1), (~np.isnan(steps)).sum(axis=1))


def ratio(above: Any, below: Any) -> Floats:
    """A quotient that is NaN where it is undefined."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), below)
    return np.where(below != 0, above / np.where(below != 0, below, 1.0), np.nan)
