"""Derivatives of the game: at a point, over noise, along the path from nothing to everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import BLOCK_BYTES, Floats, Game, Indices, ModelGame
from xai.suggest import unknown
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    check_samples,
    finish,
    needs,
    stops,
    within,
)
from xai.summary.moments import Moments, Replicates, host, replicate_of

if TYPE_CHECKING:
    from torch import Tensor

Place: TypeAlias = Literal["removed", "kept", "path"]
PLACES = ("removed", "kept", "path")
MOMENTS = ("mean", "square", "variance")
SAMPLES = 64
"""Samples where neither a count nor a budget is given."""


@dataclass(frozen=True)
class Gradient(Summary):
    """The mean derivative of the behavior over a neighbourhood that the removal makes.

    Parameters
    ----------
    at : {"removed", "kept", "path"}
        Where it is taken: with every player removed, which is the neighbourhood of a noisy
        removal (and x itself where the noise is 0); with every player kept; or at uniform masks
        α·1 between, each with a draw of its own (expected gradients).
    wrt : {"input", "mask"}
        The derivative in the inputs, summed over each player's elements, or in its mask, which
        is the same times what removing it takes away.
    moment : {"mean", "square", "variance"}
        What of the sampled derivatives is reported: SmoothGrad, SquareGrad, VarGrad.
    samples : int, optional
        Samples for each row; where the draws are fewer, each is used once and nothing is sampled.

    Notes
    -----
    The minimiser of the gradient-matching loss E‖∇f − φ‖² of Han, Srinivas & Lakkaraju (2022,
    Eq. 3), so `LinearFit(loss="gradient")` is this summary. Samples on the path come in pairs
    (α, 1 − α) of one draw, in eight replicates whose spread is the error; in each of them α and
    the draws are spread evenly. There is no empty state: base values are NaN, but on the path.

    SmoothGrad (Smilkov et al. 2017), SquareGrad (Hooker et al. 2019), VarGrad (Adebayo et al.
    2018), expected gradients (Erion et al. 2021, Eq. 2).

    Examples
    --------
    >>> Gradient(moment="square")
    Gradient(at='removed', wrt='input', moment='square', samples=None)
    """

    at: Place = "removed"
    wrt: Literal["input", "mask"] = "input"
    moment: Literal["mean", "square", "variance"] = "mean"
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = f"{SAMPLES} + 1"

    @property
    def differentiates(self) -> bool:
        """Always."""
        return True

    @property
    def softens(self) -> bool:
        """On the path between."""
        return self.at == "path"

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Sample, in batches, and keep running moments where the model lives."""
        self._check()
        model = as_model_game(game)
        count, exact = self._count(model, plan)
        path = self.at == "path"
        base = model.ends(np.arange(model.n_rows))[0] if path else None
        if model.progress is not None:
            model.progress.expect(model.n_rows * count)
        tolerance = None if exact else plan.tolerance
        values, errors, full = _empty(model), _empty(model), full_values(model)
        for rows in row_blocks(model, 4):
            moments = self._moments(len(rows), exact=exact)
            active, done = np.arange(len(rows)), 0
            for stop in stops(count, tolerance, first=16):
                at = np.repeat(active, stop - done)
                sample = np.tile(np.arange(done, stop), len(active))
                for where, g in self._derivatives(model, rows[at], sample, plan.seed, exact):
                    moments.add(at[where], g, sample[where])
                done = stop
                both = moments.result()
                values[rows], errors[rows] = both
                if tolerance is not None:
                    active = active[~within(both[0][active], both[1][active], tolerance)]
                if len(active) == 0:
                    break
        base = np.full_like(full, np.nan) if base is None else base
        found = None if exact else errors
        return finish(model, values, found, base=base, full=full, tolerance=plan.tolerance)

    def _check(self) -> None:
        if self.at not in PLACES:
            raise ValueError(unknown("at", self.at, PLACES))
        if self.wrt not in ("input", "mask"):
            raise ValueError(unknown("wrt", self.wrt, ("input", "mask")))
        if self.moment not in MOMENTS:
            raise ValueError(unknown("moment", self.moment, MOMENTS))
        check_samples("a gradient", self.samples, least=2 if self.moment == "variance" else 1)
        if self.at == "path" and self.samples is not None and self.samples % 2:
            raise ValueError(
                f"samples={self.samples}: samples on a path come in pairs, so their number is even"
            )
        if self.at == "path" and self.moment != "mean":
            raise ValueError(f"moment={self.moment!r}: on a path only the mean is defined")

    def _moments(self, rows: int, *, exact: bool) -> Moments:
        if self.at == "path":
            return Replicates(rows)
        if exact and self.moment == "mean":
            return Moments(rows, powers=1)
        return Moments(rows, powers=4, moment=self.moment, exact=exact)

    def _count(self, game: ModelGame, plan: Plan) -> tuple[int, bool]:
        """How many samples, and whether they are all there is."""
        if self.at == "kept":
            needs("a gradient", 2, plan.budget)
            return 1, True
        ends = game.ends_cost if self.at == "path" else game.full_cost
        all_draws = game.n_draws if self.at == "removed" and not game.endless else None
        least = 2 if self.at == "path" or self.moment == "variance" else 1
        room = plan.budget
        if self.samples is not None:
            asked = self.samples if all_draws is None else min(self.samples, all_draws)
            needs(f"a gradient with samples={self.samples}", ends + asked, room)
            room = ends + self.samples
        elif room is None:
            rule = plan.default
            room = ends + (rule.rows if isinstance(rule, Budget) else SAMPLES)
        if all_draws is not None and all_draws <= room - ends:
            return all_draws, True
        needs("a gradient", ends + least, room)
        count = room - ends
        return count - count % 2 if self.at == "path" else count, False

    def _derivatives(
        self, game: ModelGame, rows: Indices, sample: Indices, seed: int, exact: bool
    ) -> Any:
        """(places in the stream, derivatives (b, d, k)) of samples (B,)."""
        draws, masks = sample, np.zeros((len(sample), 1))
        if self.at == "kept":
            masks = np.ones((len(sample), 1))
        elif self.at == "path":
            replicate, index = replicate_of(sample)
            shift = streams.uniforms(seed, streams.JITTER, replicate, 1)[:, 0]
            masks = np.abs((sample % 2) - (_radical_inverse(index) + shift) % 1)[:, None]
            draws = index + replicate * (game.n_draws << 32)  # cycles of its own
        if not exact and not game.endless:
            draws = streams.cycles(seed, draws, game.n_draws)
        stream = game.gradients.stream(rows, masks, draws, self.wrt)
        for where, _, g in stream:
            whole = g if self.wrt == "mask" else game.gradients.per_player(g, rows[where])
            yield where, whole


