"""Counter-based random numbers: the i-th sample is the same however samples are batched.

Every number is a hash of (seed, stream, sample, position), so that coalitions and draws do not
depend on batch size, number of workers, device, or on which other rows are explained.
The hash is SplitMix64's finaliser (Steele, Lea & Flood 2014) over a Weyl sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.inputs import is_whole

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)

PERMUTATION, COALITION, DRAW, REPLACEMENT, SIZE, STRATUM, JITTER, SIGN, FLIP = range(9)
SHIFT, SCRAMBLE, MOVE, LAYER = range(9, 13)
"""Streams: numbers drawn for one purpose never meet those of another."""


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


def as_seed(seed: int | np.integer | np.random.Generator) -> int:
    """Turn a seed or a generator (one number is drawn from it) into an integer.

    Examples
    --------
    >>> as_seed(7)
    7
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if not is_whole(seed):
        raise TypeError(f"seed must be an int or a numpy.random.Generator, not {seed!r}")
    return int(seed)


def key(seed: int, stream: int) -> NDArray[np.uint64]:
    """Hash a seed and a stream: where the Weyl sequence of their samples begins, (1,)."""
    start = [seed % 2**64, (stream + 1) * int(GOLDEN) % 2**64]
    first = _mix(np.array(start[:1], np.uint64) + GOLDEN)
    return _mix(first ^ np.array(start[1:], np.uint64))


def bits(seed: int, stream: int, samples: NDArray[np.integer], width: int) -> NDArray[np.uint64]:
    """64 random bits for each (sample, position): shape `(len(samples), width)`."""
    row = _mix(key(seed, stream) + (np.asarray(samples).astype(np.uint64) + np.uint64(1)) * GOLDEN)
    column = np.arange(1, width + 1, dtype=np.uint64) * GOLDEN
    return _mix(row[:, None] + column[None, :])


def uniforms(
    seed: int, stream: int, samples: NDArray[np.integer], width: int
) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), shape `(len(samples), width)`.

    Examples
    --------
    >>> both = uniforms(0, DRAW, np.arange(2), 3)
    >>> bool((uniforms(0, DRAW, np.array([1]), 3) == both[1]).all())
    True
    """
    top = bits(seed, stream, samples, width) >> np.uint64(11)
    return np.asarray(top * 2.0**-53, np.float64)


def normals(
    seed: int, stream: int, samples: NDArray[np.integer], width: int
) -> NDArray[np.float32]:
    """Standard normal numbers, shape `(len(samples), width)`.

    Two for each 64 bits (Box & Muller 1958), the cosines first; single precision is five times as
    fast.

    Examples
    --------
    >>> normals(0, DRAW, np.arange(2), 3).shape
    (2, 3)
    """
    both = bits(seed, stream, samples, -(-width // 2))
    u = ((both >> np.uint64(32)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    angle = (both & np.uint64(2**32 - 1)).astype(np.float32) * np.float32(2 * np.pi * 2.0**-32)
    radius = np.sqrt(np.float32(-2) * np.log(u))
    pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.asarray(pairs[:, :width], np.float32)


def integers(
    seed: int, stream: int, samples: NDArray[np.integer], width: int, high: int
) -> NDArray[np.intp]:
    """Integers in [0, high), shape `(len(samples), width)`."""
    return (uniforms(seed, stream, samples, width) * high).astype(np.intp)


def ranks(seed: int, stream: int, samples: NDArray[np.integer], d: int) -> NDArray[np.intp]:
    """One random permutation of `d` items for each sample: the position of each item.

    Examples
    --------
    >>> sorted(ranks(3, PERMUTATION, np.arange(1), 4)[0].tolist())
    [0, 1, 2, 3]
    """
    order = np.argsort(bits(seed, stream, samples, d), axis=1, kind="stable")
    position = np.empty_like(order)
    np.put_along_axis(position, order, np.arange(d)[None, :], axis=1)
    return position


def kept(seed: int, samples: NDArray[np.integer], d: int, p: float) -> NDArray[np.bool_]:
    """Coalitions (samples, d) that keep each player with chance `p`."""
    out = np.empty((len(samples), d), bool)
    for part in parts(len(samples), d):
        out[part] = uniforms(seed, COALITION, samples[part], d) < p
    return out


def subsets(
    seed: int, samples: NDArray[np.integer], sizes: NDArray[np.integer], d: int
) -> NDArray[np.bool_]:
    """Coalitions (samples, d) of given sizes, each of its size equally likely."""
    out = np.empty((len(samples), d), bool)
    for part in parts(len(samples), d):
        out[part] = ranks(seed, COALITION, samples[part], d) < sizes[part, None]
    return out


def parts(count: int, width: int) -> list[slice]:
    """Slices of `count` rows of `width` numbers that take little memory each."""
    step = max(1, 2**20 // max(1, width))
    return [slice(a, min(a + step, count)) for a in range(0, count, step)]


def cycles(seed: int, samples: NDArray[np.integer], m: int) -> NDArray[np.intp]:
    """A draw in [0, m) for each sample: every draw once in each cycle of m, in random order."""
    cycle, place = np.divmod(np.asarray(samples), m)
    distinct, own = np.unique(cycle, return_inverse=True)
    order = np.argsort(bits(seed, DRAW, distinct, m), axis=1, kind="stable")
    return np.asarray(order[own, place])
