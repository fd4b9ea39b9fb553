"""Players bound to rows: which element belongs to which player, and what a coalition keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xai.inputs import Block, Inputs, is_tensor

if TYPE_CHECKING:
    from xai.layers import Cut

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Partition:
    """Players bound to rows.

    Attributes
    ----------
    owner : (n or 1, *shape) int
        The player of each element, -1 where an element is never removed. Axes may be 1 where
        all elements along them belong together (channels). Where players overlap: the piece.
    counts : (n,) int
        Number of players of each row.
    names : list of str
    shape : shape of one row's values
    description : str
    overlap : Overlap, or None
        How players that overlap make up pieces that do not.
    atlas : (rows (B,), coalitions (B, d)) -> pixel masks (B, e), or None
        How a coalition of soft maps becomes a soft coalition of pixels, which owners are then.
    pixels : tuple of int, or None
        Sides of an image, a series or a volume whose places are the players, line by line.

    Examples
    --------
    >>> import numpy as np
    >>> from xai.inputs import read
    >>> from xai.players import Groups
    >>> part = Groups(np.array([5, 5, 9])).encode(read(np.ones((1, 3))), None)
    >>> part.owner, part.counts, part.names
    (array([[0, 0, 1]]), array([2]), ['5', '9'])
    """

    owner: Indices
    counts: Indices
    names: list[str]
    shape: tuple[int, ...]
    description: str
    overlap: Overlap | None = None
    atlas: Callable[[Indices, Any], Any] | None = None
    pixels: tuple[int, ...] | None = None

    @property
    def shared(self) -> bool:
        """Whether all rows have the same players."""
        return len(self.owner) == 1

    @cached_property
    def is_identity(self) -> bool:
        """Whether the i-th of an owner's places is player (or piece) i, in every row."""
        owner = self.owner.reshape(len(self.owner), -1)
        return self.shared and bool((owner == np.arange(owner.shape[1])).all())

    @property
    def apart(self) -> Partition:
        """The partition whose players are the pieces (or the pixels of an atlas)."""
        return replace(self, overlap=None, atlas=None)

    def covers(self, rows: Indices) -> NDArray[np.bool_]:
        """For each row, whether its players own all of it."""
        owner = self.owner if self.shared else self.owner[rows]
        whole = owner.reshape(len(owner), -1).min(axis=1) >= 0
        return np.broadcast_to(whole, rows.shape)

    def masks(self, rows: Indices, coalitions: NDArray[Any]) -> NDArray[Any]:
        """Element masks (B, *shape), True where kept, of coalitions (B, d); floats of soft ones."""
        if self.overlap is not None:
            return self.apart.masks(rows, self.overlap.pieces(coalitions))
        if self.shared:
            if self.is_identity:
                return coalitions.reshape(len(coalitions), *self.owner.shape[1:])
            return _always_kept(coalitions)[:, self.owner[0]]
        padded = _always_kept(coalitions)
        owner = self.owner[rows]
        flat = np.take_along_axis(padded, owner.reshape(len(rows), -1) % padded.shape[1], axis=1)
        return flat.reshape(owner.shape)


def _always_kept(coalitions: NDArray[Any]) -> NDArray[Any]:
    """Coalitions with a last player that is always kept: the owner -1."""
    return np.concatenate([coalitions, np.ones((len(coalitions), 1), coalitions.dtype)], axis=1)


def numbered(shape: tuple[int, ...]) -> list[str]:
    """Names of players that have none: their numbers, or "[1, 7]" where values are an array."""
    return list(_numbers(shape))


