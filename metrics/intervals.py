"""How far a mean over rows may be off."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from xai.metrics.numerics import FLAT
from xai.metrics.score import Floats


def of_mean(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean that these numbers are a sample of; NaN are left out.

    Student's, made for skew (Hall 1992): ``mean − s W(±t_{n−1}/√n)``, where W undoes
    ``W + γW²/3 + γ²W³/27 + γ/(6n)`` and γ is the skewness. Without skew it is Student's own, and no
    end is further than 12/7 of that: one row of few would carry it beyond all scores there are.
    Of numbers that are all alike it has no width. It reaches to ∞ where a number does, and is NaN
    of fewer than two.

    Raises
    ------
    ValueError
        A `level` that is no share.

    Examples
    --------
    >>> low, high = of_mean(np.array([1.0, 2.0, 3.0]))
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}: expected a share such as 0.95")
    known = values[~np.isnan(values)]
    finite, n = known[np.isfinite(known)], len(known)
    if n < 2 or not len(finite):
        return float("nan"), float("nan")
    beyond = finite.std() if len(finite) < n else 0.0  # so far at least is ∞ from the others
    held = known.clip(finite.min() - beyond, finite.max() + beyond)
    off = held - held[0]  # of equal numbers the mean is exact
    mean, s = held[0] + off.mean(), off.std(ddof=1)
    reach = np.zeros(2)
    if s > FLAT * np.abs(held).max():
        skew = (((held - mean) / s) ** 3).mean()
        t = stdtrit(n - 1, np.array([1 + level, 1 - level]) / 2) / np.sqrt(n) - skew / (6 * n)
        root = np.cbrt((1 + skew * t).clip(1 / 8))
        reach = s * 3 * t / (root**2 + root + 1)  # (root − 1) 3/γ, of γ = 0, too
    low, high = mean - reach
    return (
        float(-np.inf if np.isneginf(known).any() else low),
        float(np.inf if np.isposinf(known).any() else high),
    )
