"""Replace removed features by themselves with noise on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from xai import streams
from xai.inputs import Block, host_array, is_tensor
from xai.removal.base import (
    Context,
    Draws,
    Indices,
    Regressors,
    Removal,
    as_floats,
    back,
    once,
    placed,
)
from xai.removal.sampled import positive

SHARE = 0.15
"""Noise where no sigma is given: this share of an image's range, or of a column's deviation."""


@dataclass(frozen=True, eq=False, repr=False)
class Noise(Removal):
    """Add normal noise to removed features: ``x + sigma N(0, 1)``.

    Parameters
    ----------
    sigma : number or row like ``x[0]``, optional
        Standard deviation, in x's units. None: 0.15 of each image's max − min; for tables 0.15 of
        each column's standard deviation in the background.
    data : (m, …) rows like x, optional
        The background of tables; `explain`'s `data` where None.
    n_draws : int
        Draws that an expectation uses; walks take further ones. Noise of 0 has one draw: x.
    displacements : bool
        Whether a linear fit regresses on the noise itself, so that its coefficients are slopes in
        x's units (C-LIME, Agarwal et al. 2021), rather than on what is kept. For tables.

    Raises
    ------
    TypeError
        x is sparse.
    ValueError
        Neither `sigma` nor background rows, or displacements of images.

    Notes
    -----
    SmoothGrad (Smilkov et al. 2017): 10 to 20 % of the range. A draw's noise is the same for all
    rows, batches and devices (to single precision).

    Examples
    --------
    >>> Noise(0.1).sigma
    0.1
    """

    sigma: Any = None
    data: Any = field(default=None, repr=False)
    n_draws: int = 128
    displacements: bool = False
    moves: ClassVar[bool] = True

    def bind(self, context: Context) -> Draws:
        """Endless draws, made from (seed, draw) and x."""
        context.numeric("Noise")
        positive("n_draws", self.n_draws)
        x = context.inputs.block
        context.dense("Noise")
        sigma = self._deviations(context)
        if not sigma.any():
            return Draws(lambda rows, draws: (x, rows), 1)
        make_room(context)
        like = as_floats(x[:1])

        def fresh(draws: Indices) -> Block:
            return normals(like, context.seed, draws)

        noise = once(fresh) if self.displacements else fresh  # a fit asks for the same again

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            distinct, place = np.unique(draws, return_inverse=True)
            scale = sigma if len(sigma) == 1 else sigma[rows]
            noisy = as_floats(x[rows]) + scale * noise(distinct)[place]
            return back(noisy, x), np.arange(len(rows))

        def regressors(rows: Indices, draws: Indices) -> Regressors:
            each = np.repeat(rows, len(draws))
            moved = source(each, np.tile(draws, len(rows)))[0] - x[each]
            distances = host_array(moved).reshape(len(rows), len(draws), -1)
            return distances.swapaxes(1, 2), np.zeros(x.shape[1])

        if not self.displacements:
            return Draws(source, self.n_draws, endless=True)
        if x.ndim != 2:
            raise ValueError(
                "Noise(displacements=True): slopes are fitted to tables, not to rows of shape "
                f"{context.inputs.shape}: pass flat rows, or choose another method, such as "
                "'smoothgrad' of a torch module"
            )
        context.whole("Noise(displacements=True)")
        return Draws(source, self.n_draws, endless=True, regressors=regressors)

    def _deviations(self, context: Context) -> Block:
        """Sigma of each row and element, (n or 1, *shape or 1s), where x lives."""
        x = context.inputs.block
        if self.sigma is not None:
            row = context.row(self.sigma, "Noise", "sigma")
            if not (np.isfinite(row) & (row >= 0)).all():
                raise ValueError(
                    f"Noise(sigma={self.sigma!r}): expected finite numbers, none negative"
                )
            return placed(row[None], x)
        if context.channel_axis is not None:
            return SHARE * spans(x)
        if self.data is None and context.data is None:
            raise ValueError(
                "Noise() takes a column's deviation from the background: pass sigma= or data="
            )
        rows = context.background(self.data, "Noise")
        return placed(SHARE * context.deviations(rows, "Noise()")[None], x)


def normals(like: Block, seed: int, draws: Indices) -> Block:
    """Standard normal numbers (draws, *shape) for rows like these, where they live."""
    size = int(np.prod(like.shape[1:]))
    if not is_tensor(like):
        drawn = streams.normals(seed, streams.REPLACEMENT, draws, size)
        return drawn.reshape(-1, *like.shape[1:]).astype(like.dtype, copy=False)
    import torch

    if like.device.type == "cpu":  # NumPy's are several times as fast
        flat = torch.from_numpy(streams.normals(seed, streams.REPLACEMENT, draws, size))
    else:
        from xai.kernels import tensors

        samples = torch.as_tensor(draws, device=like.device)
        flat = tensors.normals(seed, streams.REPLACEMENT, samples, size)
    return flat.reshape(-1, *like.shape[1:]).to(like.dtype)


def spans(x: Block) -> Block:
    """The max − min of each row, (n, 1, …), as floats to compute with."""
    axes = tuple(range(1, x.ndim))
    if is_tensor(x):
        return as_floats(x.amax(axes, keepdim=True)) - as_floats(x.amin(axes, keepdim=True))
    return as_floats(x.max(axes, keepdims=True)) - as_floats(x.min(axes, keepdims=True))


def make_room(context: Context, fraction: Any = 0.5) -> None:
    """Integer columns become float, where noise gives them a fraction."""
    block = context.inputs.block
    if not is_tensor(block):
        context.inputs.admit(np.full((1, *block.shape[1:]), fraction))
