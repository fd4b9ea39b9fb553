"""A user's own removal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from xai.inputs import Block, is_tensor
from xai.removal.base import Context, Draws, Indices, Removal


@dataclass(frozen=True, repr=False)
class Function(Removal):
    """Remove by calling ``function(x, kept)``.

    Parameters
    ----------
    function : callable
        Takes a batch of rows (B, *shape), encoded as numbers, and a bool array or tensor of the
        same shape, True where an element is kept; returns the rows with the others replaced.
        With ``soft=True`` it may get floats in [0, 1] instead: how much of an element is kept.
        Strings and categories are codes, and only codes that occur may be returned for them.
        It must not change its arguments, and must give the same answer every time.

    Raises
    ------
    TypeError
        The function returns another kind of rows than it was given.
    ValueError
        The function returns rows of another shape.

    Examples
    --------
    >>> Function(lambda x, kept: x * kept).function(2.0, True)
    2.0
    """

    function: Callable[[Any, Any], Any]
    soft: bool = False

    def __repr__(self) -> str:
        """By the function's name: an address would say nothing, and change from run to run."""
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"Function({name}{', soft=True' if self.soft else ''})"

    def bind(self, context: Context) -> Draws:
        """One draw, made by the function."""
        x = context.inputs.block

        def inputs(rows: Indices, masks: Any, draws: Indices) -> Block:
            batch = x[rows]  # a copy, as is the mask: the function may do with them what it wants
            if is_tensor(masks):
                kept = masks.expand(batch.shape).clone()
            else:
                kept = np.broadcast_to(masks, batch.shape).copy()
            out = self.function(batch, kept)
            if not isinstance(out, np.ndarray) and not is_tensor(out) and not sparse.issparse(out):
                raise TypeError(
                    f"the removal function returned a {type(out).__name__}; expected rows like "
                    "those it was given"
                )
            if tuple(out.shape) != tuple(batch.shape):
                raise ValueError(
                    f"the removal function returned shape {tuple(out.shape)} "
                    f"for rows of shape {tuple(batch.shape)}"
                )
            return out

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            raise AssertionError("a function composes its inputs itself")

        return Draws(source, 1, inputs=inputs, soft=self.soft)
