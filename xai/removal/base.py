"""How features are taken away: what a removal is, and how its draws become model inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai.inputs import Block, Inputs, is_tensor

Indices: TypeAlias = NDArray[np.intp]
Source: TypeAlias = Callable[[Indices, Indices], "tuple[Block, Indices]"]
"""(rows, draws) -> replacement rows, and the place among them of each (row, draw)."""


@dataclass(frozen=True)
class Draws:
    """A removal bound to rows: its replacement values, draw by draw.

    Attributes
    ----------
    source : Source
        Replacement rows for explained rows and draws.
    n_draws : int
        Number of draws, or the stated number that `value` uses where they are endless.
    endless : bool
    key : (rows, draws) -> ints, or None
        Equal keys are equal inputs once every feature is removed, so those are evaluated once.
    inputs : (rows, masks, draws) -> block, or None
        Composition that is no mixture of row and replacement (a user's function).
    regressors : (rows, draws) -> (B, columns) float, or None
        What a linear fit regresses on where that is not the coalition: LIME's neighbourhoods.
    """

    source: Source
    n_draws: int
    endless: bool = False
    key: Callable[[Indices, Indices], Indices] | None = None
    inputs: Callable[[Indices, NDArray[np.bool_], Indices], Block] | None = None
    regressors: Callable[[Indices, Indices], NDArray[np.float64]] | None = None


@dataclass(frozen=True)
class Context:
    """What a removal may use when it is bound: the rows, the background, the seed, the kind."""

    inputs: Inputs
    data: Any
    seed: int
    channel_axis: int | None = None

    def background(self, own: Any, removal: str) -> Block:
        """The removal's own rows, or `explain`'s `data`, encoded like x."""
        self.refuse_texts(removal)
        rows = self.data if own is None else own
        if rows is None:
            raise ValueError(
                f"{removal} needs background rows: pass data=, or a removal that needs none, "
                "such as removal=xai.removal.Baseline(0)"
            )
        return self.inputs.admit(self.inputs.encode(rows, "data"))

    def refuse_texts(self, removal: str) -> None:
        """Refuse texts, where a removal puts other values in place of x's."""
        if self.inputs.is_text:
            raise ValueError(
                f"{removal} is not for texts: they lose tokens by leaving them out, which is "
                "removal=xai.removal.Baseline(0)"
            )

    def numeric(self, removal: str) -> None:
        """Refuse columns of categories, where a removal computes with amounts."""
        self.refuse_texts(removal)
        bad = np.flatnonzero(self.inputs.categorical)
        if len(bad) and len(self.inputs.shape) == 1:
            names = self.inputs.names or [str(j) for j in range(self.inputs.shape[0])]
            raise ValueError(
                f"{removal} needs numbers, but column {names[bad[0]]!r} holds categories or "
                "strings: use removal='marginal' with data="
            )


@dataclass(frozen=True)
class Removal(ABC):
    """A way to take features away. Constructors only store; `bind` meets the rows."""

    @abstractmethod
    def bind(self, context: Context) -> Draws:
        """Prepare the draws for the rows in `context`."""


def compose(
    inputs: Inputs, draws: Draws, rows: Indices, masks: NDArray[np.bool_], places: Indices
) -> Block:
    """Model inputs: x's rows where kept, the draw's replacement elsewhere.

    Parameters
    ----------
    rows, places : (B,) int
        Explained row and draw of each input.
    masks : (B, *shape or broadcastable) bool
        True where the element is kept.
    """
    if draws.inputs is not None:
        return draws.inputs(rows, masks, places)
    replacement, index = draws.source(rows, places)
    x = inputs.block
    if is_tensor(x):
        return _compose_tensors(x, replacement, rows, index, masks)
    if sparse.issparse(x):
        return _entries(x[rows], masks) + _entries(replacement[index], ~masks)
    if x.ndim == 2:
        from xai.kernels.compose import compose_rows

        out = np.empty((len(rows), x.shape[1]), np.result_type(x.dtype, replacement.dtype))
        compose_rows(x, replacement, rows, index, masks, out)
        return out
    return np.where(masks, x[rows], replacement[index])


def _entries(block: Block, chosen: NDArray[np.bool_]) -> Block:
    """The chosen entries of a sparse block: selected, since NaN times 0 would stay NaN."""
    entries = block.tocoo()
    at = np.broadcast_to(chosen, block.shape)[entries.row, entries.col]
    places = (entries.row[at], entries.col[at])
    return sparse.csr_array((entries.data[at], places), shape=block.shape)


def _compose_tensors(x: Any, replacement: Any, rows: Indices, index: Indices, masks: Any) -> Any:
    import torch

    kept = torch.as_tensor(masks, device=x.device)
    places = torch.as_tensor(index, device=x.device)
    return torch.where(kept, x[torch.as_tensor(rows, device=x.device)], replacement[places])
