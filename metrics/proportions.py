"""Exact confidence about proportions, and about tables of two rows and two columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betaincinv

from xai.metrics import checks
from xai.metrics.score import Floats


def clopper_pearson(hits: Any, trials: Any, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The interval of a proportion that holds it with at least this probability.

    Clopper & Pearson 1934: all p at which neither so few nor so many hits have a chance below
    (1 − confidence)/2. Without trials: from 0 to 1.

    Examples
    --------
    >>> low, high = clopper_pearson(0, 10)
    >>> float(low), round(float(high), 4)
    (0.0, 0.3085)
    """
    if not (checks.is_number(confidence) and 0 < confidence < 1):
        raise ValueError(f"confidence={confidence!r}: expected a probability within (0, 1)")
    k, n = np.broadcast_arrays(np.asarray(hits, np.float64), np.asarray(trials, np.float64))
    if ((k < 0) | (k > n)).any():
        raise ValueError("hits must lie between 0 and the number of trials")
    tail, none = (1 - confidence) / 2, n == 0
    above = betaincinv(np.maximum(k, 1), np.where(none, 1, n - np.maximum(k, 1) + 1), tail)
    below = betaincinv(np.minimum(k, n - 1) + 1 + none, np.maximum(n - k, 1), 1 - tail)
    return np.where(k > 0, above, 0.0), np.where(k < n, below, 1.0)


def least_samples(p: float, miss: float = 0.05) -> int:
    """Samples to see an event of probability p at least once, but for a chance of `miss`.

    ``n ≥ ln(miss) / ln(1 − p)``.

    Raises
    ------
    ValueError
        A probability that is not within (0, 1).

    Examples
    --------
    >>> least_samples(0.05)
    59
    """
    if not all(checks.is_number(given) and 0 < given < 1 for given in (p, miss)):
        raise ValueError(f"p={p!r} and miss={miss!r}: expected probabilities within (0, 1)")
    # what is whole but for rounding is whole
    return int(np.ceil((1 - 1e-14) * np.log(miss) / np.log1p(-p)))
