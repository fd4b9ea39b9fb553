"""Replace removed features by values drawn from the background or from a range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.inputs import Block, Inputs, host_array, is_tensor, is_whole, widest
from xai.removal.base import Context, Draws, Indices, Removal, of_known

REPEATS = 10
"""Permutations of a permutation test where neither a count nor a budget is given."""


@dataclass(frozen=True, eq=False)
class Marginal(Removal):
    """Replace removed features together by those of a background row, each row one draw.

    Parameters
    ----------
    data : (m, …) rows like x, optional
        Used whole; `explain`'s `data` where None. An array (n, m, …) holds m rows for each row
        of x: its neighbours, or shuffles of itself.

    Notes
    -----
    The interventional expectation of Lundberg & Lee (2017); "marginal" in Covert et al. (2021).

    Examples
    --------
    >>> Marginal()
    Marginal()
    """

    data: Any = field(default=None, repr=False)

    def bind(self, context: Context) -> Draws:
        """One draw for each background row; the all-removed input is that row itself."""
        own, shape = self.data, context.inputs.shape
        apart = draws_of_rows(own, context.inputs.n, shape)
        block = context.background(own.reshape(-1, *shape) if apart else own, "marginal removal")
        m = apart or int(block.shape[0])

        def place(rows: Indices, draws: Indices) -> Indices:
            return rows * m + draws if apart else draws

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            return block, place(rows, draws)

        return Draws(source, m, key=place)


@dataclass(frozen=True, eq=False)
class Permuted(Removal):
    """Replace removed features of each row by those of a partner row, as a permutation pairs them.

    Parameters
    ----------
    data : (m, …) rows like x, optional
        Where None: `explain`'s `data`, or else the explained rows themselves.
    repeats : int, optional
        Number of permutations: the draws. None: 10, or what the budget allows.

    Notes
    -----
    The permutation test of Breiman (2001): marginal removal in which every background row serves
    equally often.

    Examples
    --------
    >>> import numpy as np, xai
    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> f = lambda x: x[:, 0]
    >>> e = xai.explain(f, x, "permutation_test", y=f(x), removal=Permuted(repeats=5))
    >>> e.values.round(1)
    array([[1.8, 0. ]])
    """

    data: Any = field(default=None, repr=False)
    repeats: int | None = None

    def bind(self, context: Context) -> Draws:
        """One draw for each permutation; replacement rows differ between explained rows."""
        context.refuse_texts("permuted removal")
        repeats = REPEATS if self.repeats is None else self.repeats
        positive("repeats", repeats)
        own = self.data if self.data is not None else context.data
        inputs = context.inputs
        block = inputs.block if own is None else context.background(own, "permuted removal")
        m = int(block.shape[0])
        # one permutation after the other, cut into draws
        samples = np.arange(-(-repeats * inputs.n // m))
        ranks = streams.ranks(context.seed, streams.REPLACEMENT, samples, m)
        partners = ranks.reshape(-1)[: repeats * inputs.n].reshape(repeats, inputs.n)

        def key(rows: Indices, draws: Indices) -> Indices:
            return partners[draws, rows]

        return Draws(lambda rows, draws: (block, key(rows, draws)), repeats, key=key)


@dataclass(frozen=True, eq=False)
class ProductOfMarginals(Removal):
    """Replace each removed feature by a value of its own from the background, independently.

    Parameters
    ----------
    data : (m, …) rows like x, optional
    n_draws : int
        Draws that an expectation uses, v(∅) too; walks take further ones. Values that add up to
        v(N) − v(∅) are never nearer than it is: only more `n_draws` lower its error.

    Raises
    ------
    TypeError
        x is sparse.

    Notes
    -----
    QII (Datta, Sen & Zick 2016).

    Examples
    --------
    >>> import numpy as np, xai
    >>> data = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> f = lambda x: 4 * x[:, 0] * x[:, 1]
    >>> apart = ProductOfMarginals(data, n_draws=5000)
    >>> xai.explain(f, np.ones((1, 2)), "shapley", removal=apart).base_values.round(1)
    array([1.])
    >>> xai.explain(f, np.ones((1, 2)), "shapley", removal="marginal", data=data).base_values
    array([2.])
    """

    data: Any = field(default=None, repr=False)
    n_draws: int = 128

    def bind(self, context: Context) -> Draws:
        """Endless draws, made from (seed, draw) alone."""
        block = context.background(self.data, "a product of marginals")
        context.dense("a product of marginals")

        def generate(draws: Indices) -> Block:
            return independent_rows(block, context.seed, draws)

        return endless(generate, self.n_draws)


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(Removal):
    """Replace each removed feature by a uniform number from its range.

    Parameters
    ----------
    low, high : numbers or rows like ``x[0]``, optional
        The range; the background's smallest and largest values (NaN left out) where None. Columns
        of categories draw one of the categories seen, integer columns integers.
    data : (m, …) rows like x, optional
    n_draws : int
        Draws that an expectation uses, v(∅) too; walks take further ones. Values that add up to
        v(N) − v(∅) are never nearer than it is: only more `n_draws` lower its error.

    Raises
    ------
    TypeError
        x is sparse.
    ValueError
        `high` lies below `low`; `data` beside both.

    Notes
    -----
    IME (Štrumbelj & Kononenko 2010).

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: 2 * x[:, 0] + x[:, 1]
    >>> e = xai.explain(f, np.ones((1, 2)), "shapley", removal=Uniform(0, 1))
    >>> (e.values.sum(axis=1) + e.base_values).round(6), e.predictions
    (array([3.]), array([3.]))
    """

    low: Any = None
    high: Any = None
    data: Any = field(default=None, repr=False)
    n_draws: int = 128

    def bind(self, context: Context) -> Draws:
        """Endless draws, made from (seed, draw) alone."""
        context.dense("uniform removal")
        inputs, block = context.inputs, None
        if self.low is None or self.high is None:
            block = context.background(self.data, "uniform removal")
        elif self.data is not None:
            raise ValueError("Uniform: data= has no effect where both low= and high= are given")
        low, high = (self._limit(context, side, block) for side in ("low", "high"))
        if np.any(high < low):
            raise ValueError("Uniform: high must not be below low")
        endless_range = np.flatnonzero(np.isinf(low) | np.isinf(high))
        if len(endless_range):
            raise ValueError(
                f"Uniform: the range of {context.place(endless_range[0])} is infinite: pass finite "
                "low= and high="
            )
        whole = _whole_elements(inputs, block)
        first, last = _whole_range(low, high, whole)
        kind = inputs.admit(_rows_like(inputs.block, np.concatenate([first, last])))
        spread = _spread(kind, first, last, whole, _seen_categories(inputs, block))
        size = int(np.prod(inputs.shape))

        def generate(draws: Indices) -> Block:
            u = _uniforms(kind, context.seed, draws, size).reshape(len(draws), *inputs.shape)
            return _cast(kind, spread(u))

        return endless(generate, self.n_draws)

    def _limit(self, context: Context, side: str, block: Block) -> NDArray[np.float64]:
        given = getattr(self, side)
        if given is not None:
            context.numeric("Uniform(low, high)")
            return context.row(given, "Uniform", side)[None]
        array = host_array(block).astype(np.float64, copy=False)
        return of_known("min" if side == "low" else "max", array)[None]


def independent_rows(block: Block, seed: int, draws: Indices) -> Block:
    """One row for each draw, every column (element) from a background row of its own."""
    m, width = int(block.shape[0]), int(np.prod(block.shape[1:]))
    u = _uniforms(block, seed, draws, width)
    lines = block.reshape(m, width)
    if is_tensor(block):
        drawn = lines.gather(0, (u * m).long().to(block.device))
    else:
        drawn = np.take_along_axis(lines, (u * m).astype(np.intp), axis=0)
    return drawn.reshape(len(draws), *block.shape[1:])


def _uniforms(kind: Block, seed: int, draws: Indices, width: int) -> Block:
    """Uniform numbers (draws, width) in 64 bits: where `kind` lives, if it can hold them."""
    if not is_tensor(kind):
        return streams.uniforms(seed, streams.REPLACEMENT, draws, width)
    import torch

    from xai.kernels import tensors

    samples = torch.as_tensor(draws, device=_place(kind))
    return tensors.uniforms(seed, streams.REPLACEMENT, samples, width)


def _place(kind: Block) -> Any:
    """The device of a tensor, or the host where the device has no float64."""
    return kind.device if widest(kind.device).itemsize == 8 else "cpu"


def _spread(
    kind: Block, first: Any, last: Any, whole: Any, seen: dict[int, Any]
) -> Callable[[Block], Block]:
    """How uniform numbers (B, *shape) become values of a range, in 64 bits, where `kind` lives.

    Whole elements are integers from first to last; columns of categories draw from the codes seen.
    """
    library: Any = np
    if is_tensor(kind):
        import torch as library

        first, last, whole, *codes = (
            library.tensor(array, device=_place(kind))
            for array in (first, last, whole, *seen.values())
        )
        seen = dict(zip(seen, codes, strict=True))

    def values(u: Block) -> Block:
        integers = library.minimum(library.floor(first + u * (last - first + 1)), last)
        found = library.where(whole, integers, first + u * (last - first))
        for j, codes in seen.items():
            place = u[:, j] * len(codes)
            found[:, j] = codes[place.long() if is_tensor(u) else place.astype(np.intp)]
        return found

    return values


def draws_of_rows(data: Any, n: int, shape: tuple[int, ...]) -> int:
    """Draws m of each row, in data (n, m, *shape) for n rows; 0 where rows share them."""
    given = tuple(getattr(data, "shape", ()))
    return int(given[1]) if given[:1] == (n,) and given[2:] == shape else 0


def endless(generate: Callable[[Indices], Block], n_draws: int) -> Draws:
    """Draws that a generator makes from their numbers; each is made once for a batch."""
    positive("n_draws", n_draws)

    def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
        distinct, index = np.unique(draws, return_inverse=True)
        return generate(distinct), index

    return Draws(source, n_draws, endless=True, key=lambda rows, draws: draws)


def positive(name: str, value: int) -> None:
    """Refuse a count that is none."""
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name} must be a positive integer, not {value!r}")


def _whole_elements(inputs: Inputs, background: Block | None) -> NDArray[np.bool_]:
    """Elements whose draws are integers: those that are in x and, where it is used, in data."""
    whole = np.full(inputs.shape, _is_whole(inputs.block))
    if background is not None and not _is_whole(background):
        whole[...] = False
    if inputs.columns is not None:
        whole |= np.array([column.integral for column in inputs.columns])
    return whole


def _is_whole(block: Block) -> bool:
    return not block.is_floating_point() if is_tensor(block) else block.dtype.kind in "iub"


def _whole_range(
    low: NDArray[np.float64], high: NDArray[np.float64], whole: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first and last number to draw: integers inside the range where elements are whole."""
    first, last = np.where(whole, np.ceil(low), low), np.where(whole, np.floor(high), high)
    empty = np.argwhere(last < first)
    if len(empty):
        at = tuple(empty[0])
        raise ValueError(
            f"Uniform: no integer lies between {low[at]:g} and {high[at]:g}, and x holds integers: "
            "widen the range, or pass x as floats"
        )
    return first, last


def _seen_categories(inputs: Inputs, background: Block | None) -> dict[int, NDArray[np.float64]]:
    """The background's distinct codes of each column of categories."""
    if background is None or len(inputs.shape) != 1:
        return {}
    array = host_array(background)
    return {int(j): _distinct(array[:, j]) for j in np.flatnonzero(inputs.categorical)}


def _distinct(codes: NDArray[Any]) -> NDArray[np.float64]:
    """Each code once, as the background first has it: codes themselves depend on x's rows."""
    first = np.unique(codes, return_index=True)[1]
    return np.asarray(codes[np.sort(first)], np.float64)


def _rows_like(block: Block, values: NDArray[np.float64]) -> Block:
    """Rows on x's device; in its precision where it holds floats."""
    if not is_tensor(block):
        return values.astype(block.dtype) if block.dtype.kind == "f" else values
    import torch

    dtype = block.dtype if block.is_floating_point() else widest(block.device)
    return torch.as_tensor(values, dtype=dtype, device=block.device)


def _cast(kind: Block, values: Block) -> Block:
    """Drawn numbers in the dtype and on the device of other rows."""
    if is_tensor(kind):
        return values.to(kind.device, kind.dtype)
    return values.astype(kind.dtype)
