"""Masks made of parameters, in torch, where a model lives: pixel by pixel, or smooth over an image.

Parameters (B, p) in [0, 1] become the masks (B, d) of d players, with gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

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
    """Pixels between the points of a coarser grid, bilinearly.

    Attributes
    ----------
    down, across : (H, h), (W, w)
        Weights of the grid's lines and columns in each of the image's.
    """

    down: Tensor
    across: Tensor

    @classmethod
    def of(cls, shape: tuple[int, int], step: float, like: Tensor) -> Interpolated:
        """Grid points `step` pixels apart, centred on an image of that shape, over all of it."""
        down, across = (_weights(side, step) for side in shape)
        return cls(like.new_tensor(down), like.new_tensor(across))

    @property
    def grid(self) -> tuple[int, ...]:
        """Lines and columns of the grid."""
        return self.down.shape[1], self.across.shape[1]

    def masks(self, parameters: Tensor) -> Tensor:
        """Grid points (B, h·w) to pixels (B, H·W)."""
        points = parameters.reshape(-1, *self.grid)
        return (self.down @ points @ self.across.T).flatten(1)

    def shares(self, level: Tensor) -> Tensor:
        """Mean weights of the grid's points, whatever the level."""
        return self.down.mean(0).outer(self.across.mean(0)).reshape(1, -1)


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
        k in a window of w × w grid points.
    pixels : Interpolated
    """

    weights: Tensor
    pixels: Interpolated

    @classmethod
    def of(cls, shape: tuple[int, int], step: float, sigma: float, like: Tensor) -> MaxConvolution:
        """A grid of `step` pixels on an image of that shape, and bumps `sigma` pixels wide."""
        pixels = Interpolated.of(shape, step, like)
        reach = 1 + int(np.ceil(sigma / step))
        line = np.arange(-reach, reach + 1) * step / sigma
        k = np.exp(-2 * np.maximum(0, np.hypot(line[:, None], line) - 0.5) ** 2)
        return cls(like.new_tensor(k.reshape(1, -1, 1)), pixels)

    @property
    def grid(self) -> tuple[int, ...]:
        """Lines and columns of the grid."""
        return self.pixels.grid

    def masks(self, parameters: Tensor) -> Tensor:
        """Grid points (B, h·w) to pixels (B, H·W)."""
        return self.pixels.masks(self.maxima(parameters))

    def shares(self, level: Tensor) -> Tensor:
        """Derivatives of the mean mask: the maxima's, weighed as they are interpolated."""
        from torch.nn.functional import conv_transpose2d

        window = round(self.weights.shape[1] ** 0.5)
        v = level.detach()[:, None] * self.weights[..., 0]
        chosen = (SHARPNESS * v).softmax(1)
        slope = self.weights[..., 0] * chosen * (1 + SHARPNESS * (v - _smax(v)[:, None]))
        of_maxima = self.pixels.shares(level).reshape(1, 1, *self.grid)
        spread = conv_transpose2d(of_maxima, slope.reshape(1, -1, window, window))[0]
        folded = _folded(_folded(spread, window // 2).mT, window // 2).mT
        return folded.flatten(1) / _smax(self.weights)

    def maxima(self, parameters: Tensor) -> Tensor:
        """Smooth maxima at the grid's points, (B, h·w)."""
        from torch.nn.functional import pad, unfold

        window = round(self.weights.shape[1] ** 0.5)
        points = parameters.reshape(-1, 1, *self.grid)
        around = pad(points, [window // 2] * 4, mode="replicate")
        return _smax(unfold(around, window) * self.weights) / _smax(self.weights)


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