@dataclass(frozen=True)
class IntegratedGradient(Summary):
    """The derivative in each player's mask, integrated on the straight path from ∅ to N.

    Parameters
    ----------
    steps : int, optional
        Gauss–Legendre nodes for each draw. None: from 16 doubled, up to 512 or the budget, until
        the completeness gap is at most `tolerance` (0.001 where none is given) of |v(N) − v(∅)|.

    Notes
    -----
    ``phi_i = ∫₀¹ ∂v(α·1)/∂m_i dα`` (Sundararajan, Taly & Yan 2017, Eq. 1; the Aumann–Shapley
    value of the game). ``info["completeness_gap"]`` is ``Σ phi − (v(N) − v(∅))``, the error that
    is left; ``info["steps"]`` the nodes used. Doubled steps are paid for anew.

    Examples
    --------
    >>> IntegratedGradient(steps=32)
    IntegratedGradient(steps=32)
    """

    steps: int | None = None
    default_budget: ClassVar[Budget | str] = "(16 to 1008)m + m + 1"

    @property
    def differentiates(self) -> bool:
        """Always."""
        return True

    FIRST: ClassVar[int] = 16
    MOST: ClassVar[int] = 512

    @property
    def softens(self) -> bool:
        """Always."""
        return True

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Integrate every row, then those again whose gap is too large."""
        check_samples("integrated gradients", self.steps, least=1)
        model = as_model_game(game)
        if not model.commutes and model.n_draws > 1:
            raise ValueError(
                "integrated gradients of a loss or a margin take one baseline: its value is of the "
                "mean over draws; use removal=xai.removal.Baseline(...)"
            )
        m, ends = model.n_draws, model.ends_cost
        steps = self.steps or self.FIRST
        what = "integrated gradients" + f" with steps={steps}" * bool(self.steps)
        least = steps if self.steps else 1
        needs(what, ends + least * m, plan.budget)
        room = np.inf if plan.budget is None else (plan.budget - ends) // m
        steps = int(min(steps, room))
        base, full = model.ends(np.arange(model.n_rows))
        values = _empty(model)
        used = np.zeros(model.n_rows, int)
        tolerance = plan.tolerance or 1e-3
        left, spent = np.arange(model.n_rows), 0
        while len(left):
            if model.progress is not None:
                model.progress.expect(len(left) * steps * m)
            values[left], used[left] = self._integrals(model, left, steps), steps
            met = _complete(values, base, full, tolerance)
            spent += steps
            if self.steps or 2 * steps > min(self.MOST, room - spent):
                break
            left, steps = np.flatnonzero(~met), 2 * steps
        gap = values.sum(axis=1) - (full - base)
        info = {"completeness_gap": gap, "steps": np.repeat(used[:, None], gap.shape[1], 1)}
        met = _complete(values, base, full, tolerance)
        return finish(
            model, values, None, base=base, full=full, tolerance=None, converged=met, info=info
        )

    def _integrals(self, game: ModelGame, rows: Indices, steps: int) -> Floats:
        """Quadratures (R, d, k) of the rows, the draws' mean."""
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        m = game.n_draws
        alpha, w = np.tile((nodes + 1) / 2, m), np.tile(weights / (2 * m), m)
        draws = np.repeat(np.arange(m), steps)
        parts = []
        for block in row_blocks(game, 1, rows):
            at, each = np.repeat(np.arange(len(block)), m * steps), np.tile(w, len(block))
            masks = np.tile(alpha, len(block))[:, None]
            stream = game.gradients.stream(block[at], masks, np.tile(draws, len(block)), "mask")
            parts.append(_weighted(stream, at, each, len(block)))
        return np.concatenate(parts)


