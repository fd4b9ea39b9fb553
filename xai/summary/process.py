"""A Gaussian process over coalitions: what few evaluations say of all the others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotri

from xai.game import Floats

SCALES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Largest weights λ that are tried: how strongly players interact."""
NOISES = (1e-6, 1e-3, 1e-2)
"""Shares of the variance that interactions beyond the kernel's reach may have."""
TRIAL = 160
"""Most points on which these two are chosen."""
TRIPLES_OF = 30
"""Among so many players, those that matter most, triples may get a variance of their own."""
POINTS_A_TRIPLE = 8
"""One triple for so many points, where there are 100 of them."""
REACH = 300.0
"""Largest sum of artanh λ: beyond, the kernel's numbers would overflow."""


@dataclass(frozen=True)
class Fit:
    """Odd functions g, fitted so that what they leave can be estimated without bias.

    Attributes
    ----------
    phi : (d,) Shapley values, exact, of the mean function
    values : (P,) what is taken off each pair: the mean function where all coalitions of its size
        are known; where a share of them is left out, by that share the prediction from all other
        pairs
    unseen : (P,) these predictions, whose misses say how far coalitions left out are off
    total : the mean function's g(N) − g(∅)
    """

    phi: NDArray[np.float64]
    values: NDArray[np.float64]
    unseen: NDArray[np.float64]
    total: float


