"""Places of keys among those that were met before: a table of open addresses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def find(
    keys: NDArray[np.uint64],
    slots: NDArray[np.uint64],
    places: NDArray[np.intp],
    count: int,
    out: NDArray[np.intp],
    first: NDArray[np.intp],
) -> int:
    """Place of each key; new ones get the next places, and their number is returned.

    Parameters
    ----------
    keys : (C,), random bits
    slots, places : (2^k,), keys and their places, -1 where a slot is free; written
        At least C more than there are keys.
    count : how many are known
    out : (C,), written
    first : (C,), written as far as keys are new: where each of them is met first
    """
    last, new = np.uint64(len(slots) - 1), 0
    for i in range(len(keys)):
        at = keys[i] & last
        while places[at] >= 0 and slots[at] != keys[i]:
            at = (at + np.uint64(1)) & last
        if places[at] < 0:
            slots[at], places[at], first[new] = keys[i], count + new, i
            new += 1
        out[i] = places[at]
    return new
