"""Places of keys among those that were met before: a table of open addresses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

Slots = NDArray[np.signedinteger[Any]]


@compiled()
def find(
    keys: NDArray[np.uint64],
    slots: Slots,
    known: NDArray[np.uint64],
    out: NDArray[np.intp],
    first: NDArray[np.intp],
) -> int:
    """Place of each key; new ones get the next places, and their number is returned.

    Parameters
    ----------
    keys : (C,), random bits
    slots : (2^k,), places of the keys that hash here, -1 where free; written
        At least C more than there are known keys.
    known : keys by their places
    out : (C,), written
    first : (C,), written as far as keys are new: where each of them is met first
    """
    last, count, new = np.uint64(len(slots) - 1), len(known), 0
    for i in range(len(keys)):
        at = keys[i] & last
        while slots[at] >= 0:
            place = slots[at]
            if (known[place] if place < count else keys[first[place - count]]) == keys[i]:
                break
            at = (at + np.uint64(1)) & last
        if slots[at] < 0:
            slots[at], first[new] = count + new, i
            new += 1
        out[i] = slots[at]
    return new


@compiled()
def fill(slots: Slots, known: NDArray[np.uint64]) -> None:
    """Put different keys' places in free slots."""
    last = np.uint64(len(slots) - 1)
    for place in range(len(known)):
        at = known[place] & last
        while slots[at] >= 0:
            at = (at + np.uint64(1)) & last
        slots[at] = place
