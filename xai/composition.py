"""Model inputs from coalitions: where players and removals meet.

`composer` prepares once what never changes in a game (which player owns which element, on the
device where x lives); a `Table` what never changes for its coalitions. Of a batch only indices
are left: explained rows, coalitions and draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai.inputs import Block, Inputs, host_array, is_tensor
from xai.partition import Partition
from xai.removal.base import Draws, as_floats

Indices: TypeAlias = NDArray[np.intp]
Coalitions: TypeAlias = NDArray[np.bool_]
Compose: TypeAlias = Callable[[Indices, Indices, Indices], Block]
"""(rows, which, draws) -> model inputs: row, place in the table and draw of each, all (B,)."""
Composer: TypeAlias = Callable[[Coalitions], Compose]
"""Coalitions (C, d), or soft ones -> how inputs are made of them."""


@dataclass(eq=False)
class Table:
    """Coalitions that meet many rows and draws, and are looked at once."""

    coalitions: Coalitions
    composer: Composer

    @property
    def full(self) -> Coalitions:
        """Which coalitions keep everything, (C,)."""
        return self._ends[0]

    @property
    def empty(self) -> Coalitions:
        """Which keep nothing, (C,)."""
        return self._ends[1]

    @cached_property
    def _ends(self) -> tuple[Coalitions, Coalitions]:
        from xai.kernels.compose import ends

        full, empty = np.empty((2, len(self.coalitions)), bool)
        ends(self.coalitions, full, empty)
        return full, empty

    @cached_property
    def compose(self) -> Compose:
        """How inputs are made of these coalitions."""
        return self.composer(self.coalitions)


WHOLE_ONLY = (
    "this removal takes whole coalitions only, and the method keeps parts of features: use another "
    "removal, such as Baseline or Blur"
)


def composer(inputs: Inputs, partition: Partition, draws: Draws, reads: Any = None) -> Composer:
    """How coalitions become model inputs: x's rows where kept, the draw's replacement elsewhere.

    A float coalition is a soft one: of each player as large a part stays as its mask in [0, 1].

    Parameters
    ----------
    reads : a float dtype that the model turns all numbers into, if it does
        Arrays of wider floats are then made in it: fewer bytes, and nothing left to turn.
    """
    if partition.overlap is not None:
        whole, pieces = composer(inputs, partition.apart, draws, reads), partition.overlap.pieces
        return lambda table: whole(pieces(table))
    if partition.atlas is not None:
        return _by_atlas(soft(inputs, partition.apart, draws), partition.atlas)
    x = inputs.block
    if draws.inputs is None and not sparse.issparse(x) and _compiles(x):
        hard = _dense(x, partition, draws, None if inputs.columns else reads)
    else:
        hard = _uncompiled(x, partition, draws)

    def of(table: Coalitions) -> Compose:
        return hard(table) if table.dtype == bool else soft(inputs, partition, draws)(table)

    return of


def _by_atlas(of: Composer, atlas: Callable[[Indices, Any], Any]) -> Composer:
    """Inputs of coalitions that are soft masks of their own in each row."""

    def whole(table: Coalitions) -> Compose:
        def compose(rows: Indices, which: Indices, places: Indices) -> Block:
            return of(atlas(rows, table[which]))(rows, np.arange(len(rows)), places)

        return compose

    return whole


def soft(inputs: Inputs, partition: Partition, draws: Draws) -> Composer:
    """How soft coalitions, floats in [0, 1], become inputs between x and its replacement.

    Raises
    ------
    ValueError
        Values that cannot be mixed: see `check_soft`.
    """
    check_soft(inputs, draws)
    return _uncompiled(inputs.block, partition, draws)


def check_soft(inputs: Inputs, draws: Draws) -> None:
    """Refuse what cannot be mixed.

    Raises
    ------
    ValueError
        Categories, texts, sparse rows; a removal that takes whole coalitions only.
    """
    if not draws.soft:
        raise ValueError(WHOLE_ONLY)
    x = inputs.block
    if inputs.is_text or np.any(inputs.categorical) or sparse.issparse(x):
        what = "texts" if inputs.is_text else "sparse rows" if sparse.issparse(x) else "categories"
        raise ValueError(f"soft masks mix amounts, and x holds {what}: use a method without them")


def _uncompiled(x: Block, partition: Partition, draws: Draws) -> Composer:
    return (_tensors if is_tensor(x) else _by_masks)(x, partition, draws)


def _by_masks(x: Block, partition: Partition, draws: Draws) -> Composer:
    """Element masks on the host: for functions, sparse rows, and numbers Numba does not know."""

    def of(table: Coalitions) -> Compose:
        def compose(rows: Indices, which: Indices, places: Indices) -> Block:
            masks = partition.masks(rows, table[which])
            if draws.inputs is not None:
                return draws.inputs(rows, masks, places)
            replacement, index = draws.source(rows, places)
            if sparse.issparse(x):
                return _entries(x[rows], masks) + _entries(replacement[index], ~masks)
            own, other = x[rows], replacement[index]
            if masks.dtype == bool:
                return np.where(masks, own, other)
            masks = masks.astype(np.result_type(own, other, np.float32), copy=False)
            # differences of small integers would wrap
            own, other = (a.astype(masks.dtype, copy=False) for a in (own, other))
            with np.errstate(invalid="ignore"):
                mixed = other + masks * (own - other)
            return np.where(masks == 1, own, np.where(masks == 0, other, mixed))  # NaN stays out

        return compose

    return of


def _entries(block: Block, chosen: Coalitions) -> Block:
    """The chosen entries of a sparse block: selected, since NaN times 0 would stay NaN."""
    entries = block.tocoo()
    at = np.broadcast_to(chosen, block.shape)[entries.row, entries.col]
    places = (entries.row[at], entries.col[at])
    return sparse.csr_array((entries.data[at], places), shape=block.shape)


# --------------------------------------------------------------------------- arrays on the host


def _dense(x: Block, partition: Partition, draws: Draws, reads: Any) -> Composer:
    """One compiled pass from rows, table and replacements to the inputs."""
    from xai.kernels.compose import compose_owned, compose_table

    shape = tuple(int(s) for s in x.shape[1:])
    array = host_array(x)
    lines = (array if array.ndim == 2 else np.ascontiguousarray(array)).reshape(len(array), -1)
    alone = partition.is_identity and partition.owner.size == lines.shape[1]
    owner = None if alone else _owner_of_places(partition, shape)

    def of(table: Coalitions) -> Compose:
        def compose(rows: Indices, which: Indices, places: Indices) -> Block:
            replacement, index = draws.source(rows, places)
            if not _compiles(replacement):
                return _uncompiled(x, partition, draws)(table)(rows, which, places)
            dtype = _mixed(x.dtype, replacement.dtype)
            if reads is not None and dtype.kind == "f":
                dtype = min(dtype, np.dtype(reads))
            out = np.empty((len(rows), lines.shape[1]), dtype)  # in large pages
            other, index = _lines(host_array(replacement), index)
            if owner is None:
                compose_table(lines, other, rows, index, table, which, out)
            else:
                compose_owned(lines, other, rows, index, table, which, owner, out)
            return _like(x, out.reshape(len(rows), *shape))

        return compose

    return of


def _owner_of_places(partition: Partition, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Owners (n or 1, e) of e places, which x's leading axes share where owners' are 1."""
    owner = partition.owner.astype(np.int32)
    first = 0
    while first < len(shape) and owner.shape[1 + first] == 1:
        first += 1
    inner = owner.reshape(len(owner), *owner.shape[1 + first :])
    inner = np.broadcast_to(inner, (len(owner), *shape[first:]))
    return np.ascontiguousarray(inner.reshape(len(owner), -1))


