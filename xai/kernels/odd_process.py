"""Shapley values of the odd product kernel, point by point, by Gauss-Legendre quadrature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def shapley_of_kernel(
    z: NDArray[np.float64],
    lam: NDArray[np.float64],
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill ``out[p, i]`` with player i's Shapley value of the function k(·, z_p).

    ``2 λ_i z_i ∫_0^1 (Π_{j≠i} (1 + t λ_j z_j) + Π_{j≠i} (1 − t λ_j z_j)) / 2 dt``, the integral of
    a polynomial in t: each product of an odd set T of players has the share 2/|T| for each.

    Parameters
    ----------
    z : (P, d) signs, lam : (d,) in [0, 1), nodes, weights : of a quadrature on [0, 1]
    out : (P, d), written
    """
    for p in range(z.shape[0]):
        for i in range(z.shape[1]):
            out[p, i] = 0.0
        for q in range(len(nodes)):
            plus, minus = 1.0, 1.0
            for j in range(z.shape[1]):
                step = nodes[q] * lam[j] * z[p, j]
                plus *= 1.0 + step
                minus *= 1.0 - step
            for i in range(z.shape[1]):
                step = nodes[q] * lam[i] * z[p, i]
                both = plus / (1.0 + step) + minus / (1.0 - step)
                out[p, i] += weights[q] * lam[i] * z[p, i] * both