@lru_cache(maxsize=1)
def _numbers(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Kept: those of a photograph's pixels take longer than a network's gradient."""
    *rest, last = shape
    if not rest:
        return tuple(map(str, range(last)))
    heads, tails = ["["], [f"{i}]" for i in range(last)]
    for side in rest:
        heads = [f"{head}{i}, " for head in heads for i in range(side)]
    return tuple(head + tail for head in heads for tail in tails)


class Players(ABC):
    """A way to divide rows into players; `encode` meets the rows.

    Examples
    --------
    >>> import numpy as np, xai
    >>> @dataclass(frozen=True)
    ... class Halves(Players):
    ...     def encode(self, inputs, channel_axis):
    ...         ids = np.arange(inputs.shape[0]) * 2 // inputs.shape[0]
    ...         return xai.players.Groups(ids).encode(inputs, channel_axis)
    >>> f = lambda x: x.sum(axis=1)
    >>> xai.explain(f, np.ones((1, 4)), "occlusion", removal="baseline", players=Halves()).values
    array([[2., 2.]])
    """

    layer: Any = None
    """The layer of a network inside which they are, or None."""
    of_places: ClassVar[bool] = False
    """Whether they have a meaning only where axes of x are of places, as an image's."""

    @abstractmethod
    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """Find each element's player."""

    def within(self, pieces: Cut, batch_size: int | None) -> Cut:
        """The network in two at the players' layer, as these players see it."""
        return pieces


# ---------------------------------------------------------------------------- overlapping players


@dataclass(frozen=True, eq=False)
class Overlap:
    """Windows on a grid that overlap, and the pieces that their edges cut an image into.

    A piece is kept where every window over it is: a coalition of windows is one of pieces, whose
    masks multiply where they are soft.

    Attributes
    ----------
    lines : one Line for each axis of places
        The windows' extents along an image's height and width, a series' steps, ….
    """

    lines: tuple[Line, ...]

    @cached_property
    def spans(self) -> Indices:
        """Start and stop of each window along each axis: of images top, bottom, left, right."""
        at = np.indices([line.count for line in self.lines]).reshape(len(self.lines), -1)
        ends = [
            end[i]
            for i, line in zip(at, self.lines, strict=True)
            for end in (line.starts, line.stops)
        ]
        return np.stack(ends, axis=1)

    def pieces(self, coalitions: Block) -> Block:
        """Coalitions of windows (B, d) as coalitions of pieces (B, e); arrays or tensors.

        Differentiable in soft ones. Takes O(e log k) steps for each, where k windows overlap
        along an axis; there are no more pieces than pixels.
        """
        grid = coalitions.reshape(-1, *(line.count for line in self.lines))
        for axis, line in enumerate(self.lines, start=1):
            grid = run_products(grid, *line.over, axis=axis)
        return grid.reshape(len(grid), -1)

    def windows(self, pieces: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For what holds for some pieces (B, e): which windows (B, d) it holds in everywhere."""
        grid = pieces.reshape(-1, *(len(line.edges) - 1 for line in self.lines))
        for axis, line in enumerate(self.lines, start=1):
            grid = run_products(grid, *line.inside, axis=axis)
        return grid.reshape(len(grid), -1)


@dataclass(frozen=True, eq=False)
class Line:
    """Extents of windows along one axis: ``starts[i] <= place < stops[i]``, both ascending."""

    starts: Indices
    stops: Indices

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.starts)

    @cached_property
    def edges(self) -> Indices:
        """Where pieces begin, and where the last one ends, (pieces + 1,)."""
        return np.unique(np.concatenate([self.starts, self.stops]))

    @property
    def places(self) -> Indices:
        """The piece of each place on the line."""
        return np.repeat(np.arange(len(self.edges) - 1), np.diff(self.edges))

    @property
    def over(self) -> tuple[Indices, Indices]:
        """The first window over each piece, and the first behind those over it."""
        begin = self.edges[:-1]
        first = np.searchsorted(self.stops, begin, "right")
        return first, np.searchsorted(self.starts, begin, "right")

    @property
    def inside(self) -> tuple[Indices, Indices]:
        """The first piece inside each window, and the first behind it."""
        return np.searchsorted(self.edges, self.starts), np.searchsorted(self.edges, self.stops)


def run_products(values: Block, first: Indices, last: Indices, axis: int) -> Block:
    """Products of runs ``values[first[i]:last[i]]`` along an axis; of bools: whether all hold.

    Products of 1, 2, 4, … neighbours make up each run, with no division: zeros and gradients are
    right. Arrays or tensors.
    """
    n = int(values.shape[axis])
    beyond = np.arange(n + 1)
    run = _take(values, np.minimum(beyond, n - 1), axis)  # one more place, for what is beyond
    run[(slice(None),) * axis + (n,)] = 1
    place, left, length = first, last - first, 1
    out = _take(run, np.where(left & length, place, n), axis)
    while (left > length).any():
        place = place + (left & length)
        run = run * _take(run, np.minimum(beyond + length, n), axis)
        length *= 2
        out = out * _take(run, np.where(left & length, place, n), axis)
    return out


def _take(values: Block, index: Indices, axis: int) -> Block:
    if not is_tensor(values):
        return np.take(values, index, axis=axis)
    import torch

    return values.index_select(axis, torch.as_tensor(index, device=values.device))
