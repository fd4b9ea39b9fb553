"""Do two attributions agree? Metrics against a reference, such as a true model's weights.

Features are ranked by |attribution|, those that are equal but for rounding by index. `reference` is
an Explanation or an array, (n, d), or (d,) for all rows; `k` a number of features, a fraction
(rounded up), or several, which are averaged. All are in [0, 1] but the correlation, and an
attribution agrees with itself by 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xai.metrics.attributed import cut, numbers_of
from xai.metrics.case import Case, metric, one_output
from xai.metrics.numerics import average_ranks, of_present, spearman
from xai.metrics.paths import Amount, amounts, ranks
from xai.metrics.score import Floats


@metric
def feature_agreement(case: Case, *, reference: Any, k: Amount = 0.25) -> Floats:
    """Share of the k most important features that both have: ``|T_k(a) ∩ T_k(g)| / k``.

    Krishna et al. 2022.

    Examples
    --------
    >>> import numpy as np
    >>> a, g = np.array([[3.0, -2.0, 1.0]]), np.array([[2.0, 0.0, 1.0]])
    >>> feature_agreement(None, None, a, reference=g, k=2).mean()
    0.5
    """
    return _agreed(case, reference, k)


@metric
def rank_agreement(case: Case, *, reference: Any, k: Amount = 0.25) -> Floats:
    """Share of the k first ranks at which both have the same feature.

    Krishna et al. 2022.

    Examples
    --------
    >>> import numpy as np
    >>> a, g = np.array([[3.0, -2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])
    >>> rank_agreement(None, None, a, reference=g, k=2).mean()
    0.5
    """
    return _agreed(case, reference, k, ranked=True)


@metric
def sign_agreement(case: Case, *, reference: Any, k: Amount = 0.25) -> Floats:
    """Share of the k most important features that both have, with the same sign.

    Krishna et al. 2022.

    Examples
    --------
    >>> import numpy as np
    >>> a, g = np.array([[3.0, -2.0, 1.0]]), np.array([[2.0, 3.0, 1.0]])
    >>> sign_agreement(None, None, a, reference=g, k=2).mean()
    0.5
    """
    return _agreed(case, reference, k, signed=True)


@metric
def signed_rank_agreement(case: Case, *, reference: Any, k: Amount = 0.25) -> Floats:
    """Share of the k first ranks at which both have the same feature with the same sign.

    Krishna et al. 2022.

    Examples
    --------
    >>> import numpy as np
    >>> a, g = np.array([[3.0, -2.0, 1.0]]), np.array([[3.0, 2.0, 1.0]])
    >>> signed_rank_agreement(None, None, a, reference=g, k=2).mean()
    0.5
    """
    return _agreed(case, reference, k, ranked=True, signed=True)


@metric
def rank_correlation(case: Case, *, reference: Any) -> Floats:
    """Spearman's correlation of |a| and |g|, equals at their average rank.

    Krishna et al. 2022. NaN where all are alike.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[3.0, -2.0, 1.0]])
    >>> rank_correlation(None, None, a, reference=[30.0, 5.0, 1.0]).mean()
    1.0
    """
    return _compared(case, reference, lambda a, g: spearman(np.abs(a), np.abs(g)))


@metric
def pairwise_rank_agreement(case: Case, *, reference: Any) -> Floats:
    """Share of pairs of features that both order alike: before, equal or after, by |·|.

    Krishna et al. 2022, equal but for rounding. NaN for a single feature.

    Examples
    --------
    >>> import numpy as np
    >>> a, g = np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])
    >>> pairwise_rank_agreement(None, None, a, reference=g).values.round(3)
    array([0.667])
    """

    def pairs(a: Floats, g: Floats) -> Floats:
        a, g, d = average_ranks(np.abs(a)), average_ranks(np.abs(g)), a.shape[1]
        same = np.zeros(len(a))
        for step in range(1, d):  # pairs so far apart; never all d² at once
            of_a = np.sign(a[:, step:] - a[:, :-step])
            same += (of_a == np.sign(g[:, step:] - g[:, :-step])).sum(axis=1)
        return same / (d * (d - 1) / 2) if d > 1 else np.full(len(a), np.nan)

    return _compared(case, reference, pairs)


def _agreed(
    case: Case, reference: Any, k: Amount, *, ranked: bool = False, signed: bool = False
) -> Floats:
    """Mean over the sizes k of the share of the top k that both have, at one rank, of one sign."""

    def score(a: Floats, g: Floats) -> Floats:
        r, s = (ranks(average_ranks(np.abs(of))) for of in (a, g))
        last = np.maximum(r, s)  # of the two ranks
        alike = ((r == s) | (not ranked)) & ((np.sign(a) == np.sign(g)) | (not signed))
        parts = [(alike & (last < K)).sum(axis=1) / K for K in amounts(k, a.shape[1])]
        return np.asarray(np.mean(parts, axis=0))

    return _compared(case, reference, score)


def _compared(case: Case, reference: Any, score: Callable[[Floats, Floats], Floats]) -> Floats:
    """Scores (n,) of the attribution and the reference, which have the same features."""
    a = case.flat
    g = numbers_of(one_output(reference, case.scene.target, case.scene.x), "the reference")
    g = cut(g.reshape(len(g), -1), a.shape[1])
    if g.shape[1] != a.shape[1] or len(g) not in (1, len(a)):
        raise ValueError(
            f"the reference has shape {g.shape}; expected {a.shape}, or one row for all"
        )
    g = np.broadcast_to(g, a.shape)
    other = np.flatnonzero((np.isnan(a) != np.isnan(g)).any(axis=1))
    if len(other):
        raise ValueError(
            f"the reference has other features than the attribution in row {other[0]} (0-based)"
        )
    return of_present(a, g, score)
