"""Attributions that torch can differentiate: derivatives of derivatives, without differences.

For Explanations of a torch module that are weighted sums of its gradients at points which x
decides: gradient, gradient × input, SmoothGrad, Integrated Gradients, under removals that mix x and
a replacement. Of a network of ReLUs the gradients are constant in pieces: their derivative is 0
almost everywhere, and knows nothing of the kinks between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import proxy

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.again import keywords_of
from xai.explanation import Explanation
from xai.inputs import as_tensor, is_tensor
from xai.kernels import tensors
from xai.metrics.case import Case
from xai.metrics.perturb import fixed
from xai.metrics.score import Floats, Indices
from xai.model_game import ModelGame
from xai.removal.base import Context, Draws
from xai.setting import Setting, open_setting
from xai.summary import Gradient, IntegratedGradient
from xai.summary.integrated import gauss_nodes

if TYPE_CHECKING:
    from torch import Tensor

GRAPH_ROWS = 512
"""Most model rows whose graph is held at once; a single row's points are, however many."""
SAME = 0.01
"""How far, of the largest, attributions may be from the Explanation's: paths that were refined
are taken at Gauss–Legendre nodes, as many."""
LANCZOS = 20
"""Steps to the largest singular value: two passes each."""
ONCE = ("not implemented", "once_differentiable", "differentiate twice")
"""What torch says of operations that have no second derivative."""


@dataclass(frozen=True)
class Points:
    """Where rows' gradients are taken: ``r + α (x − r)``, r of a draw; and their weights, (S,)."""

    rows: Indices
    alpha: Floats
    draws: Indices
    weights: Floats


