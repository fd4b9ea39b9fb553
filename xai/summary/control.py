"""A control variate for walks: the sine of a sum of the players' values, whose own are known."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats
from xai.summary.two_stage import by_slot

ANGLE = 2.0
"""Root mean square of the sine's argument: a probability's bend, from middle to flat."""
LEAST = 24
"""Fewest pairs beyond the first of their slots, and three pairs a slot: with fewer, standard errors
come out too small."""
NODES = 32
"""Most nodes of the quadrature, which is exact up to twice as many players."""


def controlled(phi: Floats, t: Floats, slots: NDArray[np.intp], ranks: NDArray[np.intp]) -> Floats:
    """Contributions (R, P, d, k) of walks, less those of a game that saturates.

    Where a model's output saturates, what a player adds depends on how much the players before it
    have added. So do the contributions to w(S) = t sin(Σ_S θ − Σ_N∖S θ) / 2, with θ in proportion
    to the players' values and t = v(N) − v(∅) at the draw. The exact Shapley values of w are
    known, so that w's contributions less these have mean 0; times a coefficient for each row and
    output, which is fitted within draws, they are taken off. They add up to 0 over players.

    Parameters
    ----------
    phi : (R, P, d, k), t : (R, P, k) of each pair, slots : (R, P)
    ranks : (P, d), every order equally likely
    """
    from xai.kernels.pairs import sine_steps

    count = int(slots.max()) + 1
    if slots.shape[1] < max(3 * count, count + LEAST):
        return phi
    means, visits = by_slot(phi, slots, count)
    orders, out, steps = np.argsort(ranks, axis=1), phi.copy(), np.empty(phi.shape[1:])
    # within a slot, and as much as a pair weighs in the mean over slots
    weights = np.where(visits > 1, 1 / np.maximum(visits * (visits - 1), 1), 0.0)
    for r, slot in enumerate(slots):  # row by row: a row's contributions may be large
        theta = _angles(means[r].mean(axis=0))
        sine_steps(theta, orders, steps)
        error = (steps - sine_values(theta)) * t[r][:, None]
        of_slot, _ = by_slot(error[None], slot[None], count)
        centred, weight = error - of_slot[0, slot], weights[r, slot]
        square = np.einsum("p,pdk,pdk->k", weight, centred, centred)
        moment = np.einsum("p,pdk,pdk->k", weight, centred, phi[r] - means[r, slot])
        out[r] -= np.where(square > 0, moment / np.where(square > 0, square, 1.0), 0.0) * error
    return out


def _angles(values: Floats) -> NDArray[np.float64]:
    """θ (d, k) in proportion to the values, so that Σ ±θ is of a size over walks."""
    size = np.sqrt((values.sum(axis=0) ** 2 + 2 * (values**2).sum(axis=0)) / 3)
    return np.asarray(ANGLE * values / np.where(size > 0, size, 1.0), np.float64)


def sine_values(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley values (d, k) of the game sin(Σ_S θ − Σ_N∖S θ) / 2.

    A player adds sin θ_i cos(Σ ±θ of all others), where each other one is there with probability
    p, and p is uniform: an integral of a product over players.
    """
    nodes, weights = _quadrature(min(NODES, 2 * (len(theta) // 4 + 1)))
    # E exp(±iθ) at p = (1 + node) / 2; nodes of the other sign give conjugates
    factors = np.cos(theta)[..., None] + 1j * nodes * np.sin(theta)[..., None]
    others = (factors.prod(axis=0) / factors).real @ weights
    return np.asarray(np.sin(theta) * others)


@cache
def _quadrature(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss's positive nodes of an even number, and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes[count // 2 :], weights[count // 2 :]
