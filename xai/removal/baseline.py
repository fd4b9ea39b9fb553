"""Replace removed features by fixed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from xai.inputs import Block, is_tensor
from xai.removal.base import Context, Draws, Indices, Removal

_STATISTICS = ("mean", "min", "max")


@dataclass(frozen=True, eq=False)
class Baseline(Removal):
    """Replace removed features by one value each.

    Parameters
    ----------
    value : number, array, "mean", "min" or "max"
        A number for every element; a row shaped like ``x[0]``, or one shaped like `x` for a
        baseline per row; a statistic of `data` for tables, of each image itself (channel by
        channel) for images.

    Examples
    --------
    >>> Baseline(0)
    Baseline(value=0)
    """

    value: Any = 0

    def bind(self, context: Context) -> Draws:
        """One draw for each row; the all-removed input is shared where the baseline is."""
        block = self._block(context)
        per_row = block.shape[0] == context.inputs.n and block.shape[0] > 1

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            return block, rows if per_row else np.zeros_like(rows)

        return Draws(source, 1, key=lambda rows, draws: source(rows, draws)[1])

    def _block(self, context: Context) -> Block:
        inputs = context.inputs
        if isinstance(self.value, str):
            if self.value not in _STATISTICS:
                raise ValueError(
                    f"Baseline({self.value!r}): expected a number, an array or one of {_STATISTICS}"
                )
            context.numeric(f"Baseline({self.value!r})")
            if context.channel_axis is not None:
                return _own_statistic(inputs.block, self.value, context.channel_axis)
            background = context.background(None, f"Baseline({self.value!r})")
            return _admit(context, _statistic(background, self.value))
        if np.ndim(self.value) == 0 and not hasattr(self.value, "shape"):
            if not isinstance(inputs.decode(inputs.block[:1]), list):  # texts: 0 leaves a token out
                context.numeric(f"Baseline({self.value!r})")
            if not isinstance(self.value, int | float | np.number):
                raise TypeError(f"Baseline({self.value!r}): expected a number, an array or a word")
            return _constant(context, float(self.value))
        block = inputs.encode(self.value, "the baseline")
        if block.shape[0] not in (1, inputs.n):
            raise ValueError(
                f"the baseline has {block.shape[0]} rows: expected one, or one for each of the "
                f"{inputs.n} explained rows"
            )
        return _admit(context, block)


def _admit(context: Context, block: Block) -> Block:
    if is_tensor(block) or sparse.issparse(block):
        return block
    return context.inputs.admit(block)


def _constant(context: Context, value: float) -> Block:
    x, shape = context.inputs.block, (1, *context.inputs.shape)
    if is_tensor(x):
        whole = x.is_floating_point() or float(value).is_integer()
        return x.new_full(shape, value) if whole else x.new_full(shape, value).float() + value
    if sparse.issparse(x):
        return sparse.csr_array(np.full(shape, value, x.dtype))
    whole = float(value).is_integer()
    dtype = x.dtype if x.dtype.kind == "f" or whole else np.dtype(np.float64)
    return context.inputs.admit(np.full(shape, value, dtype))


def _statistic(block: Block, name: str) -> Block:
    if sparse.issparse(block):
        return sparse.csr_array(
            np.atleast_2d(
                getattr(block, name)(axis=0).toarray() if name != "mean" else block.mean(axis=0)
            )
        )
    if is_tensor(block):
        reduced = block.mean(0) if name == "mean" else getattr(block, f"a{name}")(0)
        return reduced[None]
    return np.asarray(getattr(block, name)(axis=0))[None]


def _own_statistic(block: Block, name: str, channel_axis: int) -> Block:
    axes = tuple(a for a in range(1, block.ndim) if a != channel_axis)
    if is_tensor(block):
        operation = {"mean": block.mean, "min": block.amin, "max": block.amax}[name]
        return operation(dim=axes, keepdim=True).expand(block.shape)
    reduced = getattr(block, name)(axis=axes, keepdims=True)
    return np.broadcast_to(reduced, block.shape)
