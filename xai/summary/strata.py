"""Which walks are made, and on which draws: stratified positions, and more walks where they pay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xai import streams

Orders = Callable[[int, int], "NDArray[np.intp]"]
"""(seed, pairs) -> the position of each player in each walk, (pairs, d)."""

FLOOR = 0.3
"""Share of the walks that is spread evenly over draws, whatever these promise."""


def stratified_ranks(seed: int, pairs: int, d: int) -> NDArray[np.intp]:
    """Positions (pairs, d) of d players in random walks, each order equally likely.

    A player's key is (1 ± w)/2, and keys give the order. The w of one player are a van der Corput
    sequence whose cells and places are both scrambled (Owen 1995), so that any run of pairs has
    them spread evenly; the signs of a power of two of pairs are orthogonal between players.
    """
    w = _scrambled(seed, pairs, d)
    keys = np.where(_signs(seed, pairs, d), 1 + w, 1 - w)
    return np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1)


def _scrambled(seed: int, pairs: int, d: int) -> NDArray[np.float64]:
    """Numbers (pairs, d) in [0, 1): any 2^k pairs from a multiple of 2^k fill 2^k equal cells.

    Each player's cells are taken in an order of its own: the halves of every such run are swapped
    at random, and so are the halves of every cell.
    """
    levels = max(1, int(pairs - 1).bit_length())
    place, player = np.repeat(np.arange(pairs)[:, None], d, axis=1), np.arange(d)
    for level in range(levels):
        run = np.arange(pairs) >> (level + 1)
        swaps = streams.bits(seed, streams.SIZE, np.arange(run[-1] + 1) + (level << 40), d)
        place ^= (swaps[run] >> np.uint64(63)).astype(np.intp) << level
    w = np.zeros((pairs, d))
    for level in range(levels):
        cells = np.arange(2**level)
        flips = streams.bits(seed, streams.STRATUM, cells + 2**level, d) >> np.uint64(63)
        digit = (place >> level & 1) ^ flips[place % 2**level, player].astype(np.intp)
        w += digit * 0.5 ** (level + 1)
    return w + streams.uniforms(seed, streams.JITTER, np.arange(pairs), d) * 0.5**levels


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


def even_slots(pairs: int, draws: int) -> NDArray[np.intp]:
    """A slot (pairs,) of 0, 1, … for each pair, all used alike, one after the other.

    Below two pairs for each draw, some (one in eight, of few pairs a third up to 16 or half up to
    4, or what is left over) are second ones in their slot: the noise within draws is then known, at
    little cost to their number.
    """
    slots = draws
    if pairs < 2 * draws:
        slots = max(
            1, pairs - max(pairs - draws, pairs // 8, min(pairs // 2, 4), min(pairs // 3, 16))
        )
    return np.arange(pairs) % slots


def promising_slots(
    pairs: int, gaps: NDArray[np.floating], seed: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """A draw (R, pairs) for each row's pairs, in ascending order: more where more is at stake.

    The spread of walks at a draw grows with its gap |v(N) − v(∅)|, which is known beforehand;
    visits in proportion to the spread leave the least variance (Neyman 1934). Every draw is
    visited twice where there are three pairs a draw. Else it is visited once, and a quarter of
    what is left over (16 at least, half at most) goes by lot to draws that promise little: what
    walks spread there tells of those visited once, since a gap of 0 may hide a spread.

    Parameters
    ----------
    gaps : (R, m), nonnegative
    seed : of the lot

    Returns
    -------
    slots : (R, pairs), spread : (R, m), how large the spread of walks is taken to be
    told : (R, m) bool, draws whose walks tell how much others spread that are visited once
    """
    m = gaps.shape[1]
    least = 2 if pairs >= 3 * m else 1
    by_lot = 0 if least == 2 else max((pairs - m) // 4, min(16, (pairs - m) // 2))
    # whole numbers, so that the last digit of a gap decides nothing
    top = np.maximum(gaps.max(axis=1, keepdims=True), 1e-300)
    stake = np.floor(gaps / top * 1024 + 0.382).astype(np.intp)
    mean = np.maximum(stake.mean(axis=1, keepdims=True), 1e-300)
    wanted = (FLOOR + (1 - FLOOR) * np.where(stake.any(axis=1)[:, None], stake / mean, 1.0)) / m
    promised = pairs - by_lot
    extra = np.maximum(wanted * promised - least, 0)
    extra *= (promised - least * m) / np.maximum(extra.sum(axis=1, keepdims=True), 1e-300)
    visits = least + np.floor(extra).astype(np.intp)
    rest = np.argsort(np.argsort(np.floor(extra) - extra, axis=1, kind="stable"), axis=1)
    visits += rest < (promised - visits.sum(axis=1))[:, None]
    lots = streams.ranks(seed, streams.STRATUM, np.zeros(1, np.intp), m)
    once = visits == 1
    drawn = np.argsort(np.argsort(np.where(once, lots, lots + m), axis=1), axis=1) < by_lot
    visits += drawn
    told = once & drawn if by_lot else np.ones_like(once)
    return np.stack([np.repeat(np.arange(m), row) for row in visits]), wanted, told
