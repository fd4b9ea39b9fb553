"""Semivalues, Banzhaf's among them: averages over coalitions of what a player adds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Game, Masses
from xai.inputs import on_host
from xai.summary.base import (
    SAMPLED,
    Attribution,
    Budget,
    Plan,
    Summary,
    check_positive,
    finish,
    spreads,
    unit_cost,
)
from xai.summary.closed import of_coins, solved
from xai.summary.enumeration import cost_of_sizes, enumerated
from xai.summary.interactions import Interactions
from xai.summary.nulls import without_nulls
from xai.summary.pairs import REGRESSION, by_pairs, from_pairs, log_choose, semivalues
from xai.summary.samples import sample_count, sampled
from xai.summary.stars import by_single_stars, star_cost
from xai.summary.stretches import Stretches, affordable, costs_up_to


@dataclass(frozen=True)
class Banzhaf(Summary):
    """A player's mean contribution to a coalition in which each other player is a coin toss.

    ``phi_i = 2^{-(d-1)} Σ_{S ∌ i} (v(S ∪ i) − v(S))``

    Parameters
    ----------
    samples : int, optional
        Number of pairs of complementary coalitions.
    order : {1, 2}
        2: Banzhaf's interaction index, too; see `Interactions`.

    Raises
    ------
    ValueError
        `order` is neither 1 nor 2.

    Notes
    -----
    Banzhaf (1965). Sampled where draws differ: coalitions by coins, and each with every player
    changed alone, on one draw (`xai.summary.stars`). Where each coalition has one value to know (a
    baseline, a loss): the differences v(S) − v(N∖S) of pairs are regressed on the players' signs
    (with fewer than two pairs a player, averaged with them), whose limit is Banzhaf's value (Hammer
    & Holzman 1992); errors are the regression's own, heteroscedasticity allowed for.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
    >>> Banzhaf()(game).values
    array([0.25, 0.25, 0.25])
    """

    samples: int | None = None
    order: Literal[1, 2] = 1
    default_budget: ClassVar[Budget | str] = SAMPLED

    def check(self) -> None:
        """Refuse an unknown order."""
        if self.order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, not {self.order!r}")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """A closed form where there is one; enumerate where that fits, else sample."""
        if self.order == 2:
            return Interactions("Banzhaf", self.samples).attribute(game, plan)
        known = solved(game, plan, of_coins)
        return without_nulls(game, lambda part: self._estimate(part, plan), plan, known)

    def _estimate(self, game: Game, plan: Plan) -> Attribution:
        pairs = sample_count("one pair of coalitions", game, plan, self.samples, per_sample=2)
        if pairs is None:
            d = game.n_players
            return enumerated(game, np.full(d, 0.5 ** (d - 1)), plan.tolerance)
        stars = 2 * pairs * unit_cost(game) // star_cost(game, 1)
        if stars > 1 and spreads(game):
            return by_single_stars(game, plan, stars)
        S = streams.kept(plan.seed, np.arange(pairs), game.n_players, 0.5)
        found = sampled(game, S, plan, from_pairs, paired=True)
        return finish(game, *found, tolerance=plan.tolerance, ran=REGRESSION)


@dataclass(frozen=True)
class Semivalue(Summary):
    """A player's mean contribution, with a weight for each size of the coalition it joins.

    ``phi_i = Σ_{S ∌ i} p_|S| (v(S ∪ i) − v(S))``,  ``Σ_s C(d − 1, s) p_s = 1``

    Parameters
    ----------
    weights : (d,) array, or function d -> (d,) array
        The weights p_0, …, p_{d-1}.
    samples : int, optional
        Number of pairs of walks (of pairs of coalitions, where these are used).

    Raises
    ------
    TypeError
        `weights` are no numbers.
    ValueError
        They are not one for each size, negative or infinite, or do not sum to 1 as above.

    Notes
    -----
    Dubey, Neyman & Weber (1981). Not efficient, but for Shapley's weights. Exact where all
    coalitions of the sizes that have a weight fit the budget. Sampled by stretches of walks
    (`xai.summary.stretches`), of which a few may not meet every player: the others' values are NaN.
    Where each coalition has one value to know (a baseline, a loss) and weights are symmetric, by
    pairs of a coalition and its complement instead, drawn by size so that each tells all players
    as much (Li & Yu 2024) and regressed on.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
    >>> Semivalue([1 / 3, 1 / 6, 1 / 3])(game).values  # Shapley's weights
    array([0.33333333, 0.33333333, 0.33333333])
    >>> Semivalue(lambda d: [0] * (d - 1) + [1])(game).values  # v(N) − v(N∖i)
    array([1., 1., 1.])
    """

    weights: Any
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = SAMPLED

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """A closed form where there is one; enumerate where that fits, else sample."""
        mass = size_masses(self.weights, game.n_players)
        return _semivalue(game, plan, partial(_thinned, mass), self.samples)


@dataclass(frozen=True)
class BetaShapley(Summary):
    """The semivalue whose sizes follow a beta-binomial distribution: noise-reduced Shapley values.

    ``p_s = B(s + beta, d − 1 − s + alpha) / B(alpha, beta)`` for a coalition of size s

    Parameters
    ----------
    alpha, beta : float > 0
        As Kwon & Zou (2022) write Beta(α, β): α > β gives small coalitions more weight.
        (1, 1) is Shapley's value; α = β → ∞ Banzhaf's.
    samples : int, optional
        As for `Semivalue`.

    Raises
    ------
    TypeError
        `alpha` or `beta` is no number.
    ValueError
        One of them is not positive and finite.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
    >>> BetaShapley(1, 1)(game).values
    array([0.33333333, 0.33333333, 0.33333333])
    """

    alpha: float = 16
    beta: float = 1
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = SAMPLED

    def check(self) -> None:
        """Refuse alpha and beta that are not positive numbers."""
        check_positive("alpha", self.alpha)
        check_positive("beta", self.beta)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """A closed form where there is one; enumerate where that fits, else sample."""
        return _semivalue(game, plan, self._masses, self.samples)

    def _masses(self, d: int) -> NDArray[np.float64]:
        # products of s factors beta + i and d − 1 − s factors alpha + i: no differences of
        # logarithms, which large parameters would leave nothing of
        most = max(self.alpha, self.beta)
        factors = (np.log((each + np.arange(d - 1)) / most) for each in (self.beta, self.alpha))
        members, others = (np.append(0.0, np.cumsum(logs)) for logs in factors)
        chances = log_choose(d - 1, np.arange(d)) + members + others[::-1]
        mass = np.exp(chances - chances.max())
        return np.asarray(mass / mass.sum())


def size_masses(weights: Any, d: int) -> NDArray[np.float64]:
    """The mass ``C(d − 1, s) p_s`` of each size, from weights p that are checked.

    Raises
    ------
    ValueError
        Weights of another length, negative or not finite, or whose masses do not sum to 1.
    """
    p = np.asarray(on_host(weights(d) if callable(weights) else weights))
    if p.dtype.kind not in "biuf":
        raise TypeError(f"weights must be numbers, or a function of d, not {weights!r}")
    if p.shape != (d,):
        raise ValueError(f"weights have shape {p.shape}; expected one for each size, ({d},)")
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError("weights must be finite and not negative")
    mass = np.zeros(d)
    some = np.flatnonzero(p > 0)
    mass[some] = np.exp(log_choose(d - 1, some) + np.log(p[some]))
    if abs(mass.sum() - 1) > 1e-6:
        raise ValueError(
            f"weights must satisfy Σ_s C(d-1, s) p_s = 1, the sum over all coalitions without a "
            f"player; with d={d} players it is {mass.sum():.6g}"
        )
    return mass


def _semivalue(game: Game, plan: Plan, masses: Masses, samples: int | None) -> Attribution:
    """In closed form, or of the players that draws change."""

    def estimate(part: Game) -> Attribution:
        return _estimate(part, plan, masses(part.n_players), samples)

    return without_nulls(game, estimate, plan, solved(game, plan, masses))


def _thinned(mass: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    """The masses for the d players that are left: the others may be in a coalition or not."""
    while len(mass) > d:
        s = np.arange(1, len(mass))
        mass = (mass[:-1] * s[::-1] + mass[1:] * s) / (len(mass) - 1)
    return mass


def _estimate(
    game: Game, plan: Plan, mass: NDArray[np.float64], samples: int | None
) -> Attribution:
    in_pairs = np.allclose(mass, mass[::-1], rtol=1e-9, atol=1e-12) and not spreads(game)
    first = 2 * unit_cost(game) if in_pairs else int(costs_up_to(game, mass, 1, plan.seed)[0])
    if cost_of_sizes(game, mass > 0) <= plan.room(game, samples, first):
        per_coalition = [m / comb(len(mass) - 1, s) for s, m in enumerate(mass)]
        return enumerated(game, np.array(per_coalition), plan.tolerance)
    what = "one pair of coalitions" if in_pairs else "one pair of walks"
    pairs = plan.count(what, game, samples=samples, unit=first)
    if in_pairs:
        found = by_pairs(game, plan, [semivalues(mass)], pairs)
        return finish(game, *found, tolerance=plan.tolerance, ran=REGRESSION)
    if samples is None:
        pairs = affordable(game, mass, plan.room(game, None, first) - game.ends_cost, plan.seed)
    if spreads(game) and not game.endless and pairs > 1:
        pairs -= pairs % 2  # two share a draw
    return Stretches(game, mass, pairs, plan.seed, plan.tolerance).run()
