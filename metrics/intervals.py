"""How far a mean over rows may be off."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import bootstrap

from xai.metrics import checks
from xai.metrics.numerics import FLAT
from xai.metrics.proportions import clopper_pearson
from xai.metrics.score import Floats


def interval(
    metric: str, values: Floats, level: float = 0.95, resampled: int | None = None
) -> tuple[float, float]:
    """Interval of the mean of a metric's scores; NaN are left out.

    `resampled`: the seed of a bootstrap, where it is to be one.

    Examples
    --------
    >>> low, high = interval("pointing_game", np.ones(5))
    >>> round(low, 3), high
    (0.478, 1.0)
    """
    if not (checks.is_number(level) and 0 < level < 1):
        raise ValueError(f"level={level!r}: expected a share such as 0.95")
    if resampled is not None:
        return of_resamples(values, level, resampled)
    known = values[~np.isnan(values)]
    if metric == "simulatability" and len(known):
        return of_gains(known, level)[1:]
    return of_shares(known, level) if metric in YES_NO else of_mean(known, level)


YES_NO = ("monotonicity", "pointing_game")
"""Metrics whose scores are 1 or 0, but for ties."""


def of_shares(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of numbers within [0, 1]; exact (Clopper-Pearson) of 0s and 1s.

    Examples
    --------
    >>> low, high = of_shares(np.array([1.0, 0.5, 1.0, 1.0]))
    >>> round(low, 2), high
    (0.18, 1.0)
    """
    if len(values) and np.isin(values, (0, 1)).all():
        low, high = clopper_pearson(values.sum(), len(values), level)
    else:
        low, high = np.clip(of_mean(values, level), 0, 1)
    return float(low), float(high)


def of_gains(values: Floats, level: float = 0.95) -> tuple[float, float, float]:
    """Error of the mean of gains, which are −1, 0 or 1 each, and its interval.

    Agresti & Min 2005: as if half a row more had gained, and half a row lost, of two more. Gains
    that are all alike do not say that there are no others.

    Examples
    --------
    >>> np.round(of_gains(np.zeros(18)), 3)
    array([ 0.05 , -0.098,  0.098])
    """
    won, lost, n = (values == 1).sum() + 0.5, (values == -1).sum() + 0.5, len(values) + 2
    mean = (won - lost) / n
    error = np.sqrt(((won + lost) / n - mean**2) / n)
    far = -ndtri((1 - level) / 2) * error
    return float(error), float(max(mean - far, -1)), float(min(mean + far, 1))


def of_resamples(values: Floats, level: float, seed: int) -> tuple[float, float]:
    """Interval of the mean by the bootstrap (SciPy's BCa, Efron 1987); NaN are left out.

    Of numbers that are all alike it has no width; NaN of fewer than two, or where one is infinite.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2 or not np.isfinite(known).all():
        return float("nan"), float("nan")
    if np.ptp(known) <= FLAT * np.abs(known).max():
        return float(known[0]), float(known[0])
    rng = np.random.default_rng(seed)
    found = bootstrap((known,), np.mean, confidence_level=level, random_state=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def of_mean(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean that these numbers are a sample of; NaN are left out.

    Student's, made for skew (Hall 1992): ``mean − s W(±t_{n−1}/√n)``, where W undoes
    ``W + γW²/3 + γ²W³/27 + γ/(6n)`` and γ is the skewness. Without skew it is Student's own, and no
    end is further than 12/7 of that: one row of few would carry it beyond all scores there are.
    Of numbers that are all alike it has no width. It reaches to ∞ where a number does, and is NaN
    of fewer than two.

    Examples
    --------
    >>> low, high = of_mean(np.array([1.0, 2.0, 3.0]))
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
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
