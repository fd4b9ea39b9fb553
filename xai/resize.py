"""Small maps scaled to the size of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def weights(size: int, to: int) -> NDArray[np.float64]:
    """Linear interpolation as a matrix (to, size): pixels are areas, edges are held.

    As torch's ``interpolate(mode="bilinear", align_corners=False)`` along one axis.
    """
    at = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))))


def resize(maps: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Maps (..., h, w) as (..., height, width), bilinearly; their dtype stays.

    Examples
    --------
    >>> resize(np.array([[0.0, 1.0]]), 1, 4).round(2)
    array([[0.  , 0.25, 0.75, 1.  ]])
    """
    down, across = weights(maps.shape[-2], height), weights(maps.shape[-1], width)
    return np.asarray(down @ maps @ across.T).astype(maps.dtype, copy=False)
