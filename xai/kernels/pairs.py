"""Sums over pairs of walks, grouped by the draw that they use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def slot_means(
    values: NDArray[np.floating],
    slots: NDArray[np.intp],
    counts: NDArray[np.intp],
    out: NDArray[np.floating],
) -> None:
    """Fill ``out[r, g]`` with the mean of ``values[r, p]`` over the pairs p of slot g.

    Sums are of differences from a slot's first pair, so that equal values have that very mean.

    Parameters
    ----------
    values : (R, P, c), slots : (P,) int, counts : (D,) pairs of each slot
    out : (R, D, c), written
    """
    rows, pairs, columns = values.shape
    first = np.full(len(counts), -1)
    for p in range(pairs):
        if first[slots[p]] < 0:
            first[slots[p]] = p
    for r in range(rows):
        for g in range(len(counts)):
            for c in range(columns):
                out[r, g, c] = 0.0
        for p in range(pairs):
            g = slots[p]
            for c in range(columns):
                out[r, g, c] += values[r, p, c] - values[r, first[g], c]
        for g in range(len(counts)):
            for c in range(columns):
                out[r, g, c] = values[r, first[g], c] + out[r, g, c] / counts[g]


@compiled()
def residual_sums(
    phi: NDArray[np.floating],
    means: NDArray[np.floating],
    scaled: NDArray[np.floating],
    trend: NDArray[np.float64],
    slots: NDArray[np.intp],
    squares: NDArray[np.floating],
    gram: NDArray[np.floating],
    moment: NDArray[np.floating],
) -> None:
    """Sums of residuals around slots' means, and of their products with two trends.

    The regressors are the trends t_0, t_1, and the same times a slot's scaled mean f.

    Parameters
    ----------
    phi : (R, P, d, k), means, scaled : (R, D, d, k), trend : (P, d, 2), slots : (P,)
    squares : (R, d, k) Σ e²
    gram : (R, d, k, 3, 3), Σ of (t_0², t_0 t_1, t_1²) × (1, f, f²)
    moment : (R, d, k, 4), Σ e (t_0, t_1, t_0 f, t_1 f); all three are added to
    """
    rows, pairs, players, outputs = phi.shape
    for r in range(rows):
        for p in range(pairs):
            g = slots[p]
            for i in range(players):
                a, b = trend[p, i, 0], trend[p, i, 1]
                for j in range(outputs):
                    e, f = phi[r, p, i, j] - means[r, g, i, j], scaled[r, g, i, j]
                    squares[r, i, j] += e * e
                    moment[r, i, j, 0] += e * a
                    moment[r, i, j, 1] += e * b
                    moment[r, i, j, 2] += e * a * f
                    moment[r, i, j, 3] += e * b * f
                    weight = 1.0
                    for q in range(3):
                        gram[r, i, j, 0, q] += a * a * weight
                        gram[r, i, j, 1, q] += a * b * weight
                        gram[r, i, j, 2, q] += b * b * weight
                        weight *= f