def _lines(array: NDArray[Any], index: Indices) -> tuple[NDArray[Any], Indices]:
    """Rows as lines of numbers; scattered ones are first gathered, a batch at a time."""
    if array.ndim > 2 and not array.flags.c_contiguous:
        array, index = array[index], np.arange(len(index))
    return array.reshape(len(array), -1), index


@cache
def _mixed(own: Any, other: Any) -> np.dtype[Any]:
    """The dtype of inputs that hold x's values and the replacements'; of tensors' dtypes, too."""
    if isinstance(own, np.dtype):
        return np.result_type(own, other)
    import torch

    return torch.empty(0, dtype=torch.promote_types(own, other), device="cpu").numpy().dtype


def _like(x: Block, array: NDArray[Any]) -> Block:
    """An array as what x is."""
    if not is_tensor(x):
        return array
    import torch

    return torch.from_numpy(array)


def _compiles(block: Block) -> bool:
    """Whether Numba knows such numbers, and they are in the host's memory."""
    if is_tensor(block):
        return _on_host(block)
    known = block.dtype.kind in "biu" or block.dtype in (np.float32, np.float64)
    return bool(known and block.dtype.isnative)


# --------------------------------------------------------------------------------------- tensors


def _on_host(x: Any) -> bool:
    """Whether a tensor's memory is an array that Numba knows."""
    import torch

    known = (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
    return x.device.type == "cpu" and x.layout == torch.strided and x.dtype in known


def _tensors(x: Any, partition: Partition, draws: Draws) -> Composer:
    """Composition in torch, where x lives, of coalitions or of soft ones."""
    from xai.kernels import tensors

    owners = tensors.Owners.of(partition.owner, x.device, identity=partition.is_identity)
    floating = x.dtype if x.is_floating_point() else as_floats(x[:1]).dtype

    def of(table: Coalitions) -> Compose:
        kept = owners.table(table, x.device, None if table.dtype == bool else floating)

        def compose(rows: Indices, which: Indices, places: Indices) -> Block:
            if draws.inputs is not None:
                return draws.inputs(rows, tensors.masks(owners, kept, rows, which), places)
            replacement, index = draws.source(rows, places)
            return tensors.compose(x, replacement, owners, kept, rows, which, index)

        return compose

    return of
