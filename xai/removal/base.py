"""How features are taken away: what a removal is, and what it tells of its draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai.inputs import Block, Inputs, host_array, is_tensor
from xai.places import sides_of
from xai.tables import of_columns

LONG = 1000
"""Characters of a setting in a removal's repr; of longer ones only the shape is told."""

T = TypeVar("T")
Indices: TypeAlias = NDArray[np.intp]
Source: TypeAlias = Callable[[Indices, Indices], "tuple[Block, Indices]"]
"""(rows, draws) -> replacement rows, and the place among them of each (row, draw)."""
Regressors: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Numbers or bools (rows, columns, draws), and x's own (columns,): 1 "the same", 0 no distance."""


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
        Composition that is no mixture of row and replacement (a user's function); the masks are
        a tensor where x is one.
    soft : bool
        Whether masks in [0, 1], of which a part of each feature stays, are understood.
    regressors : (rows, draws) -> Regressors, or None
        What a linear fit regresses on where that is not the coalition: LIME's neighbourhoods.

    Examples
    --------
    >>> import numpy as np, xai
    >>> from xai.inputs import read
    >>> context = Context(read(np.ones((2, 3))), data=np.zeros((5, 3)), seed=0)
    >>> draws = xai.removal.Marginal().bind(context)
    >>> draws.n_draws, draws.endless
    (5, False)
    """

    source: Source
    n_draws: int
    endless: bool = False
    key: Callable[[Indices, Indices], Indices] | None = None
    inputs: Callable[[Indices, Any, Indices], Block] | None = None
    regressors: Callable[[Indices, Indices], Regressors] | None = None
    soft: bool = True

    def later(self, first: int) -> Draws:
        """The same removal's draws from number `first` on; of an endless one they are others."""

        def of(function: Any) -> Any:
            return function and (lambda *given: function(*given[:-1], given[-1] + first))

        parts = ("source", "key", "inputs", "regressors")
        return replace(self, **{name: of(getattr(self, name)) for name in parts})


@dataclass(frozen=True)
class Context:
    """What a removal may use when it is bound: the rows, the background, the seed, the kind.

    Raises
    ------
    TypeError, ValueError
        By what is asked of it: rows, or a background, that the removal cannot take.

    Examples
    --------
    >>> import numpy as np, xai
    >>> from xai.inputs import read
    >>> context = Context(read(np.ones((2, 3))), data=None, seed=0)
    >>> xai.removal.Baseline(0).bind(context).n_draws
    1
    """

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

    @property
    def sides(self) -> tuple[int, ...]:
        """Lengths of the axes of places, as an image's height and width; () where there are none.

        Rows are no texts then, not sparse, and none of their columns holds categories.
        """
        inputs = self.inputs
        plain = not (inputs.is_text or np.any(inputs.categorical) or sparse.issparse(inputs.block))
        known = self.channel_axis is not None and plain
        return sides_of(self.inputs.shape, self.channel_axis or 0) if known else ()

    def needs_sides(self, removal: Removal) -> tuple[int, ...]:
        """The same, refused where there are none."""
        if not self.sides:
            raise ValueError(
                f"{removal!r} is for images (4-D batches), or with channel_axis= for series and "
                f"volumes (0: without channels), not for rows of shape {self.inputs.shape}"
            )
        return self.sides

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
            raise ValueError(
                f"{removal} needs numbers, but {self.place(bad[0])} holds categories, strings or "
                "dates: use removal='marginal' with data="
            )

    def dense(self, removal: str) -> None:
        """Refuse sparse rows, where a removal gives every element a value of its own."""
        if sparse.issparse(self.inputs.block):
            raise TypeError(f"{removal} needs dense x: pass x.toarray()")

    def whole(self, removal: str) -> None:
        """Refuse x with NaN among its amounts, where a fit regresses on distances from it."""
        x = host_array(self.inputs.block)
        missing = np.argwhere((x != x) & ~self.inputs.categorical)
        if len(missing):
            row, column = missing[0]
            raise ValueError(
                f"{removal} fits slopes, and row {row} (0-based) of x is NaN in "
                f"{self.place(column)}: fill it, or use a method that removes features, such as "
                "'shapley'"
            )

    def deviations(self, rows: Block, removal: str) -> NDArray[np.float64]:
        """Standard deviation of each element of background rows, NaN left out; 0 of categories."""
        spread = of_known("std", host_array(rows).astype(np.float64))
        if self.inputs.categorical.any():
            spread[self.inputs.categorical] = 0
        unknown = np.flatnonzero(np.isnan(spread))
        if len(unknown):
            raise ValueError(
                f"{removal} takes deviations from the background, but every row of data "
                f"is NaN in {self.place(unknown[0])}"
            )
        return spread

    def row(self, given: Any, removal: str, option: str) -> NDArray[np.float64]:
        """A user's numbers for the elements of a row, (*shape); those of a Series go by name."""
        what = f"{removal}({option}="
        given = of_columns(given, self.inputs.names, f"{what}…)")
        try:
            return np.broadcast_to(host_array(given).astype(np.float64), self.inputs.shape)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{what}{given!r}): expected a number, or a row of numbers of shape "
                f"{self.inputs.shape}"
            ) from error

    def place(self, element: np.intp) -> str:
        """What messages call an element of a row: a table's column by its name."""
        shape = self.inputs.shape
        if len(shape) > 1:
            return f"element {tuple(map(int, np.unravel_index(element, shape)))}"
        names = self.inputs.names
        return f"column {str(element) if names is None else names[element]!r}"


