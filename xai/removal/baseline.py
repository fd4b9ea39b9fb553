"""Replace removed features by fixed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from xai.inputs import Block, Inputs, host_array, is_tensor
from xai.places import channels_back, channels_first
from xai.removal.base import Context, Draws, Indices, Removal, as_floats, back, of_known

_STATISTICS = ("mean", "min", "max")


@dataclass(frozen=True, eq=False, repr=False)
class Baseline(Removal):
    """Replace removed features by one value each.

    Parameters
    ----------
    value : number, array, "mean", "min" or "max"
        A number for every element; a row shaped like ``x[0]``, or one shaped like `x` for a
        baseline per row; a statistic, which leaves NaN out, of `data` for tables and for layers
        without places, of each image itself (channel by channel) for images. Of texts 0, which
        leaves words out, or a word in their place, such as a tokenizer's "[MASK]".

    Raises
    ------
    TypeError
        `value` is neither a number, an array nor a word.
    ValueError
        An unknown word, a baseline of another number of rows than x, or a number other than 0
        for texts.

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
        inputs, value = context.inputs, _plain(self.value)
        if inputs.is_text and isinstance(value, str) and value not in _STATISTICS:
            return inputs.encode(value, "the baseline")
        if isinstance(value, str):
            return self._statistic(context, value)
        if not isinstance(value, list | tuple) and not hasattr(value, "shape"):
            return self._constant(context, value)
        context.refuse_texts("a Baseline of rows")
        block = inputs.encode(value, "the baseline")
        if block.shape[0] not in (1, inputs.n):
            raise ValueError(
                f"the baseline has {block.shape[0]} rows: expected one, or one for each of the "
                f"{inputs.n} explained rows"
            )
        return inputs.admit(block)

    def _statistic(self, context: Context, name: str) -> Block:
        if name not in _STATISTICS:
            raise ValueError(
                f"Baseline({name!r}): expected a number, an array or one of {_STATISTICS}"
            )
        context.numeric(f"Baseline({name!r})")
        if context.sides:
            assert context.channel_axis is not None
            return _own_statistic(context.inputs.block, name, context.channel_axis)
        background = context.background(None, f"Baseline({name!r})")
        found = _statistic(background, name)
        endless = np.flatnonzero(np.isinf(host_array(found)))
        if name == "mean" and len(endless):
            raise ValueError(
                f"Baseline('mean'): the mean of {context.place(endless[0])} is infinite: pass a "
                "row instead"
            )
        return context.inputs.admit(found)

    def _constant(self, context: Context, value: Any) -> Block:
        if not isinstance(value, int | float):
            raise TypeError(f"Baseline({self.value!r}): expected a number, an array or a word")
        if not context.inputs.is_text:
            context.numeric(f"Baseline({value!r})")
        elif value != 0:
            raise ValueError(
                f"Baseline({value!r}): texts lose tokens by leaving them out, which is "
                "Baseline(0), or get a word in their place, as Baseline('[MASK]')"
            )
        return context.inputs.admit(_row_of(value, context.inputs))


def _plain(value: Any) -> Any:
    """A NumPy or torch number as Python's own; anything else as it is."""
    is_number = isinstance(value, np.generic | np.ndarray) or is_tensor(value)
    return value.item() if is_number and value.ndim == 0 else value


def _row_of(value: float, inputs: Inputs) -> Block:
    """One row of a number: in x's own precision, or as itself where x holds integers."""
    x, shape = inputs.block, (1, *inputs.shape)
    if is_tensor(x):
        import torch

        dtype = x.dtype
        if not x.is_floating_point():
            dtype = torch.int64 if float(value).is_integer() else torch.get_default_dtype()
        return x.new_full(shape, value, dtype=dtype)
    row = np.full(shape, value, x.dtype if x.dtype.kind == "f" else None)
    row = row.astype(np.float64) if row.dtype == object else row  # beyond 64 bits
    return sparse.csr_array(row) if sparse.issparse(x) else row


def _statistic(block: Block, name: str) -> Block:
    if sparse.issparse(block):
        return _sparse_statistic(block, name)
    if is_tensor(block):
        return _tensor_statistic(block, name)
    return back(of_known(name, block)[None], block)


def _tensor_statistic(block: Block, name: str) -> Block:
    """One row (1, columns) of a tensor's statistics, where it lives."""
    if name == "mean":
        return back(as_floats(block).nanmean(0, keepdim=True), block)
    missing = block.isnan()
    if missing.any():
        block = block.masked_fill(missing, np.inf if name == "min" else -np.inf)
    found = getattr(block, f"a{name}")(0, keepdim=True)
    return found.masked_fill(missing.all(0), np.nan) if missing.any() else found


def _sparse_statistic(block: Block, name: str) -> Block:
    """One row (1, columns) of sparse rows' statistics; NaN where a column knows nothing else."""
    if name != "mean":
        return sparse.csr_array(getattr(block, f"nan{name}")(axis=0).toarray().reshape(1, -1))
    known, missing = block.copy(), block.copy()
    missing.data = np.isnan(block.data)
    known.data = np.where(missing.data, 0, block.data)
    with np.errstate(invalid="ignore"):
        mean = known.sum(axis=0) / (block.shape[0] - missing.sum(axis=0))
    return sparse.csr_array(np.atleast_2d(back(mean, block)))


def _own_statistic(block: Block, name: str, channel_axis: int) -> Block:
    """Each image's own, of its places, shaped like the batch."""
    channels = channels_first(block, channel_axis)
    n, c, *sides = channels.shape
    found = _statistic(channels.reshape(n * c, -1).T, name).reshape(n, c, *(1 for _ in sides))
    shape = (n, c, *sides)
    whole = found.expand(shape) if is_tensor(found) else np.broadcast_to(found, shape)
    return channels_back(whole, channel_axis)
