"""Masks interpolated over an image's pixels, and what is summed up over them, in one pass each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

Floats = NDArray[np.float64]

TILE = 2**10
"""Pixels that are summed up together: all their sums stay in the nearest cache."""


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
