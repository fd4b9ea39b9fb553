"""Fill holes in images so that each filled pixel is a weighted mean of its eight neighbours.

A linear system in the removed pixels, solved by full multigrid: holes are filled on coarse grids
first, and each finer grid corrects what the coarser ones left. A fixed number of passes over each
image, so that nothing depends on which images are filled together. Tensors are filled here, all at
once; arrays by `xai.kernels.planes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.inputs import Block, is_tensor
from xai.kernels import planes

if TYPE_CHECKING:
    from torch import Tensor

CYCLES = 3
"""Corrections of the finest grid by the coarser ones."""
STEPS = (1.309, 0.809)
"""Two steps of Jacobi's iteration that damp what a coarser grid cannot see: Chebyshev's for the
upper half, [2/3, 4/3], of the eigenvalues."""


def filled(values: Block, kept: Block) -> Block:
    """Images (b, c, h, w) with their holes filled; arrays or tensors of floats.

    Parameters
    ----------
    values : (b, c, h, w)
    kept : (b, c or 1, h, w) bool

    Notes
    -----
    The equations of ROAD (Rong et al. 2022): weights 1/6 of direct neighbours and 1/12 of diagonal
    ones, scaled to add up to 1 at the image's edges. A channel of which nothing is kept gets its
    own mean.
    """
    if not is_tensor(values):
        constants = np.array([0.5, 0.25, *STEPS, 0, 1], values.dtype)
        values, kept = np.ascontiguousarray(values), np.ascontiguousarray(kept)
        return planes.fill(values, kept, CYCLES, constants)
    import torch

    grids, known = [Grid((~kept).to(values.dtype))], [torch.where(kept, values, 0)]
    while max(known[-1].shape[2:]) > 2:
        weight = _restricted(1 - grids[-1].free)
        grids.append(Grid((weight == 0).to(values.dtype)))
        known.append(_restricted(known[-1]) / (weight + grids[-1].free))
    count = (1 - grids[-1].free).sum((2, 3))[..., None, None]
    mean = known[-1].sum((2, 3))[..., None, None] / count.clip(1)
    u = known[-1] + grids[-1].free * mean
    for k in reversed(range(len(grids))):
        if k < len(grids) - 1:
            u = known[k] + grids[k].free * _prolonged(u, known[k].shape)
        for _ in range(1 if k else CYCLES):
            u = _cycle(u, 0 * u, grids[k:])
    return torch.where(count == 0, values.mean((2, 3))[..., None, None], u)


def between(values: Block, kept: Block) -> Block:
    """Series (b, c, t) with their holes filled: on a line, a straight one solves the equations.

    Beyond the outermost kept step it is level; a channel of which nothing is kept gets its own
    mean.

    Parameters
    ----------
    values : (b, c, t), array or tensor of floats
    kept : (b, c or 1, t) bool
    """
    library: Any = np
    if is_tensor(values):
        import torch as library
    t = values.shape[-1]
    step = library.arange(t, **({"device": values.device} if is_tensor(values) else {}))

    def latest(known: Block) -> Block:  # the last kept step up to each, -1 where there is none
        last = library.where(known, step, -1)
        return last.cummax(-1).values if is_tensor(last) else np.maximum.accumulate(last, -1)

    whole = library.broadcast_to(kept, values.shape)
    before = latest(whole)
    after = t - 1 - library.flip(latest(library.flip(whole, (-1,))), (-1,))
    none, first, last = after - before > t, before < 0, after == t
    ends = [library.where(first, after, before), library.where(last, before, after)]
    take = (
        library.gather if is_tensor(values) else lambda a, axis, at: np.take_along_axis(a, at, -1)
    )
    low, high = (take(values, -1, end.clip(0, t - 1)) for end in ends)
    share = (step - before) / (after - before).clip(1)
    filled = low + (high - low) * library.asarray(share, dtype=values.dtype)
    return library.where(none, values.mean(-1)[..., None], filled)


@dataclass(frozen=True, eq=False)
class Grid:
    """Which pixels are to be filled: `free` (b, c or 1, h, w), 1 or 0.

    Of neighbours, direct ones weigh 2 and diagonal ones 1.
    """

    free: Tensor

    @cached_property
    def weights(self) -> Tensor:
        """The sum of the weights of each pixel's neighbours, (h, w)."""
        lines = []
        for n in self.free.shape[2:]:
            lines.append(self.free.new_full((n,), 4))
            lines[-1][0] -= 1
            lines[-1][-1] -= 1
        weights = lines[0][:, None] * lines[1] - 4
        return weights.clip(1)  # an image of one pixel has no neighbours

    @cached_property
    def gains(self) -> list[Tensor]:
        """How far each of `STEPS` follows the pull of the neighbours, (b, c or 1, h, w)."""
        share = self.free / self.weights
        return [step * share for step in STEPS]


def _cycle(u: Tensor, f: Tensor, grids: list[Grid]) -> Tensor:
    """One V-cycle for ``sum_q w_pq (u_q − u_p) + f_p = 0`` at each free pixel p."""
    grid = grids[0]
    for gain in grid.gains:
        u = _pulled(u, f, gain, grid.weights, 1)
    if len(grids) > 1:
        left = _restricted(_pulled(u, f, grid.free, grid.weights, 0))
        coarse = left * (grids[1].free / 4)  # a grid twice as wide pulls four times as hard
        u = u + grid.free * _prolonged(_cycle(0 * coarse, coarse, grids[1:]), u.shape)
    for gain in grid.gains:
        u = _pulled(u, f, gain, grid.weights, 1)
    return u


# ----------------------------------------------------------------- between a grid and the next


def _restricted(a: Tensor) -> Tensor:
    """Sums around every second place, weights 1, 2, 1 along each axis."""
    for axis in (2, 3):
        a = a.swapaxes(2, axis)
        out, odd = 2 * a[:, :, ::2], a[:, :, 1::2]
        out[:, :, : odd.shape[2]] += odd
        out[:, :, 1:] += odd[:, :, : out.shape[2] - 1]
        a = out.swapaxes(2, axis)
    return a


def _prolonged(coarse: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Values at every second place, and between them their means; the last may be repeated."""
    for axis in (2, 3):
        coarse, n = coarse.swapaxes(2, axis), shape[axis]
        out = coarse.new_empty((*coarse.shape[:2], n, coarse.shape[3]))
        after = coarse[:, :, 1:]
        out[:, :, ::2] = coarse
        out[:, :, 1::2] = coarse[:, :, : n // 2]
        between = out[:, :, 1 : 2 * after.shape[2] : 2]
        between += after
        between /= 2
        coarse = out.swapaxes(2, axis)
    return coarse


# --------------------------------------------------------------------------------- on one grid


def _pulled(u: Tensor, f: Tensor, gain: Tensor, weights: Tensor, own: int) -> Tensor:
    """``own u_p + gain_p (sum_q w_pq (u_q − u_p) + f_p)``."""
    line = 2 * u  # slices: a convolution may round to 10 bits on a device
    line[:, :, 1:] += u[:, :, :-1]
    line[:, :, :-1] += u[:, :, 1:]
    total = 2 * line
    total[..., 1:] += line[..., :-1]
    total[..., :-1] += line[..., 1:]
    return own * u + gain * (total - (weights + 4) * u + f)
