"""`harmonic.filled` on the host: a plane at a time, so that all its grids stay in the cache.

Constants come as the planes' own numbers: with an integer, Numba would make float64 of them. Planes
are written place by place: whole arrays put into others take twice the time to compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

Plane = NDArray[Any]


@compiled()
def fill(
    values: NDArray[Any], kept: NDArray[np.bool_], cycles: int, steps: NDArray[Any]
) -> NDArray[Any]:
    """Images with their holes filled by full multigrid.

    Parameters
    ----------
    values : (b, c, h, w), kept : (b, c or 1, h, w)
    cycles : corrections of the finest grid by the coarser ones
    steps : ½, ¼, two steps of Jacobi's iteration, 0 and 1: of values' dtype
    """
    images, channels, high, wide = values.shape
    out = np.empty_like(values)
    shapes = [(high, wide)]
    while max(shapes[-1]) > 2:
        shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
    free, stays, around = _planes(shapes, out), _planes(shapes, out), _planes(shapes, out)
    weights, share, known = _planes(shapes, out), _planes(shapes, out), _planes(shapes, out)
    u, v, f = _planes(shapes, out), _planes(shapes, out), _planes(shapes, out)
    for plane in weights:
        weigh(plane)
    for i in range(images):
        for c in range(channels):
            if c == 0 or kept.shape[1] > 1:
                _look(kept[i, c], free, stays, around)
                for k in range(len(free)):
                    _ratio(free[k], weights[k], share[k])
            count = _know(values[i, c], free, stays, around, known, u[-1])
            if count == 0:
                out[i, c] = values[i, c].mean()
                continue
            for k in range(len(free) - 1, -1, -1):
                if k < len(free) - 1:
                    prolong(u[k + 1], v[k], steps[0])
                    _plus(known[k], free[k], v[k], u[k])
                for _ in range(1 if k else cycles):
                    f[k][:] = 0
                    _cycle(k, steps, free, share, weights, u, v, f)
            for y in range(high):
                for x in range(wide):
                    out[i, c, y, x] = u[0][y, x]
    return out


@compiled()
def _planes(shapes: list[tuple[int, int]], like: NDArray[Any]) -> list[Plane]:
    """One plane for each grid."""
    return [np.empty(shape, like.dtype) for shape in shapes]


@compiled()
def weigh(weights: Plane) -> None:
    """Write the sum of the weights of each pixel's neighbours: 2 of direct ones, 1 of others."""
    high, wide = weights.shape
    for y in range(high):
        down = 4 - (y == 0) - (y == high - 1)
        for x in range(wide):
            across = 4 - (x == 0) - (x == wide - 1)
            weights[y, x] = max(1, down * across - 4)  # an image of one pixel has no neighbours


@compiled()
def _look(
    kept: NDArray[np.bool_], free: list[Plane], stays: list[Plane], around: list[Plane]
) -> None:
    """Write where each grid is to be filled and where not, 1 or 0; and what `_know` divides by."""
    for k in range(len(free)):
        if k:
            restrict(stays[k - 1], around[k])
        own, hole, near = stays[k], free[k], around[k]
        for y in range(hole.shape[0]):
            for x in range(hole.shape[1]):
                there = near[y, x] > 0 if k else kept[y, x]
                own[y, x] = 1 if there else 0
                hole[y, x] = 0 if there else 1
                if k and not there:
                    near[y, x] = 1


@compiled()
def _know(
    values: Plane,
    free: list[Plane],
    stays: list[Plane],
    around: list[Plane],
    known: list[Plane],
    start: Plane,
) -> float:
    """Write what each grid knows, and where the coarsest starts; gives how many places that knows.

    A mean of what is known is what the coarsest's holes begin with.
    """
    own, first = stays[0], known[0]
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            first[y, x] = values[y, x] if own[y, x] > 0 else 0
    for k in range(1, len(known)):
        restrict(known[k - 1], known[k])
        _ratio(known[k], around[k], known[k])
    last, hole = known[-1], free[-1]
    count = stays[-1].sum()
    mean = last.sum() / max(count, stays[-1].dtype.type(1))
    for y in range(start.shape[0]):
        for x in range(start.shape[1]):
            start[y, x] = last[y, x] + hole[y, x] * mean
    return float(count)


