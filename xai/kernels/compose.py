"""Model inputs from explained rows, replacement rows and masks, in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def compose_rows(
    x: NDArray[Any],
    replacement: NDArray[Any],
    rows: NDArray[np.intp],
    places: NDArray[np.intp],
    masks: NDArray[np.bool_],
    out: NDArray[Any],
) -> None:
    """Fill ``out[b, e] = x[rows[b], e] if masks[b, e] else replacement[places[b], e]``.

    Parameters
    ----------
    x : (n, e), replacement : (m, e), rows, places : (B,) int, masks : (B, e) bool
    out : (B, e), written
    """
    for b in range(out.shape[0]):
        row, place = rows[b], places[b]
        for e in range(out.shape[1]):
            out[b, e] = x[row, e] if masks[b, e] else replacement[place, e]
