"""Masks made of parameters, in torch, where a model lives: pixel by pixel, or smooth over an image.

Parameters (B, p) in [0, 1] become the masks (B, d) of d players, with gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from xai.places import along

if TYPE_CHECKING:
    from torch import Tensor

SHARPNESS = 20.0
"""Of the smooth maximum: Σ v·softmax(20 v)."""


class Surface(Protocol):
    """How parameters become masks."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of one row of parameters."""

    def masks(self, parameters: Tensor) -> Tensor:
        """Masks (B, d) of parameters (B, p)."""

    def shares(self, level: Tensor) -> Tensor:
        """How much of the mean mask each parameter moves where all have a level (B,): (B, p).

        Taken per share, gradients move equal parameters alike: those at an image's border move
        fewer pixels, and would else lag behind, so that masks end up there.
        """


@dataclass(frozen=True)
class Plain:
    """Each player's mask is a parameter."""

    grid: tuple[int, ...]

    def masks(self, parameters: Tensor) -> Tensor:
        """The parameters themselves."""
        return parameters

    def shares(self, level: Tensor) -> Tensor:
        """The same for all."""
        return level.new_full((1, 1), 1 / int(np.prod(self.grid)))


@dataclass(frozen=True, eq=False)
class Interpolated:
    """Pixels between the points of a coarser grid, linearly along each axis.

    Attributes
    ----------
    lines : (side, points) each, one for each axis of places
        Weights of the grid's points in each of an image's lines, columns, ….
    """

    lines: tuple[Tensor, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], step: float, like: Tensor) -> Interpolated:
        """Grid points `step` pixels apart, centred on an image of that shape, over all of it."""
        return cls(tuple(like.new_tensor(_weights(side, step)) for side in shape))

    @property
    def grid(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(line.shape[1] for line in self.lines)

    def masks(self, parameters: Tensor) -> Tensor:
        """Grid points (B, points) to pixels (B, d)."""
        points: Tensor = along(parameters.reshape(-1, 1, *self.grid), self.lines)
        return points.flatten(1)

    def shares(self, level: Tensor) -> Tensor:
        """Mean weights of the grid's points, whatever the level."""
        share = level.new_ones(1)
        for line in self.lines:
            share = share.outer(line.mean(0)).flatten()
        return share[None]


@dataclass(frozen=True, eq=False)
class MaxConvolution:
    """A smooth maximum of bumps on a grid: masks whose edges are smooth, whatever is learned.

    ``M(u) = smax_i k(‖u − u_i‖ / σ) p_i``, with ``k(z) = exp(−2 max(0, z − ½)²)``, which is flat on
    top, over the grid points u_i near u, and ``smax(v) = Σ v softmax(20 v)`` (Fong, Patrick &
    Vedaldi 2019). It is divided by what parameters of 1 give, so that these give 1; taken
    at the grid's points, and interpolated between them. Beyond the image the grid goes on with its
    border's values: equal parameters give a mask that is equal everywhere, so that borders are
    neither shunned nor sought.

    Attributes
    ----------
    weights : (1, w², 1)
        k in a window of w × w grid points; w of a series, w³ of a volume.
    pixels : Interpolated
    """

    weights: Tensor
    pixels: Interpolated

    @classmethod
    def of(cls, shape: tuple[int, ...], step: float, sigma: float, like: Tensor) -> MaxConvolution:
        """A grid of `step` pixels on an image of that shape, and bumps `sigma` pixels wide."""
        pixels = Interpolated.of(shape, step, like)
        reach = 1 + int(np.ceil(sigma / step))
        line = np.arange(-reach, reach + 1) * step / sigma
        away = reduce(np.hypot, np.ix_(*[line] * len(shape)))
        k = np.exp(-2 * np.maximum(0, away - 0.5) ** 2)
        return cls(like.new_tensor(k.reshape(1, -1, 1)), pixels)

    @property
    def grid(self) -> tuple[int, ...]:
        """Points along each axis."""
        return self.pixels.grid

    @property
    def window(self) -> int:
        """Grid points along each axis of a window, w."""
        window: int = round(self.weights.shape[1] ** (1 / len(self.grid)))
        return window

    def masks(self, parameters: Tensor) -> Tensor:
        """Grid points (B, points) to pixels (B, d): smooth maxima, interpolated."""
        from torch.nn.functional import pad

        axes, points = len(self.grid), parameters.reshape(-1, 1, *self.grid)
        around = pad(points, [self.window // 2] * 2 * axes, mode="replicate")[:, 0]
        for axis in range(axes):
            around = around.unfold(1 + axis, self.window, 1)
        order = [0, *range(1 + axes, 1 + 2 * axes), *range(1, 1 + axes)]
        windows = around.permute(order).reshape(len(points), self.window**axes, -1)
        return self.pixels.masks(_smax(windows * self.weights) / _smax(self.weights))

    def shares(self, level: Tensor) -> Tensor:
        """Derivatives of the mean mask: the maxima's, weighed as they are interpolated."""
        from torch.nn import functional

        spread_out = getattr(functional, f"conv_transpose{len(self.grid)}d")
        v = level.detach()[:, None] * self.weights[..., 0]
        chosen = (SHARPNESS * v).softmax(1)
        slope = self.weights[..., 0] * chosen * (1 + SHARPNESS * (v - _smax(v)[:, None]))
        of_maxima = self.pixels.shares(level).reshape(1, 1, *self.grid)
        spread = spread_out(of_maxima, slope.reshape(1, -1, *[self.window] * len(self.grid)))[0]
        for axis in range(1, spread.ndim):
            spread = _folded(spread.swapaxes(axis, -1), self.window // 2).swapaxes(axis, -1)
        shares: Tensor = spread.flatten(1) / _smax(self.weights)
        return shares


def _smax(v: Tensor) -> Tensor:
    """Smooth maximum over axis 1."""
    return (v * (SHARPNESS * v).softmax(1)).sum(1)


def _folded(lines: Tensor, margin: int) -> Tensor:
    """What lies beyond both ends of the last axis, added to the ends."""
    import torch

    first = lines[..., : margin + 1].sum(-1, keepdim=True)
    last = lines[..., -margin - 1 :].sum(-1, keepdim=True)
    return torch.cat([first, lines[..., margin + 1 : -margin - 1], last], -1)


def _weights(side: int, step: float) -> NDArray[np.float64]:
    """Linear interpolation (side, points) from points `step` apart that reach both ends."""
    points = 1 + max(1, int(np.ceil((side - 1) / step)))
    start = ((side - 1) - (points - 1) * step) / 2
    at = (np.arange(side) - start) / step
    below = np.clip(np.floor(at), 0, points - 2).astype(int)
    out, rows = np.zeros((side, points)), np.arange(side)
    out[rows, below], out[rows, below + 1] = below + 1 - at, at - below
    return out
