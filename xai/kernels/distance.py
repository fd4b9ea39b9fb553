"""Distances of many rows from those that they are copies of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def distances(
    copies: NDArray[Any], rows: NDArray[Any], index: NDArray[np.intp], out: NDArray[np.float64]
) -> None:
    """Euclidean distance of each copy from its row, in double precision.

    Parameters
    ----------
    copies : (m, d), rows : (n, d)
    index : (m,) the row of each copy
    out : (m,), written; 0 or inf where squares are too small or too large for doubles
    """
    for i in range(len(out)):
        total = 0.0
        for j in range(copies.shape[1]):
            step = np.float64(copies[i, j]) - np.float64(rows[index[i], j])
            total += step * step
        out[i] = np.sqrt(total)
