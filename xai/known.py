"""Values that were evaluated before, by the keys of their coalitions: none is evaluated twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Coalitions, Floats, Indices

Keys = NDArray[np.uint64]


def keys_of(coalitions: Coalitions, seed: int = 0) -> Keys:
    """A number for each coalition (C, d), the same as `keys_along` has for it: (C,)."""
    out, numbers = np.empty(len(coalitions), np.uint64), _numbers(coalitions.shape[1], seed)
    for part in streams.parts(*coalitions.shape):
        out[part] = coalitions[part] @ numbers
    return out


def keys_along(order: Indices, seed: int = 0) -> Keys:
    """Numbers of the coalitions of the first 0, 1, …, d players of orders (P, d): (P, d + 1).

    The sum of random numbers of its players: different coalitions share 64 bits with chance 2^-64,
    and a coalition's complement has what is left of all players' sum.
    """
    sums = np.zeros((len(order), order.shape[1] + 1), np.uint64)
    np.cumsum(_numbers(order.shape[1], seed)[order], axis=1, out=sums[:, 1:])
    return sums


def _numbers(d: int, seed: int) -> Keys:
    return streams.bits(seed, streams.COALITION, np.arange(d), 1)[:, 0]


class Known:
    """Values (rows, N, k) of N keys so far, in the order in which these were met."""

    def __init__(self, rows: int, k: int) -> None:
        self.values: Floats = np.empty((rows, 0, k))
        self._slots: NDArray[np.signedinteger[Any]]
        self._keys = np.empty(0, np.uint64)
        self._make_room(8)

    def look(self, keys: Keys, evaluate: Callable[[Indices], Floats]) -> Floats:
        """Values (R, C, k) of keys (C,); ``evaluate(places)`` gives those that are new."""
        from xai.kernels.known import find

        count = len(self._keys) + len(keys)
        if 2 * count > len(self._slots):
            self._make_room(count)
        place, first = np.empty((2, len(keys)), np.intp)
        new = first[: find(keys, self._slots, self._keys, place, first)]
        if len(new):
            self.values = np.concatenate([self.values, evaluate(new)], axis=1)
            self._keys = np.concatenate([self._keys, keys[new]])
        return self.values[:, place]

    def _make_room(self, count: int) -> None:
        """Twice as many slots as `count`, or more, with the keys so far."""
        from xai.kernels.known import fill

        size = 2 ** (2 * count - 1).bit_length()
        self._slots = np.empty(0, np.int32)  # before there are new ones: these are most of it all
        self._slots = np.full(size, -1, np.int32 if size < 2**31 else np.intp)
        fill(self._slots, self._keys)
