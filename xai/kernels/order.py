"""Places of numbers in the order of their row, for many rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def places(a: NDArray[np.floating[Any]], out: NDArray[np.int32]) -> None:
    """How many numbers of its row come before each: larger ones, and equals that stand before it.

    NaN comes last. By counting, without a branch to mispredict: for few numbers a row.

    Parameters
    ----------
    a : (n, d)
    out : (n, d), written
    """
    n, d = a.shape
    for i in range(n):
        for j in range(d):
            own, before = a[i, j], 0
            for k in range(d):
                before += (a[i, k] > own) | ((a[i, k] == own) & (k < j))
            if own != own:
                for k in range(d):
                    before += k < j or a[i, k] == a[i, k]
            out[i, j] = before


@compiled()
def average_ranks(
    a: NDArray[np.floating[Any]], order: NDArray[np.intp], flat: float, out: NDArray[np.float64]
) -> None:
    """Ranks from 1 within each row, equals at the mean of theirs; NaN in a row with NaN or inf.

    Parameters
    ----------
    a : (n, d)
    order : (n, d) places in ascending order
    flat : neighbours that differ by this part of the row's largest number, or less, are equals
    out : (n, d), written
    """
    n, d = a.shape
    for i in range(n):
        low, high = a[i, order[i, 0]], a[i, order[i, d - 1]]
        if not (np.isfinite(low) and np.isfinite(high)):  # NaN stands at the end
            out[i] = np.nan
            continue
        apart, first = flat * max(abs(low), abs(high)), 0
        for j in range(1, d + 1):
            if j == d or a[i, order[i, j]] - a[i, order[i, j - 1]] > apart:
                for k in range(first, j):
                    out[i, order[i, k]] = (first + j + 1) / 2
                first = j
