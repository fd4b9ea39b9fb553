"""A layer's rows that few parts span: affine layers behind it run on the parts alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

from xai.layers import runs_of

Indices = NDArray[np.intp]
Args: TypeAlias = tuple[Any, ...]


class Spanned(Tensor):
    """A batch whose rows are sums of parts, made only once something needs them.

    Row b is ``c + Σₖ weights[b, k] pₖ`` of its set's parts p and constant c. An affine map f makes
    such sums of such sums, of ``f(pₖ) − f(0)`` and ``f(c)``: convolutions, linear layers, means and
    batch norms are given the parts, which are fewer than rows. Anything else gets the rows.

    Parameters
    ----------
    stack : (G · (k + 1) + 1, …) tensor
        G sets of k parts and a constant, and then a row of 0.
    weights : (B, k) tensor, of the same type
    rows : (B,) int array, which of the G sets each row is made of

    Examples
    --------
    >>> line = Spanned(torch.tensor([[2.0, 4.0], [1.0, 1.0], [0.0, 0.0]]),
    ...                torch.tensor([[0.0], [0.5]]), np.zeros(2, np.intp))
    >>> mean = line.mean(dim=1)
    >>> type(mean).__name__, (mean * 2).tolist()
    ('Spanned', [2.0, 5.0])
    """

    stack: Tensor
    weights: Tensor
    rows: Indices
    view_of: tuple[Spanned, Callable[[Tensor], Tensor]] | None
    made: Tensor | None
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(
        cls,
        stack: Tensor,
        weights: Tensor,
        rows: Indices,
        view_of: tuple[Spanned, Callable[[Tensor], Tensor]] | None = None,
    ) -> Spanned:
        """A tensor of the rows' shape that holds none of their numbers."""
        lies_last = stack.ndim == 4 and stack.is_contiguous(memory_format=torch.channels_last)
        stack = stack if lies_last else stack.contiguous()
        self: Spanned = Tensor._make_wrapper_subclass(
            cls,
            (len(weights), *stack.shape[1:]),
            strides=(stack[0].numel(), *stack.stride()[1:]),
            dtype=stack.dtype,
            device=stack.device,
        )
        self.stack, self.weights, self.rows, self.view_of = stack, weights, rows, view_of
        self.made = None
        return self

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Spanned({tuple(self.shape)}, {len(self.stack)} parts)"

    def whole(self) -> Tensor:
        """The rows as a plain tensor, always the same one: what is written on it stays."""
        if self.made is None:
            if self.view_of is not None:
                source, view = self.view_of
                self.made = view(source.whole())
            else:
                self.made = torch.empty_strided(
                    self.shape, self.stride(), dtype=self.dtype, device=self.device
                )
                k, size = self.weights.shape[1], self.stack[0].numel()
                flat = self.made.as_strided((len(self.rows), size), (size, 1))
                lines = self.stack.as_strided((len(self.stack), size), (size, 1))
                for start, stop in runs_of(self.rows):
                    at = int(self.rows[start]) * (k + 1)
                    parts, c = lines[at : at + k], lines[at + k]
                    torch.addmm(c, self.weights[start:stop], parts, out=flat[start:stop])
        return self.made

    @property
    def root(self) -> Spanned:
        """Whose memory this is a view of."""
        return self if self.view_of is None else self.view_of[0].root

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Args = (), kwargs: Any = None
    ) -> Any:
        """Run one operation on the parts where it is affine, else on the rows."""
        kwargs = kwargs or {}
        place = _AFFINE.get(func)
        if place is not None:
            given = args[place]
            others = (*args[:place], *args[place + 1 :], *kwargs.values())
            if isinstance(given, Spanned) and not any(isinstance(a, Spanned) for a in others):
                mapped = given._mapped(func, place, args, kwargs)
                if mapped is not None:
                    return mapped

        def plain(given: Any) -> Any:
            return given.whole() if isinstance(given, Spanned) else given

        return func(*tree_map(plain, args), **tree_map(plain, kwargs))

    def _mapped(self, func: Any, place: int, args: Args, kwargs: Any) -> Any:
        """What an affine operation makes of the parts; None where it mixes rows, or has them."""
        if self.root.made is not None:  # which may have been written on since
            return None

        def view(rows: Tensor) -> Tensor:
            return func(*args[:place], rows, *args[place + 1 :], **kwargs)  # type: ignore[no-any-return]

        if func is aten.slice.Tensor and _axes(args, self.ndim) == {0}:
            some = slice(*(args[2:] or (None,)))
            return Spanned(self.stack, self.weights[some], self.rows[some], (self, view))
        on_parts = _on_parts(func, args, self, len(self.stack))
        if on_parts is None:
            return None
        own = func(*on_parts[:place], self.stack, *on_parts[place + 1 :], **kwargs)
        stack, *rest = own if isinstance(own, tuple) else (own,)
        if func in _VIEWS:
            return Spanned(stack, self.weights, self.rows, (self, view))
        sets = stack[:-1].unflatten(0, (-1, self.weights.shape[1] + 1))
        sets[:, :-1] -= stack[-1]  # so that parts which the map ignores are exactly 0
        stack[-1] = 0
        out = Spanned(stack, self.weights, self.rows)
        return (out, *rest) if isinstance(own, tuple) else out


aten = torch.ops.aten
_VIEWS = {aten.view.default, aten.select.int, aten.slice.Tensor}
_AFFINE = {
    aten.convolution.default: 0,
    aten.native_batch_norm.default: 0,
    aten.constant_pad_nd.default: 0,
    aten.avg_pool2d.default: 0,
    aten._adaptive_avg_pool2d.default: 0,
    aten.mean.dim: 0,
    aten.sum.dim_IntList: 0,
    aten.mm.default: 0,
    aten.addmm.default: 1,
} | dict.fromkeys(_VIEWS, 0)
"""Operations that are affine in one argument, and which; all but views make new memory."""


def _on_parts(func: Any, args: Args, rows: Tensor, parts: int) -> Args | None:
    """The operation's arguments for as many parts as rows; None where it mixes rows."""
    if func is aten.view.default:
        sizes = list(args[1])
        size = int(np.prod(sizes[1:]))
        fits = sizes[0] in (len(rows), -1) and size == int(np.prod(rows.shape[1:]))
        return (args[0], [parts, *sizes[1:]]) if fits else None
    if func is aten.native_batch_norm.default:
        return None if args[5] else args  # statistics of the batch
    if func is aten.addmm.default:
        return args if args[0].ndim == 1 else None
    if func is aten.constant_pad_nd.default:
        return args if len(args[1]) < 2 * rows.ndim else None
    if func in (aten.mean.dim, aten.sum.dim_IntList, aten.select.int, aten.slice.Tensor):
        axes = _axes(args, rows.ndim)
        return args if axes and 0 not in axes else None
    return args


def _axes(args: Args, ndim: int) -> set[int]:
    """The axes that an operation is along."""
    given = args[1] if len(args) > 1 else 0
    return {axis % ndim for axis in ([given] if isinstance(given, int) else given or ())}
