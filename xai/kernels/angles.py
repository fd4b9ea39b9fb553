"""Angles of many pairs of numbers, summed without an arctangent for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

BLOCK = 512
"""Columns that are worked on together: what is kept of them stays in the cache."""


@compiled(error_model="numpy")
def angles(ranked: NDArray[np.floating[Any]], out: NDArray[np.float64]) -> None:
    """Sums over pairs i < j of ``arctan(ranked[i] / ranked[j])``, column by column.

    Angles add up where complex numbers are multiplied: one is turned by each pair in its turn, a
    quarter turn is counted where it is full, and one arctangent tells the rest.

    Parameters
    ----------
    ranked : (C, n), ascending in each column, above 0
    out : (n,), written
    """
    C, n = ranked.shape
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        re, im, quarters = np.ones(stop - start), np.zeros(stop - start), np.zeros(stop - start)
        for j in range(1, C):
            for i in range(j):
                for k in range(stop - start):
                    t = ranked[i, start + k] / ranked[j, start + k]
                    x, y = re[k] - im[k] * t, im[k] + re[k] * t
                    full = x <= 0.0
                    re[k] = y if full else x
                    im[k] = -x if full else y
                    quarters[k] += full
            size = re + im  # each pair makes it longer, by up to the root of 2
            re, im = re / size, im / size
        out[start:stop] = np.pi / 2 * quarters + np.arctan2(im, re)
