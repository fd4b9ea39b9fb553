"""The convex combination of attributions whose entropy is least.

The entropy of |g|'s shares is least at the ends of any piece of a segment on which no g_i changes
its sign: there the shares move along a line, on which entropy is concave. So the least complex
point of a segment is one of its ends, or one where some g_i is 0, and is found exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

BLOCK = 2**22
"""Numbers held at once."""
MOST_KINKS = 256
"""Points of a segment that are tried; where more features change sign some are passed over."""
ROUNDS = 50
GAIN = 1e-12


def entropy(g: Floats) -> Floats:
    """Entropy of |g|'s shares along the last axis; inf where all are 0.

    Examples
    --------
    >>> entropy(np.array([[0.0, 2.0], [1.0, -1.0], [0.0, 0.0]])).round(3)
    array([0.   , 0.693,   inf])
    """
    size = np.abs(g)
    total = size.sum(axis=-1, keepdims=True)
    p = size / np.where(total > 0, total, 1.0)
    h = 0.0 - (p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)
    return np.where(total[..., 0] > 0, h, np.inf)


def descent(G: Floats) -> Floats:
    """Weights (R, m): from each member and from their mean, towards whichever member helps most.

    Bhatt, Weller & Moura 2020, §5: the gradient-descent style method, with exact steps.

    Parameters
    ----------
    G : (R, m, d)
        m attributions of each row.
    """
    best: Floats = np.full(G.shape[:2], 1 / G.shape[1])  # where nothing is attributed
    least = np.full(len(G), np.inf)
    for start in _starts(G.shape[1]):
        weights = np.tile(start, (len(G), 1))
        live = np.arange(len(G))  # rows that the last round has moved
        for _ in range(ROUNDS):
            moved, gain = _step(G[live], weights[live])
            live, moved = live[gain > GAIN], moved[gain > GAIN]
            if not len(live):
                break
            weights[live] = moved
        found = entropy(_mixed(weights, G))
        best = np.where((found < least)[:, None], weights, best)
        least = np.minimum(found, least)
    return best


def shrinking(G: Floats) -> Floats:
    """Weights (R, m): the hull's corners give way to less complex points between them.

    Bhatt, Weller & Moura 2020, §5: the region-shrinking method. Every round looks at the segments
    between corners, and keeps the least complex points as the corners of a smaller hull.
    """
    R, m = G.shape[:2]
    corners = np.tile(_starts(m), (R, 1, 1))  # (R, m + 1, m), as weights
    size = entropy(corners @ G)
    for _ in range(ROUNDS):
        between, found = _between(corners, G, size)
        every = np.concatenate([corners, between], axis=1)
        complexity = np.concatenate([size, found], axis=1)
        keep = np.argsort(complexity, axis=1, kind="stable")[:, : m + 1]
        if (keep <= m).all():
            break
        corners = np.take_along_axis(every, keep[:, :, None], axis=1)
        size = np.take_along_axis(complexity, keep, axis=1)
    first = size.argmin(axis=1)
    return np.asarray(corners[np.arange(R), first])


PROCEDURES: dict[str, Callable[[Floats], Floats]] = {"descent": descent, "shrinking": shrinking}


def _starts(m: int) -> Floats:
    """Each member, and their mean, as weights (m + 1, m)."""
    return np.concatenate([np.eye(m), np.full((1, m), 1 / m)])


def _mixed(weights: Floats, G: Floats) -> Floats:
    return np.asarray(np.einsum("rm,rmd->rd", weights, G))


def _step(G: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The best move towards one member: weights (R, m), and what complexity falls by (R,)."""
    here = _mixed(weights, G)
    now = entropy(here)
    moved, least = weights.copy(), now.copy()
    for j, target in enumerate(np.eye(G.shape[1])):
        t, found = _least_on_segment(here, G[:, j])
        better = found < least
        to = weights + t[:, None] * (target - weights)
        moved = np.where(better[:, None], to, moved)
        least = np.where(better, found, least)
    with np.errstate(invalid="ignore"):  # inf - inf: nothing is attributed anywhere
        return moved, np.nan_to_num(now - least, nan=0.0)


def _between(corners: Floats, G: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Points between corners that are less complex than both: weights (R, pairs, m), and size."""
    points, sizes = [], []
    vertices = corners @ G
    for i in range(corners.shape[1]):
        for j in range(i):
            t, found = _least_on_segment(vertices[:, i], vertices[:, j])
            points.append(corners[:, i] + t[:, None] * (corners[:, j] - corners[:, i]))
            better = found < np.minimum(size[:, i], size[:, j]) - GAIN
            sizes.append(np.where(better, found, np.inf))
    return np.stack(points, axis=1), np.stack(sizes, axis=1)


def _least_on_segment(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Where between p and q (R, d) complexity is least: t (R,), and how complex it is there."""
    t = _kinks(p, q)
    best, least = np.empty(len(p)), np.empty(len(p))
    rows = max(1, BLOCK // (t.shape[1] * p.shape[1]))
    for start in range(0, len(p), rows):
        part = slice(start, start + rows)
        at = t[part, :, None]
        point = p[part, None] + at * (q - p)[part, None]
        # what is 0 but for rounding is 0, or its logarithm would count
        size = np.maximum(np.abs(p), np.abs(q))[part, None]
        found = entropy(np.where(np.abs(point) <= 1e-13 * size, 0.0, point))
        first = found.argmin(axis=1)
        every = np.arange(len(first))
        best[part], least[part] = at[every, first, 0], found[every, first]
    return best, least


def _kinks(p: Floats, q: Floats) -> Floats:
    """Places t (R, T) between p (0) and q (1) where an element is 0; 0 where there is none."""
    crosses = np.sign(p) * np.sign(q) < 0
    t = np.where(crosses, p / np.where(crosses, p - q, 1.0), 0.0)
    many = crosses.sum(axis=1)
    width = min(int(many.max(initial=0)), MOST_KINKS)
    if width < t.shape[1]:  # of those there are, which sorting puts last
        places = t.shape[1] - 1 - np.linspace(0, np.maximum(many - 1, 0), width, axis=1)
        t = np.take_along_axis(np.sort(t, axis=1), places.round().astype(np.intp), axis=1)
    return np.concatenate([np.tile([0.0, 1.0], (len(p), 1)), t], axis=1)
