"""Sums over pairs of walks, grouped by the draw that they use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled


@compiled()
def walked(
    inner: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    ranks: NDArray[np.intp],
    out: NDArray[np.floating],
) -> None:
    """Fill ``out[r, p, i]`` with player i's mean contribution over walk p and its reverse.

    Parameters
    ----------
    inner : (R, P, 2, d-1, k), low, high : (R, P, k), ranks : (P, d)
    out : (R, P, d, k), written
    """
    rows, pairs, players, outputs = out.shape
    last = players - 1
    for r in range(rows):
        for p in range(pairs):
            for i in range(players):
                s = ranks[p, i]
                for j in range(outputs):
                    step = high[r, p, j] if s == last else inner[r, p, 0, s, j]
                    step -= low[r, p, j] if s == 0 else inner[r, p, 0, s - 1, j]
                    back = high[r, p, j] if s == 0 else inner[r, p, 1, s - 1, j]
                    back -= low[r, p, j] if s == last else inner[r, p, 1, s, j]
                    out[r, p, i, j] = (step + back) / 2


@compiled()
def slot_means(
    values: NDArray[np.floating],
    slots: NDArray[np.intp],
    out: NDArray[np.floating],
    counts: NDArray[np.intp],
) -> None:
    """Fill ``out[r, g]`` with the mean of ``values[r, p]`` over the pairs p of slot g.

    Sums are of differences from a slot's first pair, so that equal values have that very mean.

    Parameters
    ----------
    values : (R, P, c), or (1, P, c) that all rows share; slots : (R, P) int
    out : (R, D, c), counts : (R, D) int, both written
    """
    pairs, columns = values.shape[1:]
    first = np.empty(out.shape[1], np.intp)
    for r in range(out.shape[0]):
        own = values[r if values.shape[0] > 1 else 0]
        for g in range(out.shape[1]):
            counts[r, g] = 0
            for c in range(columns):
                out[r, g, c] = 0.0
        for p in range(pairs):
            g = slots[r, p]
            if counts[r, g] == 0:
                first[g] = p
            counts[r, g] += 1
            for c in range(columns):
                out[r, g, c] += own[p, c] - own[first[g], c]
        for g in range(out.shape[1]):
            if counts[r, g] > 0:
                for c in range(columns):
                    out[r, g, c] = own[first[g], c] + out[r, g, c] / counts[r, g]


@compiled()
def trend_sums(
    phi: NDArray[np.floating],
    means: NDArray[np.floating],
    scaled: NDArray[np.floating],
    trend: NDArray[np.float64],
    of_slot: NDArray[np.float64],
    slots: NDArray[np.intp],
    gram: NDArray[np.floating],
    moment: NDArray[np.floating],
) -> None:
    """Sums over pairs of two trends' products with one another and with residuals.

    Within slots: a trend is taken less its slot's mean, phi likewise. The regressors are the
    trends t_0, t_1, and the same times a slot's scaled mean f.

    Parameters
    ----------
    phi : (R, P, d, k), means, scaled : (R, D, d, k)
    trend : (P, d, 2), of_slot : (R, D, d, 2), slots : (R, P)
    gram : (R, d, k, 3, 3), Σ of (t_0², t_0 t_1, t_1²) × (1, f, f²)
    moment : (R, d, k, 4), Σ e (t_0, t_1, t_0 f, t_1 f); both are added to
    """
    rows, pairs, players, outputs = phi.shape
    for r in range(rows):
        for p in range(pairs):
            g = slots[r, p]
            for i in range(players):
                a, b = trend[p, i, 0] - of_slot[r, g, i, 0], trend[p, i, 1] - of_slot[r, g, i, 1]
                for j in range(outputs):
                    e, f = phi[r, p, i, j] - means[r, g, i, j], scaled[r, g, i, j]
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


@compiled()
def slot_squares(
    phi: NDArray[np.floating],
    means: NDArray[np.floating],
    scaled: NDArray[np.floating],
    trend: NDArray[np.float64],
    of_slot: NDArray[np.float64],
    slots: NDArray[np.intp],
    slope: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """Add to ``out[r, g]`` the squares of residuals that the trends leave, (R, D, d, k).

    Parameters
    ----------
    slope : (R, d, k, 4), of t_0, t_1, t_0 f, t_1 f; the others as for `trend_sums`
    """
    rows, pairs, players, outputs = phi.shape
    for r in range(rows):
        for p in range(pairs):
            g = slots[r, p]
            for i in range(players):
                a, b = trend[p, i, 0] - of_slot[r, g, i, 0], trend[p, i, 1] - of_slot[r, g, i, 1]
                for j in range(outputs):
                    f, s = scaled[r, g, i, j], slope[r, i, j]
                    e = phi[r, p, i, j] - means[r, g, i, j]
                    e -= a * (s[0] + s[2] * f) + b * (s[1] + s[3] * f)
                    out[r, g, i, j] += e * e


@compiled()
def sine_steps(
    theta: NDArray[np.float64], orders: NDArray[np.intp], out: NDArray[np.float64]
) -> None:
    """What each player adds along walks to sin(Σ_S θ − Σ_N∖S θ) / 2.

    The game is odd: the reverse of a walk gives the same.

    Parameters
    ----------
    theta : (d, k), orders : (P, d), players in order of arrival
    out : (P, d, k), written
    """
    pairs, players = orders.shape
    for j in range(theta.shape[1]):
        start = -theta[:, j].sum()
        for p in range(pairs):
            argument, before = start, np.sin(start)
            for place in range(players):
                i = orders[p, place]
                argument += 2 * theta[i, j]
                after = np.sin(argument)
                out[p, i, j] = (after - before) / 2
                before = after
