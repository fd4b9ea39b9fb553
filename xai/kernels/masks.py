"""Masks interpolated over an image's pixels, and what is summed up over them, in one pass each."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

Floats = NDArray[np.float64]

TILE = 2**10
"""Pixels that are summed up together: all their sums stay in the nearest cache."""


def interpolated(
    nodes: NDArray[np.float32], lines: Sequence[Floats], *, smooth: bool
) -> NDArray[np.float32]:
    """Values at nodes, interpolated linearly along each axis; or each pixel as the node behind it.

    Parameters
    ----------
    nodes : (C, *counts), in [0, 1]
    lines : (C, side) each
        Where the pixels of each axis lie among nodes, from 0; below their count − 1.

    Returns
    -------
    (C, pixels), in [0, 1]
    """
    C, pixels = len(nodes), prod(line.shape[1] for line in lines)
    if len(lines) == 1:  # one line of an image
        nodes, lines = np.repeat(nodes[:, None], 2, axis=1), [np.zeros((C, 1)), *lines]
    while len(lines) > 2:  # planes of a volume
        line, lines = lines[0], [np.repeat(other, lines[0].shape[1], axis=0) for other in lines[1:]]
        at, behind = np.arange(len(nodes))[:, None], line.astype(np.intp)
        low, share = nodes[at, behind], (line - behind if smooth else 0 * line).astype(np.float32)
        share = share.reshape(*line.shape, *[1] * (low.ndim - 2))
        low += share * (nodes[at, behind + 1] - low)
        nodes = low.reshape(-1, *low.shape[2:])
    out = np.empty((len(nodes), lines[0].shape[1] * lines[1].shape[1]), np.float32)
    down, across = lines
    interpolate(nodes, down, across, smooth, out)
    return out.reshape(C, pixels)


@compiled()
def interpolate(
    nodes: NDArray[np.float32],
    down: Floats,
    across: Floats,
    smooth: bool,
    out: NDArray[np.float32],
) -> None:
    """Values at nodes, interpolated bilinearly over pixels; or each pixel as the node behind it.

    Parameters
    ----------
    nodes : (C, a, b), in [0, 1]
    down : (C, height) and across : (C, width)
        Where pixels lie among nodes, from 0; below a − 1 and b − 1.
    out : (C, height · width), written, in [0, 1]
    """
    wide, line = across.shape[1], np.empty(nodes.shape[2], np.float32)
    behind, part = np.empty(wide, np.intp), np.empty(wide, np.float32)
    for c in range(len(nodes)):
        for j in range(wide):
            behind[j] = int(across[c, j])
            part[j] = across[c, j] - behind[j] if smooth else 0
        for i in range(down.shape[1]):
            a = int(down[c, i])
            share = np.float32(down[c, i] - a if smooth else 0)
            for b in range(len(line)):
                line[b] = nodes[c, a, b] + share * (nodes[c, a + 1, b] - nodes[c, a, b])
            for j in range(wide):
                b = behind[j]
                out[c, i * wide + j] = line[b] + part[j] * (line[b + 1] - line[b])


@compiled()
def add_moments(masks: NDArray[np.float32], values: Floats, sums: Floats, products: Floats) -> None:
    """Add masks and their squares to sums, and both times values to products.

    Parameters
    ----------
    masks : (C, d), M
    values : (J, C), f
    sums : (2, d)
        Σ M and Σ M²: added to.
    products : (J, 3, d)
        Σ f M, Σ f M² and Σ f² M²: added to.
    """
    d = masks.shape[1]
    for start in range(0, d, TILE):
        stop = min(start + TILE, d)
        m, mm = sums[0, start:stop], sums[1, start:stop]
        for c in range(len(masks)):
            M = masks[c, start:stop]
            for e in range(stop - start):
                own = np.float64(M[e])
                m[e] += own
                mm[e] += own * own
        for j in range(len(values)):  # outside: sums of many outputs are more than the cache
            vm, vmm = products[j, 0, start:stop], products[j, 1, start:stop]
            vvmm = products[j, 2, start:stop]
            for c in range(len(masks)):
                M, f = masks[c, start:stop], values[j, c]
                for e in range(stop - start):
                    own = f * np.float64(M[e])
                    vm[e] += own
                    vmm[e] += own * np.float64(M[e])
                    vvmm[e] += own * own
