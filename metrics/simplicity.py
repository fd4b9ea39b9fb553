"""How simple is an explanation? Metrics of its numbers alone."""

from __future__ import annotations

import numpy as np

from xai.metrics import checks
from xai.metrics.case import Case, metric
from xai.metrics.score import Floats


def shares(a: Floats) -> Floats:
    """|a| as shares of its sum in each row, (n, d): NaN where all are 0, padding has none."""
    size = np.where(np.isnan(a), 0.0, np.abs(a))
    largest = size.max(axis=1, keepdims=True)
    size /= np.where(largest > 0, largest, 1.0)  # so that no sum of huge ones is infinite
    total = size.sum(axis=1, keepdims=True)
    return np.where(total > 0, size / np.where(total > 0, total, 1.0), np.nan)


@metric
def complexity(case: Case) -> Floats:
    """Entropy of the attribution's shares: ``−Σ P_i ln P_i, P_i = |a_i| / Σ|a_j|``.

    Bhatt, Weller & Moura 2020: from 0 (one feature) to ln d (all alike).

    Examples
    --------
    >>> import numpy as np
    >>> complexity(None, None, np.array([[0.0, 1.0], [1.0, 1.0]])).values.round(3)
    array([0.   , 0.693])
    """
    p = shares(case.flat)
    return np.asarray(0.0 - (p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1))


@metric
def sparseness(case: Case) -> Floats:
    """Gini index of |a|: ``Σ (2i − d − 1)|a|_(i) / (d Σ|a|)``, sizes ascending.

    Chalasani et al. 2020: from 0 (all alike) to (d − 1)/d (one feature).

    Examples
    --------
    >>> import numpy as np
    >>> sparseness(None, None, np.array([[0.0, 1.0], [1.0, 1.0]])).values
    array([0.5, 0. ])
    """
    d = (~np.isnan(case.flat)).sum(axis=1)
    p = np.sort(shares(case.flat), axis=1)  # padding comes first
    i = np.arange(1, p.shape[1] + 1) - (p.shape[1] - d)[:, None]
    return np.asarray((np.where(i > 0, 2 * i - d[:, None] - 1, 0) * p).sum(axis=1) / d)


@metric
def effective_complexity(case: Case, *, share: float = 0.9) -> Floats:
    """Fewest features that hold a `share` of Σ|a|.

    After Nguyen & Martínez 2020, without their threshold on absolute size.

    Raises
    ------
    ValueError
        `share` outside (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> effective_complexity(None, None, np.array([[0.0, 1.0], [1.0, 1.0]])).values
    array([1., 2.])
    """
    if not (checks.is_number(share) and 0 < share <= 1):
        raise ValueError(f"share={share!r}: expected a fraction in (0, 1]")
    p = shares(case.flat)
    held = np.cumsum(-np.sort(-p, axis=1), axis=1)
    fewest = (held < share * (1 - 1e-12)).sum(axis=1) + 1.0
    return np.where(np.isnan(p).any(axis=1), np.nan, fewest)
