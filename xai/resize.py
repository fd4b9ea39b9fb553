"""Small maps scaled to the size of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.places import along


def weights(size: int, to: int) -> NDArray[np.float64]:
    """Linear interpolation as a matrix (to, size): pixels are areas, edges are held.

    As torch's ``interpolate(mode="bilinear", align_corners=False)`` along one axis.
    """
    at = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))))


def resize(maps: NDArray[Any], *sides: int) -> NDArray[Any]:
    """Maps (..., *places) as (..., *sides), linearly along each axis; their dtype stays.

    Examples
    --------
    >>> resize(np.array([[0.0, 1.0]]), 1, 4).round(2)
    array([[0.  , 0.25, 0.75, 1.  ]])
    """
    lead, places = maps.shape[: -len(sides)], maps.shape[-len(sides) :]
    lines = [weights(n, side) for n, side in zip(places, sides, strict=True)]
    large = along(maps.reshape(1, -1, *places), lines)
    return np.asarray(large).reshape(*lead, *sides).astype(maps.dtype, copy=False)