def fit_odd(
    z: NDArray[np.float64],
    odd: NDArray[np.float64],
    left_out: NDArray[np.float64],
    total: float,
    importance: NDArray[np.float64],
    size: int,
) -> Fit:
    """Regress the odd part of a game on coalitions by a Gaussian process.

    Pairs of complementary coalitions see only o(S) = (v(S) − v(N∖S))/2, a sum over sets T of an
    odd number of players of β_T Π_{i∈T} z_i, z = ±1. The prior has independent β_T of variance
    Π_{i∈T} λ_i: interactions are likelier among players that matter. Its kernel is
    ``k(z, z') = (Π_i (1 + λ_i z_i z'_i) − Π_i (1 − λ_i z_i z'_i)) / 2``, and λ_i follows a first
    estimate of player i's importance, times a scale chosen by marginal likelihood. The triples
    that a first fit finds strongest get more variance in a second.

    Parameters
    ----------
    z : (P, d) ±1, one coalition of each pair
    odd : (P,) o(S); total : v(N) − v(∅), which is 2 o(N)
    left_out : (P,) share of the coalitions of a pair's size that were not drawn
    importance : (d,) first estimates, for the relative sizes of λ
    size : most pairs to fit to; the others are predicted

    Notes
    -----
    Rasmussen & Williams (2006), Eq. 2.25–2.26, and 5.12 for leaving one out.
    """
    d, count = z.shape[1], len(z)
    used = np.unique(np.linspace(0, count - 1, min(size, count)).round().astype(np.intp))
    points = np.concatenate([np.ones((1, d)), z[used]])
    y = np.concatenate([[total / 2], odd[used]])
    lam, noise = _choose(points, y, importance)
    seen = odd_kernel(points, points, lam)
    jitter = noise * seen.diagonal().mean()
    triples = _triples(points, y, lam, seen, jitter)
    seen += (triples.of(points) * triples.variance) @ triples.of(points).T
    factor = _factor(seen, jitter)
    alpha = cho_solve(factor, y)
    inverse, _ = dpotri(factor[0], lower=1)
    # without pair p, alpha changes by the p-th column of the inverse times this
    drawn = left_out > 0
    change = np.where(np.concatenate([[False], drawn[used]]), alpha / inverse.diagonal(), 0.0)
    mean = alpha - cho_solve(factor, change) / max(int(drawn.sum()), 1)
    unseen, values = np.empty(count), np.empty(count)
    unseen[used], values[used] = (y - alpha / inverse.diagonal())[1:], (seen @ mean)[1:]
    left = np.setdiff1d(np.arange(count), used)
    both = np.stack([alpha, mean], axis=1)
    beta = triples.of(points).T @ both * triples.variance[:, None]
    for part in np.array_split(left, 1 + len(left) * len(points) // 2**22):
        predicted = odd_kernel(z[part], points, lam) @ both + triples.of(z[part]) @ beta
        unseen[part], values[part] = predicted.T
    values += left_out * (unseen - values)
    # triples were chosen by all pairs: each costs a degree of freedom
    unseen = odd - (odd - unseen) * np.sqrt(len(y) / (len(y) - len(triples.members)))
    phi = _shapley(points, lam).T @ mean + triples.shapley(beta[:, 1], d)
    return Fit(phi, values, unseen, float(2 * seen[0] @ mean))


def _factor(gram: NDArray[np.float64], jitter: float) -> tuple[NDArray[np.float64], bool]:
    gram = gram.copy()
    gram[np.diag_indices_from(gram)] += jitter
    factor: tuple[NDArray[np.float64], bool] = cho_factor(gram, lower=True, overwrite_a=True)
    return factor


@dataclass(frozen=True)
class _Triples:
    """Products of three players' signs with prior variances of their own.

    Attributes
    ----------
    members : (K, 3) players
    variance : (K,)
    """

    members: NDArray[np.intp]
    variance: NDArray[np.float64]

    def of(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Products (P, K) at signs (P, d)."""
        return _products(z, self.members)

    def shapley(self, beta: NDArray[np.float64], d: int) -> NDArray[np.float64]:
        """Shapley values (d,) of Σ β_T Π z: 2/3 β_T for each member."""
        phi = np.zeros(d)
        np.add.at(phi, self.members.ravel(), np.repeat(2 / 3 * beta, 3))
        return phi


def _products(z: NDArray[np.float64], members: NDArray[np.intp]) -> NDArray[np.float64]:
    """Products (P, K) of three players' signs (P, d), members (K, 3)."""
    first, second, third = members.T
    return np.asarray(z[:, first] * z[:, second] * z[:, third])


def _triples(
    points: NDArray[np.float64],
    y: NDArray[np.float64],
    lam: NDArray[np.float64],
    gram: NDArray[np.float64],
    jitter: float,
) -> _Triples:
    """The triples with the largest coefficients in a first fit, as likely as these were large.

    What pairs leave of a tree ensemble are a few strong triples; a product of players' weights
    alone cannot tell them from all the others (relevance determination, MacKay 1992).
    """
    alpha = cho_solve(_factor(gram, jitter), y)
    players = np.sort(np.argsort(-lam, kind="stable")[:TRIPLES_OF])
    members = np.array(list(combinations(players, 3)), np.intp).reshape(-1, 3)
    scores = [_products(points, part).T @ alpha for part in np.array_split(members, 8)]
    beta = lam[members].prod(axis=1) * np.concatenate(scores)
    scale = max(float(y @ alpha) / len(y), 1e-300)
    most = len(y) // POINTS_A_TRIPLE if len(y) >= 100 else 0
    kept = np.argsort(-np.abs(beta), kind="stable")[:most]
    return _Triples(members[kept], 2 * beta[kept] ** 2 / scale)


def odd_kernel(
    a: NDArray[np.float64], b: NDArray[np.float64], lam: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The kernel between signs a (A, d) and b (B, d): (A, B)."""
    power = (a * ((np.log1p(lam) - np.log1p(-lam)) / 2)) @ b.T
    np.exp(power, out=power)  # sinh by one exponential, which NumPy vectorises
    power -= 1 / power
    power *= np.exp(np.log1p(-(lam**2)).sum() / 2) / 2
    return np.asarray(power)


def _choose(
    points: NDArray[np.float64], y: NDArray[np.float64], importance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """λ and noise of the largest marginal likelihood on some of the points."""
    d = points.shape[1]
    size = np.abs(importance)
    shape = np.maximum(size / max(size.max(), 1e-300), min(0.5, 1.5 / d))
    some = np.unique(np.linspace(0, len(y) - 1, min(TRIAL, len(y))).round().astype(np.intp))
    best, chosen = np.inf, (shape * SCALES[0], NOISES[0])
    for scale in SCALES:
        lam = scale * shape
        lam *= min(1.0, REACH / np.arctanh(lam).sum())
        gram = odd_kernel(points[some], points[some], lam)
        power, basis = np.linalg.eigh(gram / gram.diagonal().mean())
        along = basis.T @ y[some]
        for noise in NOISES:
            spectrum = np.maximum(power, 0) + noise
            loss = len(some) * np.log((along**2 / spectrum).mean()) + np.log(spectrum).sum()
            if loss < best:
                best, chosen = loss, (lam, noise)
    return chosen


def _shapley(points: NDArray[np.float64], lam: NDArray[np.float64]) -> Floats:
    """Shapley values (P, d) of the kernel at each point."""
    from xai.kernels.odd_process import shapley_of_kernel

    # exact for polynomials of degree d − 1; fewer nodes do where most λ are small
    count = min((len(lam) + 1) // 2, 8 + int(np.log1p(lam).sum()))
    nodes, weights = np.polynomial.legendre.leggauss(count)
    out = np.empty(points.shape)
    shapley_of_kernel(points, lam, (nodes + 1) / 2, weights / 2, out)
    return out
