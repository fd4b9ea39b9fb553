"""Which walks are made: players' positions, stratified within every draw and over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xai import streams

Orders = Callable[[int, int, int], "NDArray[np.intp]"]
"""(seed, pairs, slots) -> the position of each player in each walk, (pairs, d)."""


@dataclass(frozen=True)
class Design:
    """Pairs of walks: the players' positions, and the slot (of a draw) that each pair uses.

    Attributes
    ----------
    first : place of the first pair among those of all chunks
    ranks : (P, d) position of each player in each walk
    slots : (P,)
    """

    first: int
    ranks: NDArray[np.intp]
    slots: NDArray[np.intp]

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.slots)

    @classmethod
    def make(
        cls, seed: int, first: int, pairs: int, d: int, draws: int | None, orders: Orders | None
    ) -> Design:
        """Spend `pairs` pairs on `draws` draws (None: endless ones, each used once).

        Below two pairs for each draw, some pairs (one in eight, or what is left over) are second
        ones on their draw: the noise within draws is then known, at little cost to their number.
        """
        slots = pairs if draws is None else draws
        if draws is not None and pairs < 2 * draws:
            again = max(pairs - draws, pairs // 8, min(pairs // 2, 4), min(pairs // 3, 16))
            slots = max(1, pairs - again)
        key = int(streams.bits(seed, streams.PERMUTATION, np.array([first]), 1)[0, 0])
        ranks = orders(key, pairs, slots) if orders else stratified_ranks(key, pairs, slots, d)
        return cls(first, ranks, np.arange(pairs) % slots)


def stratified_ranks(seed: int, pairs: int, slots: int, d: int) -> NDArray[np.intp]:
    """Positions (pairs, d) of d players in random walks, each order equally likely.

    Pair p uses slot p mod `slots`. A player's key is (1 ± w)/2, and keys give the order. The w of
    one player fill strata evenly within each slot, and over slots; the signs of one power of two
    of pairs are orthogonal between players.
    """
    cycles = -(-pairs // slots)
    shape = (cycles, slots, d)
    every = np.arange(cycles * slots)
    coarse = streams.uniforms(seed, streams.PERMUTATION, every, d).reshape(shape).argsort(axis=0)
    fine = streams.uniforms(seed, streams.STRATUM, every, d).reshape(shape).argsort(axis=1)
    # in each slot the c-th stratum of w falls into one cycle; there its place among slots is fine
    place = np.take_along_axis(fine, coarse, axis=0).reshape(-1, d)[:pairs]
    jitter = streams.uniforms(seed, streams.JITTER, every[:pairs], d)
    w = (coarse.reshape(-1, d)[:pairs] + (place + jitter) / slots) / cycles
    keys = np.where(_signs(seed, pairs, d), 1 + w, 1 - w)
    return np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1)


def _signs(seed: int, pairs: int, d: int) -> NDArray[np.bool_]:
    """Halves (pairs, d): rows of Hadamard matrices whose columns are random, and flipped."""
    size = 1 << d.bit_length()
    block, row = np.divmod(np.arange(pairs), size)
    blocks = np.arange(int(block[-1]) + 1)
    random = streams.bits(seed, streams.SIGN, blocks, size)
    columns = np.argsort(random[:, 1:], axis=1)[:, :d] + 1
    flips = streams.bits(seed, streams.FLIP, blocks, d) >> np.uint64(63)
    parity = np.bitwise_count(row[:, None] & columns[block]) & 1
    return np.asarray((parity ^ flips[block].astype(np.uint8)) == 1)