@compiled()
def _ratio(a: Plane, b: Plane, out: Plane) -> None:
    """Write a / b."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = a[y, x] / b[y, x]


@compiled()
def _plus(a: Plane, b: Plane, c: Plane, out: Plane) -> None:
    """Write a + b c."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = a[y, x] + b[y, x] * c[y, x]


@compiled()
def _cycle(
    first: int,
    steps: NDArray[Any],
    free: list[Plane],
    share: list[Plane],
    weights: list[Plane],
    u: list[Plane],
    v: list[Plane],
    f: list[Plane],
) -> None:
    """One V-cycle from grid `first` down and up, as `harmonic._cycle`; u is changed."""
    half, quarter, none, one = steps[0], steps[1], steps[4], steps[5]
    line = np.empty(u[0].shape[1] + 2, u[0].dtype)
    last = len(free) - 1
    for k in range(first, last + 1):
        a, b = u[k], v[k]
        if k > first:  # from 0
            share_of, pulls = share[k], f[k]
            for y in range(b.shape[0]):
                for x in range(b.shape[1]):
                    b[y, x] = steps[2] * share_of[y, x] * pulls[y, x]
        else:
            pull(a, f[k], share[k], steps[2], weights[k], one, b, line)
        pull(b, f[k], share[k], steps[3], weights[k], one, a, line)
        if k < last:
            pull(a, f[k], free[k], one, weights[k], none, b, line)
            restrict(v[k], f[k + 1])
            hole, pulls = free[k + 1], f[k + 1]
            for y in range(pulls.shape[0]):
                for x in range(pulls.shape[1]):
                    pulls[y, x] *= hole[y, x] * quarter  # twice as wide, four times as hard
    for k in range(last, first - 1, -1):
        if k < last:
            prolong(u[k + 1], v[k], half)
            _plus(u[k], free[k], v[k], u[k])
        pull(u[k], f[k], share[k], steps[2], weights[k], one, v[k], line)
        pull(v[k], f[k], share[k], steps[3], weights[k], one, u[k], line)


@compiled()
def restrict(a: Plane, out: Plane) -> None:
    """Write sums around every second place, weights 1, 2, 1 along each axis."""
    high, wide = a.shape
    line = np.empty(wide + 2, a.dtype)
    for y in range(out.shape[0]):
        line[:] = 0
        for x in range(wide):
            line[x + 1] = a[2 * y, x] + a[2 * y, x]
        for beside in (2 * y + 1, 2 * y - 1):
            if 0 <= beside < high:
                for x in range(wide):
                    line[x + 1] += a[beside, x]
        for x in range(out.shape[1]):
            out[y, x] = line[2 * x + 1] + line[2 * x + 1] + line[2 * x + 2] + line[2 * x]


@compiled()
def prolong(coarse: Plane, out: Plane, half: float) -> None:
    """Write values at every second place, and between them their means; the last may be repeated.

    `half` is ½, as the planes' numbers.
    """
    m, n = coarse.shape
    line = np.empty(n, coarse.dtype)
    for y in range(out.shape[0]):
        above, below = y // 2, min((y + 1) // 2, m - 1)
        for x in range(n):
            line[x] = (coarse[above, x] + coarse[below, x]) * half
        for x in range(out.shape[1]):
            out[y, x] = (line[x // 2] + line[min((x + 1) // 2, n - 1)]) * half


@compiled()
def pull(
    u: Plane,
    f: Plane,
    share: Plane,
    step: float,
    weights: Plane,
    own: float,
    out: Plane,
    line: Plane,
) -> None:
    """Write ``own u_p + step share_p (sum_q w_pq (u_q − u_p) + f_p)``; all (h, w).

    `step` and `own` are as the planes' numbers; `line` has room for w + 2 of them.
    """
    high, wide = u.shape
    line[0] = line[wide + 1] = 0
    for y in range(high):
        for x in range(wide):
            line[x + 1] = u[y, x] + u[y, x]
        for beside in (y - 1, y + 1):
            if 0 <= beside < high:
                for x in range(wide):
                    line[x + 1] += u[beside, x]
        for x in range(wide):
            middle = line[x + 1] - u[y, x] - u[y, x]
            total = line[x] + middle + middle + line[x + 2] - weights[y, x] * u[y, x]
            out[y, x] = own * u[y, x] + step * share[y, x] * (total + f[y, x])
