"""Correlations of many pairs of rows, in passes over one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

Floats = NDArray[np.floating[Any]]


@compiled()
def scale(row: Floats, flat: float) -> tuple[float, float]:
    """Mean and largest size of a row's numbers; size 0 where their spread is `flat` of it or less.

    The mean of equal numbers is their value, to the last bit: it is that of their differences.

    Parameters
    ----------
    row : (C,)
    """
    first = low = high = row[0]
    total = 0.0
    for number in row:
        total += number - first
        low, high = min(low, number), max(high, number)
    mean = first + total / len(row)
    size = max(high, -low)
    return mean, 0.0 if max(high - mean, mean - low) <= flat * size else size


@compiled(error_model="numpy")
def correlations(a: Floats, b: Floats, flat: float, out: NDArray[np.float64]) -> None:
    """Pearson's correlation of each row of `a` and of `b`; NaN where either does not vary.

    Parameters
    ----------
    a, b : (n or 1, C)
    flat : numbers whose spread is this part of their size, or less, are all alike
    out : (n,), written
    """
    for i in range(len(out)):
        x, y = a[i % len(a)], b[i % len(b)]
        mean_x, size_x = scale(x, flat)
        mean_y, size_y = scale(y, flat)
        xx = yy = xy = 0.0
        for j in range(len(x)):
            # scaled, so that squares of small numbers stay
            p, q = (x[j] - mean_x) / size_x, (y[j] - mean_y) / size_y
            xx, yy, xy = xx + p * p, yy + q * q, xy + p * q
        r = np.nan if size_x == 0.0 or size_y == 0.0 else xy / np.sqrt(xx * yy)
        out[i] = 1.0 if r > 1.0 else -1.0 if r < -1.0 else r
