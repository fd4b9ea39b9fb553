"""The derivative integrated on the path from nothing to everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game, Indices
from xai.inputs import widest
from xai.model_game import ModelGame
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    check_samples,
    finish,
    needs,
    unknown_error,
)
from xai.summary.gradient import as_model_game, row_blocks
from xai.summary.moments import host

if TYPE_CHECKING:
    from torch import Tensor

NODE_BYTES = 2**28
"""Bytes of derivatives that are held while paths are refined."""


@dataclass(frozen=True)
class IntegratedGradient(Summary):
    """The derivative in each player's mask, integrated on the straight path from ∅ to N.

    Parameters
    ----------
    steps : int, optional
        Gauss–Legendre nodes for each draw. None: 16, and where they leave a completeness gap over
        `tolerance` (0.001 where none is given) of |v(N) − v(∅)|, trapezoids instead: those whose
        own gap is largest are halved until the gap is closed, or there are 512 nodes; with a
        budget until it is spent, or their derivatives take a quarter of a gigabyte.

    Raises
    ------
    ValueError
        A loss or a margin with more than one draw.

    Notes
    -----
    ``phi_i = ∫₀¹ ∂v(α·1)/∂m_i dα`` (Sundararajan, Taly & Yan 2017, Eq. 1; the Aumann–Shapley
    value of the game). ``info["completeness_gap"]`` is ``Σ phi − (v(N) − v(∅))``, the error that
    is left; ``info["steps"]`` the nodes of the row, over all draws, that it comes from.
    ``info["local_gap"]`` sums the sizes of the trapezoids' gaps, which cancel in the sum: how far
    off the parts may be (NaN where no trapezoids were needed).

    Examples
    --------
    >>> IntegratedGradient(steps=32)
    IntegratedGradient(steps=32)
    """

    steps: int | None = None
    default_budget: ClassVar[Budget | str] = "(16 to 528)m + m + 1"
    always_differentiates: ClassVar[bool] = True
    always_softens: ClassVar[bool] = True

    FIRST: ClassVar[int] = 16
    MOST: ClassVar[int] = 512

    def check(self) -> None:
        """Refuse steps that are no positive integer."""
        check_samples("integrated gradients", self.steps, least=1, name="steps")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Integrate every row, then refine the paths of those whose gap is too large."""
        model = as_model_game(game)
        if not model.commutes and model.n_draws > 1:
            raise ValueError(
                "integrated gradients of a loss or a margin take one baseline: its value is of the "
                "mean over draws; use removal=xai.removal.Baseline(...)"
            )
        m, ends = model.n_draws, model.ends_cost
        what = "integrated gradients" + f" with steps={self.steps}" * bool(self.steps)
        needs(what, ends + (self.steps or 1) * m, plan.budget)
        room = self.FIRST + self.MOST if plan.budget is None else (plan.budget - ends) // m
        steps = self.steps or int(min(self.FIRST, room))
        base, full = model.ends(np.arange(model.n_rows))
        change, tolerance = full - base, plan.tolerance or 1e-3
        allowed = tolerance * np.maximum(
            np.abs(change), 1e-4 * np.maximum(np.abs(full), np.abs(base))
        )
        values = self._integrals(model, steps)
        nodes = np.full(model.n_rows, steps * m)
        local = np.full_like(full, np.nan)
        many = self.MOST if plan.budget is None else max(self.MOST, NODE_BYTES // _held(model))
        most = min(many, room - steps)
        if not self.steps and most > self.FIRST:
            left = np.flatnonzero((np.abs(values.sum(axis=1) - change) > allowed).any(axis=1))
            for rows in row_blocks(model, 2, left):
                found = _refined(model, rows, allowed[rows], self.FIRST, most)
                worse = np.abs(values[rows].sum(axis=1) - change[rows]).max(axis=1)
                better = np.abs(found[0].sum(axis=1) - change[rows]).max(axis=1) <= worse
                for kept, new in zip((values, nodes, local), found, strict=True):
                    kept[rows[better]] = new[better]
        gap = values.sum(axis=1) - change
        nodes = np.repeat(nodes[:, None], gap.shape[1], axis=1)
        info = {"completeness_gap": gap, "steps": nodes, "local_gap": local}
        met = np.asarray((np.abs(gap) <= allowed).all(axis=1))
        return finish(
            model, values, unknown_error(model, values), (base, full), tolerance=None,
            converged=met, info=info,
        )  # fmt: skip

    def _integrals(self, game: ModelGame, steps: int) -> Floats:
        """Quadratures (n, d, k), the draws' mean."""
        m, values = game.n_draws, np.empty((game.n_rows, game.n_players, game.n_outputs))
        alpha, w, draws = gauss_nodes(steps, m)
        game.progress.expect_more(game.n_rows * steps * m)
        for block in row_blocks(game, 1):
            at, each = np.repeat(np.arange(len(block)), m * steps), np.tile(w, len(block))
            masks = np.tile(alpha, len(block))[:, None]
            stream = game.gradients.stream(block[at], masks, np.tile(draws, len(block)), "mask")
            parts = ((where, g) for where, _, g in stream)
            values[block] = _weighted(parts, at, each, len(block))
        return values


def gauss_nodes(steps: int, m: int) -> tuple[Floats, Floats, Indices]:
    """Gauss–Legendre nodes α in [0, 1], weights and draws, (steps · m,) each: means over m draws.

    Examples
    --------
    >>> alpha, weights, draws = gauss_nodes(2, 3)
    >>> alpha.round(2), weights.sum().round(6), draws
    (array([0.21, 0.79, 0.21, 0.79, 0.21, 0.79]), np.float64(1.0), array([0, 0, 1, 1, 2, 2]))
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    alpha, w = np.tile((nodes + 1) / 2, m), np.tile(weights / (2 * m), m)
    return alpha, w, np.repeat(np.arange(m), steps)


def _refined(
    game: ModelGame, rows: Indices, allowed: Floats, first: int, most: int
) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Values (R, d, k), nodes (R,) and summed sizes of gaps (R, k) of adaptive trapezoids."""
    m = game.n_draws
    step = max(1, NODE_BYTES // (_held(game) * most))
    values = np.zeros((len(rows), game.n_players, game.n_outputs))
    nodes, local = np.zeros(len(rows), np.intp), np.zeros_like(allowed)
    for start in range(0, len(rows) * m, step):
        which, draws = np.divmod(np.arange(start, min(start + step, len(rows) * m)), m)
        paths = _Paths(game, rows[which], draws, first)
        paths.refine(allowed[which], most)
        np.add.at(nodes, which, np.bincount(paths.path))
        np.add.at(local, which, paths.sums(np.abs(paths.gaps())) / m)
        values += paths.integrals(which, len(rows)) / m
    return values, nodes, local


def _held(game: ModelGame) -> int:
    """Bytes of the derivatives at one node."""
    return int(game.inputs.block.element_size()) * game.n_players * game.n_outputs


class _Paths:
    """Trapezoids on paths from ∅ to N, one for each row and draw, and what is known at their nodes.

    The derivative along a path sums to the change of the value, which the same passes give: so the
    gap of each trapezoid is known exactly, and those with the largest are halved.
    """

    def __init__(self, game: ModelGame, rows: Indices, draws: Indices, first: int) -> None:
        self.game, self.rows, self.draws = game, rows, draws
        self.path, self.alpha = np.zeros(0, np.intp), np.zeros(0)
        self.values = np.zeros((0, game.n_outputs))
        self.slopes = np.zeros((0, game.n_outputs))
        self.derivatives: list[tuple[slice, Tensor]] = []
        p = np.arange(len(rows))
        self._add(np.repeat(p, first + 1), np.tile(np.linspace(0, 1, first + 1), len(p)))
        self.left = (p[:, None] * (first + 1) + np.arange(first)).ravel()
        self.right = self.left + 1

    def refine(self, allowed: Floats, most: int) -> None:
        """Halve until the gap of each path is within its `allowed` (P, k), or it has `most` nodes.

        A round halves a quarter of a path's trapezoids, eight at least.
        """
        while True:
            gaps, owner = self.gaps(), self.path[self.left]
            with np.errstate(divide="ignore", invalid="ignore"):
                score = np.nan_to_num(np.abs(gaps) / allowed[owner]).max(axis=1)
            count = np.bincount(owner)
            open_ = (np.abs(self.sums(gaps)) > allowed).any(axis=1)
            quota = np.where(open_, np.minimum(np.maximum(8, count // 4), most - 1 - count), 0)
            order = np.lexsort((-score, owner))
            rank = np.arange(len(order)) - (np.cumsum(count) - count)[owner[order]]
            worst = order[rank < quota[owner[order]]]
            if len(worst) == 0:
                return
            fresh = len(self.alpha) + np.arange(len(worst))
            left, right = self.left[worst], self.right[worst]
            self._add(owner[worst], (self.alpha[left] + self.alpha[right]) / 2)
            self.right[worst] = fresh
            self.left, self.right = np.append(self.left, fresh), np.append(self.right, right)

    def gaps(self) -> Floats:
        """Of each trapezoid (I, k): its part of the attributions' sum, less the value's change."""
        mean = (self.slopes[self.left] + self.slopes[self.right]) / 2
        change = self.values[self.right] - self.values[self.left]
        return np.asarray(self._widths() * mean - change)

    def sums(self, parts: Floats) -> Floats:
        """Trapezoids' parts (I, k), summed over each path."""
        out = np.zeros((len(self.rows), parts.shape[1]))
        np.add.at(out, self.path[self.left], parts)
        return out

    def integrals(self, into: Indices, n: int) -> Floats:
        """Trapezoidal sums (n, d, k) of the derivatives, path by path into rows."""
        weight = np.zeros(len(self.alpha))
        for ends in (self.left, self.right):
            np.add.at(weight, ends, self._widths()[:, 0] / 2)
        return _weighted(iter(self.derivatives), into[self.path], weight, n)

    def _widths(self) -> Floats:
        return np.asarray(self.alpha[self.right] - self.alpha[self.left])[:, None]

    def _add(self, path: Indices, alpha: Floats) -> None:
        """Evaluate nodes (B,)."""
        game, start = self.game, len(self.alpha)
        game.progress.expect_more(len(path))
        values: list[Floats] = [self.values]
        slopes: list[Floats] = [self.slopes]
        stream = game.gradients.stream(self.rows[path], alpha[:, None], self.draws[path], "mask")
        for where, v, g in stream:
            self.derivatives.append((slice(start + where.start, start + where.start + len(g)), g))
            values.append(host(v))
            slopes.append(host(g.sum(dim=1, dtype=widest(g.device))))
        self.values, self.slopes = np.concatenate(values), np.concatenate(slopes)
        self.path, self.alpha = np.append(self.path, path), np.append(self.alpha, alpha)


def _weighted(
    stream: Iterator[tuple[slice, Tensor]], at: Indices, weights: Floats, rows: int
) -> Floats:
    """Weighted sums (R, d, k) of derivatives over each row, where they live."""
    import torch

    total: Tensor | None = None
    for where, g in stream:
        w = torch.as_tensor(weights[where], dtype=g.dtype, device=g.device)
        total = g.new_zeros(rows, *g.shape[1:]) if total is None else total
        total.index_add_(0, torch.as_tensor(at[where], device=g.device), g * w[:, None, None])
    assert total is not None
    return host(total)