@dataclass(frozen=True, eq=False)
class Removal(ABC):
    """A way to take features away. Constructors only store; `bind` meets the rows.

    Examples
    --------
    >>> import numpy as np, xai
    >>> class Largest(Removal):
    ...     def bind(self, context):
    ...         return xai.removal.Baseline("max").bind(context)
    >>> f = lambda x: x.sum(axis=1)
    >>> data = np.array([[1.0, 5.0], [4.0, 2.0]])
    >>> xai.explain(f, np.ones((1, 2)), "occlusion", removal=Largest(), data=data).values
    array([[-3., -4.]])
    """

    moves: ClassVar[bool] = False
    """Whether it adds to what x is, rather than putting something else in its place."""
    of_places: ClassVar[bool] = False
    """Whether it has a meaning only where axes of x are of places, as an image's."""

    @abstractmethod
    def bind(self, context: Context) -> Draws:
        """Prepare the draws for the rows in `context`."""

    def __repr__(self) -> str:
        """How to make it again; of what is too long to read only its kind and shape."""
        shown = (f"{f.name}={_shown(getattr(self, f.name))}" for f in fields(self) if f.repr)
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """Of one kind, with equal numbers and words; arrays and other objects must be the same."""
        own, others = vars(self), getattr(other, "__dict__", {})
        if type(self) is not type(other) or own.keys() != others.keys():
            return False
        return all(_alike(value, others[name]) for name, value in own.items())

    def __hash__(self) -> int:
        return hash((type(self), *(value for value in vars(self).values() if np.isscalar(value))))


def _shown(value: Any) -> str:
    text = repr(value)
    if len(text) <= LONG:
        return text
    shape = tuple(value.shape if hasattr(value, "shape") else np.shape(value))
    return f"<{type(value).__name__} of shape {shape}>"


def _alike(a: object, b: object) -> bool:
    return a is b or (np.isscalar(a) and np.isscalar(b) and bool(a == b))


def once(make: Callable[[Indices], T]) -> Callable[[Indices], T]:
    """Keep what was made last: the same draws serve every explained row."""
    latest: dict[bytes, T] = {}

    def of(draws: Indices) -> T:
        key = draws.tobytes()
        found = latest.get(key)
        if found is None:
            found = make(draws)
            latest.clear()
            latest[key] = found
        return found

    return of


def as_floats(block: Block) -> Block:
    """A block in numbers to compute with: float32 for half precision, floats for integers."""
    if not is_tensor(block):
        if block.dtype.kind != "f":
            return block.astype(np.float64)
        return block.astype(np.float32) if block.dtype.itemsize < 4 else block
    import torch

    if not block.is_floating_point():
        return block.to(torch.get_default_dtype())
    return block.float() if block.itemsize < 4 else block


def of_known(statistic: str, rows: NDArray[Any]) -> NDArray[Any]:
    """The "mean", "min", "max" or "std" of each element that leaves NaN out; NaN of nothing else.

    Of half precision it is computed in single.
    """
    rows = as_floats(rows) if rows.dtype.kind == "f" else rows
    found = np.asarray(getattr(np, statistic)(rows, axis=0))
    gaps = np.isnan(found)
    if gaps.any():
        some = rows[:, gaps]
        empty = np.isnan(some).all(axis=0)  # NumPy would warn of these
        known = getattr(np, f"nan{statistic}")(np.where(empty, 0, some), axis=0)
        found[gaps] = np.where(empty, np.nan, known)
    return found


def joined(parts: list[Block]) -> Block:
    """Blocks one after the other."""
    if not is_tensor(parts[0]):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)


def where(masks: Any, a: Block, b: Block) -> Block:
    """Elements of a where they are kept, of b elsewhere."""
    if not is_tensor(a):
        return np.where(masks, a, b)
    import torch

    return torch.where(masks, a, b)


def placed(values: NDArray[Any], x: Block) -> Block:
    """Numbers where x lives, in the floats that x is computed in."""
    own = as_floats(x[:1])
    return own.new_tensor(values) if is_tensor(own) else values.astype(own.dtype)


def back(values: Block, x: Block) -> Block:
    """Computed values in x's precision, where x holds floats."""
    if is_tensor(x):
        return values.to(x.dtype) if x.is_floating_point() else values
    return values.astype(x.dtype, copy=False) if x.dtype.kind == "f" else values