@dataclass(frozen=True, eq=False)
class Graph:
    """Attributions a (R, d) of some rows, on the graph that made them of x (n, *shape)."""

    rows: Indices
    x: Tensor
    a: Tensor

    def vjp(self, u: Tensor, *, deeper: bool = False) -> Tensor:
        """``Jᵀu`` of u (R, d): (R, elements)."""
        import torch

        if not self.a.requires_grad:  # a module that is linear
            return self.x.new_zeros(len(self.rows), self.x[0].numel())
        (g,) = torch.autograd.grad(
            self.a, self.x, u.to(self.a), retain_graph=True, create_graph=deeper,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        own: Tensor = g[self.rows].flatten(1)
        return own

    @cached_property
    def _transposed(self) -> tuple[Tensor, Tensor]:
        """Zeros u (R, d), and Jᵀu on a graph of u: what `jvp` differentiates."""
        import torch

        u = torch.zeros_like(self.a, requires_grad=True)
        return u, self.vjp(u, deeper=True)

    def jvp(self, v: Tensor) -> Tensor:
        """``J v`` of v (R, elements): (R, d)."""
        import torch

        u, g = self._transposed
        if not g.requires_grad:
            return torch.zeros_like(u)
        (out,) = torch.autograd.grad(
            g, u, v.to(g), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return out


@dataclass(frozen=True, eq=False)
class Differentiable:
    """What an Explanation's recipe attributes, as a function of x that torch differentiates.

    Parameters
    ----------
    case, setting : where its forwards are counted; the Explanation's own setting, open
    points : of rows alike
    held : (n,) bool
        Rows of which it gives what the Explanation holds.
    """

    case: Case
    setting: Setting
    points: tuple[Points, ...]
    held: NDArray[np.bool_]

    @classmethod
    def of(cls, case: Case) -> Differentiable | None:
        """The case's explanation, where it can be differentiated in some row at least."""
        if case.scene.seen.model.module is None or not isinstance(case.explanation, Explanation):
            return None

        def make() -> Differentiable | None:
            setting = _own_setting(case)
            points = None if setting is None else _points(case.explanation, setting)
            if setting is None or points is None:
                return None
            # the case keeps it: each would keep the other, the model and x until a collection
            made = cls(proxy(case), setting, points, np.zeros(setting.inputs.n, bool))
            held = made._holding()
            return replace(made, held=held) if held.any() else None

        return case.once("differentiable", make)

    def graphs(self, x: Any) -> Iterator[Graph]:
        """Attributions of rows x in place of the explained ones, some rows at a time."""
        import torch

        setting = self.setting
        ((_, game), *_) = setting.games(self.case.scene.batch_size)
        assert isinstance(game, ModelGame)
        size = min(GRAPH_ROWS, game.batch)
        for points in self.points:
            step = max(1, size // len(points.alpha))
            for start in range(0, len(points.rows), step):
                with torch.inference_mode(False), torch.enable_grad():
                    own = as_tensor(x).detach().clone().to(setting.inputs.block)
                    leaf = own.requires_grad_()
                    rows = points.rows[start : start + step]
                    a = self._attributions(leaf, replace(points, rows=rows))
                    yield Graph(rows, leaf, a)

    def _attributions(self, x: Tensor, points: Points) -> Tensor:
        """Weighted sums (R, d) of derivatives at the points, on the graph of x."""
        import torch

        setting, R, S = self.setting, len(points.rows), len(points.alpha)
        at, draws = np.repeat(points.rows, S), np.tile(points.draws, R)

        def each(numbers: Floats) -> Tensor:
            return x.new_tensor(np.tile(numbers, R)).reshape(-1, *[1] * (x.ndim - 1))

        replacement, place = self._draws(x).source(at, draws)
        own, gone = x[at], replacement[torch.as_tensor(place, device=x.device)].to(x.dtype)
        partition = setting.partition
        removed = torch.as_tensor(partition.owner >= 0, device=x.device)
        gone = gone.where(removed[0] if partition.shared else removed[at], own)
        point = gone + each(points.alpha) * (own - gone)
        point = point if point.requires_grad else point.detach().requires_grad_()
        values = setting.values.at_one_draw(at, setting.model.tensor(point.clone(), at))
        (g,) = torch.autograd.grad(values[:, 0].sum(), point, create_graph=True)
        self.case.scene.spent_elsewhere += R * S  # however often they are walked back
        g = g * (own - gone) if _of_masks(setting) else g
        weighted = (g * each(points.weights)).reshape(R, S, *x.shape[1:]).sum(1)
        owners = tensors.Owners.of(partition.owner, x.device, identity=partition.is_identity)
        where = torch.as_tensor(points.rows, device=x.device)
        sums: Tensor = owners.sums(weighted, where, int(partition.counts.max()))
        return sums

    def _draws(self, x: Tensor) -> Draws:
        """The removal, bound to these rows: what it makes of x stays on x's graph."""
        setting = self.setting
        data = (self.case.explanation.recipe or {}).get("data")
        inputs = replace(setting.inputs, block=x)
        return setting.recipe.removal.bind(Context(inputs, data, setting.seed, setting.axis))

    def _holding(self) -> NDArray[np.bool_]:
        """Rows (n,) of which the function gives the Explanation's values, with derivatives."""
        import torch

        held = np.zeros(self.setting.inputs.n, bool)
        for graph in self.graphs(self.setting.inputs.block):
            want, got = np.nan_to_num(self.case.flat[graph.rows]), _host(graph.a).numpy()
            if got.shape != want.shape or _ends_in_an_error(graph.a):
                return np.zeros_like(held)
            gap = np.abs(got - want).max(axis=1)
            held[graph.rows] = gap <= SAME * np.maximum(np.abs(want).max(axis=1), 1e-12)
            try:
                graph.jvp(torch.ones_like(graph.x[graph.rows]).flatten(1))
            except RuntimeError as error:
                if any(words in str(error) for words in ONCE):
                    return np.zeros_like(held)
                raise
        return held

    # -- what is asked of it -------------------------------------------------------------------

    def pulled_back(self, x: Any, u: Callable[[Floats, Indices], Floats]) -> Floats:
        """``Jᵀ u(a, rows)`` at rows x, of which a are the attributions: (n, elements)."""
        back = np.empty((self.setting.inputs.n, int(np.prod(self.setting.inputs.shape))))
        for graph in self.graphs(x):
            along = graph.a.new_tensor(u(_host(graph.a).numpy(), graph.rows))
            back[graph.rows] = _host(graph.vjp(along)).numpy()
        return back

    def sigma(self) -> Floats:
        """Largest singular value of J at x, (n,), by Golub and Kahan's bidiagonalisation."""
        out = np.empty(self.setting.inputs.n)
        for graph in self.graphs(self.setting.inputs.block):
            out[graph.rows] = self._largest(graph)
        return out

    def absolute(self) -> Floats:
        """``‖|J| 1‖₂`` at x, (n,): one pass for each player."""
        import torch

        out = np.empty(self.setting.inputs.n)
        free = self._free()
        for graph in self.graphs(self.setting.inputs.block):
            squares = torch.zeros(len(graph.rows), dtype=torch.float64, device="cpu")
            for i in range(graph.a.shape[1]):
                e = torch.zeros_like(graph.a)
                e[:, i] = 1
                squares += (_host(graph.vjp(e)).abs() * free).sum(1) ** 2
            out[graph.rows] = squares.sqrt().numpy()
        return out

    def _largest(self, graph: Graph) -> Floats:
        import torch

        R, elements = len(graph.rows), graph.x[0].numel()
        steps = min(LANCZOS, elements, graph.a.shape[1])
        free = self._free()
        start = streams.normals(self.case.scene.seed, streams.MOVE, np.zeros(1, np.intp), elements)
        B = torch.zeros(R, steps, steps + 1, dtype=torch.float64, device="cpu")
        V = [_unit((torch.from_numpy(start).double() * free).expand(R, -1), B)[0]]
        U: list[Tensor] = []
        for k in range(steps):
            u, B[:, k, k] = _unit(_apart(_host(graph.jvp(V[k])), U), B)
            U.append(u)
            v, B[:, k, k + 1] = _unit(_apart(_host(graph.vjp(u)) * free, V), B)
            V.append(v)
        return np.asarray(torch.linalg.matrix_norm(B, 2).numpy())

    def _free(self) -> Tensor:
        """1 for elements that can be moved, 0 for the others, (elements,)."""
        import torch

        return torch.from_numpy(~fixed(self.case.scene.seen.inputs).reshape(-1))


def _host(values: Tensor) -> Tensor:
    """Numbers in double precision on the CPU."""
    return values.detach().cpu().double()


def _unit(vectors: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (R, m) of length 1, or 0 where they are rounding, and how long they were.

    Rounding is what is nothing `beside` the lengths (R, …) that each row has had.
    """
    length = vectors.norm(dim=1)
    there = length > 1e-10 * beside.flatten(1).amax(1)
    safe = length.where(there, length.new_ones(()))
    return vectors / safe[:, None] * there[:, None], length * there


def _apart(vectors: Tensor, others: list[Tensor]) -> Tensor:
    """Vectors without what they have of others, twice: once leaves rounding."""
    for _ in range(2):
        for other in others:
            vectors = vectors - (vectors * other).sum(1, keepdim=True) * other
    return vectors


def _ends_in_an_error(a: Tensor) -> bool:
    """Whether a graph has a function that can be differentiated once: it goes no further there."""
    seen: set[Any] = set()
    left = [a.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        if node.name().endswith("Error"):
            return True
        seen.add(node)
        left += [after for after, _ in node.next_functions]
    return False


def _of_masks(setting: Setting) -> bool:
    """Whether derivatives are in masks: times what removing takes away."""
    summary = setting.recipe.summary
    return isinstance(summary, IntegratedGradient) or getattr(summary, "wrt", "") == "mask"


def _own_setting(case: Case) -> Setting | None:
    """The Explanation's own setting, open as long as the scene; None where none is known."""
    scene, e = case.scene, case.explanation
    if e.recipe is None or e.layer or e.recipe.get("tolerance") is not None:
        return None
    given = keywords_of(open_setting, e.recipe | scene.sizes)
    given["target"] = scene.seen.resolved.index[:, 0]
    setting = scene.enter(open_setting(scene.own_model, scene.x, **given))
    scene.spent_elsewhere += setting.inputs.n
    plain = setting.partition.overlap is None and setting.partition.atlas is None
    fits = plain and setting.draws.inputs is None and is_tensor(setting.inputs.block)
    return setting if fits and setting.inputs.block.is_floating_point() else None


def _points(e: Explanation, setting: Setting) -> tuple[Points, ...] | None:
    """Where the gradients of a recipe are taken; None where its attributions are no sum of such."""
    summary, draws, everything = setting.recipe.summary, setting.draws, np.arange(len(e))
    if isinstance(summary, IntegratedGradient):
        m, out = draws.n_draws, []
        used = e.info["steps"].reshape(len(e), -1)[:, 0].astype(int) // m
        for steps in np.unique(used):
            alpha, weights, which = gauss_nodes(int(steps), m)
            out.append(Points(np.flatnonzero(used == steps), alpha, which, weights))
        return tuple(out)
    if not isinstance(summary, Gradient) or summary.moment != "mean" or summary.at == "path":
        return None
    if summary.at == "kept" or (draws.n_draws == 1 and not draws.endless):
        alpha = np.full(1, float(summary.at == "kept"))
        return (Points(everything, alpha, np.zeros(1, np.intp), np.ones(1)),)
    if not draws.endless:
        return None
    S = e.evaluations - 1  # the rest is the prediction
    return (Points(everything, np.zeros(S), np.arange(S), np.full(S, 1 / S)),)
