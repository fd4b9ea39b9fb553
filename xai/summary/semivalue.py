"""Other averages over coalitions: Banzhaf's value, and the mean when included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    all_coalitions,
    enumerates,
    enumeration_cost,
    exact,
    finish,
    stops,
    within,
)
from xai.summary.kernel import weighted_moments
from xai.summary.shapley import enumerated


@dataclass(frozen=True)
class Banzhaf(Summary):
    """A player's mean contribution to a coalition in which each other player is a coin toss.

    ``phi_i = 2^{-(d-1)} Σ_{S ∌ i} (v(S ∪ i) − v(S))``

    Parameters
    ----------
    samples : int, optional
        Number of pairs of complementary coalitions.

    Notes
    -----
    Banzhaf (1965). Sampled: each pair (S, N∖S) on one draw; the differences v(S) − v(N∖S) are
    regressed on the players' signs (with fewer than two pairs a player, averaged with them), whose
    limit is Banzhaf's value (Hammer & Holzman 1992); errors are the regression's own,
    heteroscedasticity allowed for.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
    >>> Banzhaf()(game).values
    array([0.25, 0.25, 0.25])
    """

    samples: int | None = None
    default_budget: ClassVar[Budget | str] = Budget(rows=8192, per_player=32)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else regress on complementary pairs."""
        pairs = _samples("one pair of coalitions", game, plan, self.samples, per_sample=2)
        if pairs is None:
            d = game.n_players
            return enumerated(game, np.full(d, 0.5 ** (d - 1)), plan.tolerance)

        def coalitions(samples: Indices) -> Coalitions:
            return streams.kept(plan.seed, samples, game.n_players, 0.5)

        def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
            half = v.shape[1] // 2
            return _regress(S, v[:, :half] - v[:, half:])

        return _sampled(game, pairs, plan, coalitions, estimate, paired=True)


def _regress(S: Coalitions, y: Floats) -> tuple[Floats, Floats]:
    """Least squares of y (R, P, k) on the signs of S (P, d) without intercept, and its errors."""
    (r, count, k), d = y.shape, S.shape[1]
    flat = np.moveaxis(y, 1, 0).reshape(count, r * k)

    def signs(part: slice) -> Floats:
        return np.where(S[part], 1.0, -1.0)

    gram, moment = weighted_moments(signs, np.ones(count), flat)
    if count < 2 * d:  # too few to regress: plain averages with the signs
        phi, variance = moment / count, np.full((d, r * k), np.nan)
        if count > 1:
            squares = (flat**2).sum(axis=0) - count * phi**2
            variance = np.maximum(squares, 0) / (count - 1) / count
    else:
        inverse = np.linalg.pinv(gram, hermitian=True)
        phi, variance = inverse @ moment, np.zeros((d, r * k))
        for part in streams.parts(count, d):
            z = signs(part)
            influence = z @ inverse
            spare = np.maximum(1 - np.einsum("pd,pd->p", influence, z), 1e-12)
            variance += (influence**2).T @ ((flat[part] - z @ phi) ** 2 / spare[:, None])
    values, variances = (np.moveaxis(a.reshape(d, r, k), 0, 1) for a in (phi, variance))
    return values, np.sqrt(variances)