def _weighted(
    stream: Iterator[tuple[slice, Tensor, Tensor]], at: Indices, weights: Floats, rows: int
) -> Floats:
    """Weighted sums (R, d, k) of derivatives over each row, where they live."""
    import torch

    total: Tensor | None = None
    for where, _, g in stream:
        w = torch.as_tensor(weights[where], dtype=g.dtype, device=g.device)
        total = g.new_zeros(rows, *g.shape[1:]) if total is None else total
        total.index_add_(0, torch.as_tensor(at[where], device=g.device), g * w[:, None, None])
    assert total is not None
    return host(total)


# ---------------------------------------------------------------------------------------------


def as_model_game(game: Game) -> ModelGame:
    """The game, where it is of a model: set functions and data sets have no gradients here."""
    if not isinstance(game, ModelGame):
        raise TypeError("gradients need the game of a torch module, row by row")
    return game


def full_values(game: ModelGame) -> Floats:
    """Values (n, k) with everything kept, which cost nothing."""
    whole = np.ones((1, game.n_players), bool)
    return game.grid(np.arange(game.n_rows), whole, None)[:, 0]


def row_blocks(game: ModelGame, arrays: int, rows: Indices | None = None) -> list[Indices]:
    """Rows in blocks whose `arrays` of (R, d, k) running sums take little memory."""
    rows = np.arange(game.n_rows) if rows is None else rows
    step = max(1, BLOCK_BYTES // (8 * arrays * game.n_players * game.n_outputs))
    return [rows[a : a + step] for a in range(0, len(rows), step)]


def _empty(game: ModelGame) -> Floats:
    return np.empty((game.n_rows, game.n_players, game.n_outputs))


def _complete(values: Floats, base: Floats, full: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Rows (n,) whose attributions sum to v(N) − v(∅), all outputs, within its `tolerance`."""
    gap = np.abs(values.sum(axis=1) - (full - base))
    scale = np.maximum(np.abs(full - base), 1e-4 * np.maximum(np.abs(full), np.abs(base)))
    return np.asarray((gap <= tolerance * scale).all(axis=1))


def _radical_inverse(index: Indices) -> NDArray[np.float64]:
    """Van der Corput's sequence: every beginning of it covers [0, 1) evenly."""
    out, digit, rest = np.zeros(len(index)), 0.5, index.copy()
    while rest.any():
        out += digit * (rest & 1)
        rest, digit = rest >> 1, digit / 2
    return out
