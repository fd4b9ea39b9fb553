"""The mean value of the coalitions that hold a player."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from xai import streams
from xai.game import Coalitions, Floats, Game
from xai.summary.base import (
    SAMPLED,
    Attribution,
    Budget,
    Plan,
    Summary,
    all_coalitions,
    check_number,
    check_word,
    enumeration_cost,
    exact,
    finish,
    unit_cost,
)
from xai.summary.masks import Normalise, SmoothGrid, mean_under
from xai.summary.samples import own_draws, sample_count, sampled


@dataclass(frozen=True)
class MeanWhenIncluded(Summary):
    """The mean value of the coalitions that hold a player, each player kept with chance `p`.

    ``phi_i = E[v(S) | i ∈ S]``

    Parameters
    ----------
    p : float in (0, 1)
    samples : int, optional
        Number of coalitions, 1/p at least, or of masks.
    masks : SmoothGrid, optional
        Soft masks M to draw over an image's pixels, in place of coalitions: the mean is
        ``Σ v(M) M_i / Σ M_i``, NaN of a pixel that none of a few masks keeps.
    normalise : {"sum", "expected"}
        "expected": ``Σ v(M) M_i / (N p)`` instead, as RISE's paper has it; a constant v then
        shows how often each pixel happened to be kept.

    Raises
    ------
    TypeError
        `masks` is no `SmoothGrid`.
    ValueError
        `p` outside (0, 1), an unknown `normalise`, or "expected" without masks.

    Notes
    -----
    The summary of RISE (Petsiuk, Das & Saenko 2018), as Covert et al. (2021) write it. Coalitions
    are drawn in runs of ⌈1/p⌉ that hold every player at least once (for p = .5 a coalition and its
    complement), so that no value is left unknown; errors are those of the runs.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 0] * 1.0, n_players=2)
    >>> MeanWhenIncluded()(game).values
    array([1. , 0.5])
    """

    p: float = 0.5
    samples: int | None = None
    masks: SmoothGrid | None = None
    normalise: Normalise = "sum"
    default_budget: ClassVar[Budget | str] = SAMPLED

    @property
    def softens(self) -> bool:
        """Where masks are drawn."""
        return self.masks is not None

    def check(self) -> None:
        """Refuse a chance outside (0, 1), and what coalitions cannot be divided by."""
        check_number("p", self.p)
        if not 0 < self.p < 1:
            raise ValueError(f"p must lie between 0 and 1, not {self.p!r}")
        check_word("normalise", self.normalise, ["sum", "expected"])
        if self.masks is None and self.normalise != "sum":
            raise ValueError("normalise='expected' is for masks: pass masks=SmoothGrid(), too")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else average over random coalitions, or over masks."""
        if self.masks is not None:
            return self._under(self.masks, game, plan)
        run = _run(self.p)
        what = f"a mean over coalitions, {run} of which together hold every player,"
        count = sample_count(what, game, plan, self.samples, per_sample=1, least=run)
        if count is None:
            return self._enumerate(game, plan.tolerance)

        def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
            return _mean_included(S, v, run, alone=run * self.p <= 1 + 1e-9)

        S = kept_in_runs(plan.seed, count, game.n_players, self.p)
        found = sampled(game, S, plan, estimate, paired=False)
        return finish(game, *found, tolerance=plan.tolerance)

    def _under(self, masks: SmoothGrid, game: Game, plan: Plan) -> Attribution:
        if not isinstance(masks, SmoothGrid):
            raise TypeError(
                f"masks={masks!r}: expected a SmoothGrid, or None for coalitions; how many are "
                "drawn is samples="
            )
        unit = unit_cost(game)
        count = plan.count("one mask", game, samples=self.samples, unit=unit, enumerates=False)
        draws = own_draws(game, plan.seed, np.arange(count))
        return mean_under(game, plan, count, draws, masks=masks, p=self.p, normalise=self.normalise)

    def _enumerate(self, game: Game, tolerance: float | None) -> Attribution:
        game.progress.expect(game.n_rows * enumeration_cost(game))
        S = all_coalitions(game.n_players)
        size = S.sum(axis=1)
        weight = self.p ** (size - 1) * (1 - self.p) ** (game.n_players - size)

        def linear(v: Floats) -> Floats:  # one player at a time: no (2^d, d) array of floats
            means = [np.einsum("c,...ck->...k", weight * kept, v) for kept in S.T]
            return np.stack(means, axis=-2)

        return finish(game, *exact(game, S, linear), tolerance=tolerance)


def _run(p: float) -> int:
    """Coalitions in a run: so many that each player can be in one."""
    return max(2, ceil(1 / p - 1e-9))


def kept_in_runs(seed: int, count: int, d: int, p: float) -> Coalitions:
    """Coalitions (count, d) that keep each player with chance `p`, and in each run at least once.

    The uniform numbers of a player in a run of L are spread over L equal cells in random order; a
    player is kept where its number is below p, which the first cell always is.
    """
    run = _run(p)
    out = np.empty((-(-count // run), run, d), bool)
    for part in streams.parts(len(out), run * d):
        samples = np.arange(part.start * run, part.stop * run)
        order = streams.bits(seed, streams.COALITION, samples, d).reshape(-1, run, d)
        cell = np.argsort(np.argsort(order, axis=1), axis=1)
        u = streams.uniforms(seed, streams.JITTER, samples, d).reshape(cell.shape)
        out[part] = (cell == 0) | (cell + u < p * run)
    return out.reshape(-1, d)[:count]


def _mean_included(S: Coalitions, v: Floats, run: int, *, alone: bool) -> tuple[Floats, Floats]:
    """Ratio estimate (R, d, k) from values (R, C, k), and its error, from the spread of runs.

    `alone` says that no player is twice in a run.
    """
    (r, samples, k), d = v.shape, S.shape[1]
    centre = v.mean(axis=1, keepdims=True)
    flat = np.moveaxis(v - centre, 1, 0).reshape(samples, r * k)
    count, total, squares = np.zeros((d, 1)), np.zeros((d, r * k)), np.zeros((d, r * k))
    pairs, sums, products = np.zeros((d, 1)), np.zeros((d, r * k)), np.zeros((d, r * k))
    for some in streams.parts(-(-samples // run), run * d):
        part = slice(some.start * run, some.stop * run)
        included, y = S[part].T.astype(np.float64), flat[part]
        count += included.sum(axis=1, keepdims=True)
        total += included @ y
        squares += included @ y**2
        for apart in range(1, 1 if alone else run):  # two coalitions of a run
            one = np.flatnonzero(np.arange(len(y) - apart) % run < run - apart)
            both = included[:, one] * included[:, one + apart]
            pairs += both.sum(axis=1, keepdims=True)
            sums += both @ (y[one] + y[one + apart])
            products += both @ (y[one] * y[one + apart])
    mean = np.full_like(total, np.nan)  # a player never included: unknown
    np.divide(total, count, out=mean, where=count > 0)
    known = np.nan_to_num(mean)
    spread = squares - count * known**2 + 2 * (products - known * sums + pairs * known**2)
    whole = samples // run
    runs = whole + np.asarray(S[whole * run :].any(axis=0))[:, None]  # that hold the player
    error = np.full_like(total, np.nan)
    scale = count**2 * (runs - 1) / np.maximum(runs, 1)
    np.divide(np.maximum(spread, 0), scale, out=error, where=scale > 0)
    values, variances = (np.moveaxis(a.reshape(d, r, k), 0, 1) for a in (mean, error))
    return values + centre, np.sqrt(variances)