@dataclass(frozen=True)
class MeanWhenIncluded(Summary):
    """The mean value of the coalitions that hold a player, each player kept with chance `p`.

    ``phi_i = E[v(S) | i ∈ S]``

    Parameters
    ----------
    p : float in (0, 1)
    samples : int, optional
        Number of coalitions.

    Notes
    -----
    The summary of RISE (Petsiuk, Das & Saenko 2018), as Covert et al. (2021) write it.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 0] * 1.0, n_players=2)
    >>> MeanWhenIncluded()(game).values
    array([1. , 0.5])
    """

    p: float = 0.5
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = Budget(rows=8192, per_player=32)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else average over random coalitions."""
        if not 0 < self.p < 1:
            raise ValueError(f"p must lie between 0 and 1, not {self.p!r}")
        count = _samples("one coalition", game, plan, self.samples, per_sample=1)
        if count is None:
            return self._enumerate(game, plan.tolerance)

        def coalitions(samples: Indices) -> Coalitions:
            return streams.kept(plan.seed, samples, game.n_players, self.p)

        return _sampled(game, count, plan, coalitions, _mean_included, paired=False)

    def _enumerate(self, game: Game, tolerance: float | None) -> Attribution:
        S = all_coalitions(game.n_players)
        size = S.sum(axis=1)
        weight = self.p ** (size - 1) * (1 - self.p) ** (game.n_players - size)

        def linear(v: Floats) -> Floats:  # one player at a time: no (2^d, d) array of floats
            means = [np.einsum("c,...ck->...k", weight * kept, v) for kept in S.T]
            return np.stack(means, axis=-2)

        base, full = game.ends(np.arange(game.n_rows))
        values, errors = exact(game, S, linear)
        return finish(game, values, errors, base=base, full=full, tolerance=tolerance)


def _mean_included(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
    """Ratio estimate (R, d, k) from values (R, C, k), and its error."""
    (r, samples, k), d = v.shape, S.shape[1]
    centre = v.mean(axis=1, keepdims=True)
    flat = np.moveaxis(v - centre, 1, 0).reshape(samples, r * k)
    count, total, squares = np.zeros((d, 1)), np.zeros((d, r * k)), np.zeros((d, r * k))
    for part in streams.parts(samples, d):
        included = S[part].T.astype(np.float64)
        count += included.sum(axis=1, keepdims=True)
        total += included @ flat[part]
        squares += included @ flat[part] ** 2
    mean = np.full_like(total, np.nan)  # a player never included: unknown
    np.divide(total, count, out=mean, where=count > 0)
    error = np.full_like(total, np.nan)
    spread = np.maximum(squares - count * np.nan_to_num(mean) ** 2, 0)
    np.divide(spread, count * (count - 1), out=error, where=count > 1)
    values, variances = (np.moveaxis(a.reshape(d, r, k), 0, 1) for a in (mean, error))
    return values + centre, np.sqrt(variances)


# ---------------------------------------------------------------------------------------------
# Independent coalitions, each on a draw of its own


def _samples(
    what: str, game: Game, plan: Plan, samples: int | None, *, per_sample: int
) -> int | None:
    """Number of samples, or None where all coalitions fit the budget."""
    unit = per_sample * (game.sample_cost if game.commutes else game.value_cost)
    if enumerates(game, plan.room(game, samples, unit)):
        if game.progress is not None:
            game.progress.expect(game.n_rows * enumeration_cost(game))
        return None
    return plan.count(what, game, samples=samples, unit=unit)


def own_draws(game: Game, seed: int, samples: Indices) -> Indices | None:
    """An independent draw for each sample; None where values are means over all draws."""
    if not game.commutes:
        return None
    if game.endless:
        return samples
    return streams.integers(seed, streams.DRAW, samples, 1, game.n_draws)[:, 0]


Estimator = Callable[[Coalitions, Floats], "tuple[Floats, Floats]"]
"""(coalitions (C, d), values (R, C, k)) -> values and errors, (R, d, k) each."""


def _sampled(
    game: Game,
    count: int,
    plan: Plan,
    coalitions: Callable[[Indices], Coalitions],
    estimate: Estimator,
    *,
    paired: bool,
) -> Attribution:
    """Evaluate samples for all rows, and estimate; rows that meet the tolerance stop."""
    n, d, k = game.n_rows, game.n_players, game.n_outputs
    values, errors = np.empty((n, d, k)), np.empty((n, d, k))
    S = coalitions(np.arange(count))
    draws = own_draws(game, plan.seed, np.arange(count))
    tolerance = plan.tolerance
    bases, fulls = np.empty((n, k)), np.empty((n, k))
    if game.progress is not None:
        game.progress.expect(n * count * (1 + paired))
    for rows, _ in game.blocks(count * (1 + paired)):
        bases[rows], fulls[rows] = game.ends(rows)
        active, parts, done = rows, [], 0
        for stop in stops(count, tolerance, first=64):
            parts.append(_evaluate(game, active, S[done:stop], draws, slice(done, stop), paired))
            done = stop
            v = np.concatenate(
                [np.concatenate(side, axis=1) for side in zip(*parts, strict=True)], 1
            )
            values[active], errors[active] = estimate(S[:done], v)
            if tolerance is not None:
                left = ~within(values[active], errors[active], tolerance)
                active, parts = active[left], [tuple(v[left] for v in part) for part in parts]
                if len(active) == 0:
                    break
    return finish(game, values, errors, base=bases, full=fulls, tolerance=tolerance)


def _evaluate(
    game: Game,
    rows: Indices,
    S: Coalitions,
    draws: Indices | None,
    part: slice,
    paired: bool,
) -> tuple[Floats, ...]:
    """Values of coalitions, and of their complements at the same draws, (R, C, k) each."""
    own = None if draws is None else draws[part]
    sides = (S, ~S) if paired else (S,)
    room = max(1, game.room // len(rows))
    cuts = [slice(a, a + room) for a in range(0, len(S), room)]
    return tuple(
        np.concatenate(
            [game.grid(rows, side[c], None if own is None else own[c]) for c in cuts], axis=1
        )
        for side in sides
    )
