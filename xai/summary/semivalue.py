"""Semivalues, Banzhaf's among them: averages over coalitions of what a player adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import comb
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices
from xai.inputs import on_host
from xai.summary.base import (
    SAMPLED,
    Attribution,
    Budget,
    Looks,
    Plan,
    Summary,
    check_number,
    enumerates,
    enumeration_cost,
    finish,
    grid_in_parts,
    jackknife,
    shares_rows,
    stops,
    unit_cost,
)
from xai.summary.enumeration import cost_of_sizes, enumerated
from xai.summary.fit import pseudo_inverse
from xai.summary.interactions import enumerated_pairs, from_triangle, with_pairs
from xai.summary.kernel import weighted_moments
from xai.summary.nulls import without_nulls
from xai.summary.pairs import (
    Design,
    Target,
    log_choose,
    semivalues,
    shapley_interactions,
    sign_products,
    signs,
)
from xai.summary.stretches import Stretches, affordable, costs_up_to
from xai.summary.walks import spreads

REGRESSION = "regression on pairs"


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
    order: Literal[1, 2] = 1
    default_budget: ClassVar[Budget | str] = SAMPLED

    def check(self) -> None:
        """Refuse an unknown order."""
        if self.order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, not {self.order!r}")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else regress on complementary pairs."""
        if self.order == 2:
            return banzhaf_interactions(game, plan, self.samples)
        return without_nulls(game, lambda part: self._estimate(part, plan), plan)

    def _estimate(self, game: Game, plan: Plan) -> Attribution:
        pairs = sample_count("one pair of coalitions", game, plan, self.samples, per_sample=2)
        if pairs is None:
            d = game.n_players
            return enumerated(game, np.full(d, 0.5 ** (d - 1)), plan.tolerance)

        def coalitions(samples: Indices) -> Coalitions:
            return streams.kept(plan.seed, samples, game.n_players, 0.5)

        def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
            half = v.shape[1] // 2
            return _regress(S, v[:, :half] - v[:, half:])

        found = sampled(game, pairs, plan, coalitions, estimate, paired=True)
        return replace(found, ran=REGRESSION)


def banzhaf_interactions(game: Game, plan: Plan, samples: int | None) -> Attribution:
    """Banzhaf values and interactions: from one pair of coalitions, its odd and its even part.

    With signs z for coalitions, a player's value is twice the mean of v(S) z_i, the interaction of
    two is four times that of v(S) z_i z_j.
    """
    d = game.n_players
    pairs = sample_count("one pair of coalitions", game, plan, samples, per_sample=2)
    if pairs is None:
        own, both = np.full(d, 0.5 ** (d - 1)), np.full(max(d - 1, 0), 0.5 ** max(d - 2, 0))
        return enumerated_pairs(game, own, both, plan.tolerance, "Banzhaf")

    def coalitions(samples: Indices) -> Coalitions:
        return streams.kept(plan.seed, samples, d, 0.5)

    def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
        one, other = np.split(v, 2, axis=1)
        even = 2 * (one + other)
        odd = _regress(S, one - other)
        pairs = _regress(S, even - even.mean(axis=1, keepdims=True), sign_products)
        values, errors = (
            np.concatenate([a, b[:, 1:]], axis=1) for a, b in zip(odd, pairs, strict=True)
        )
        return values, errors

    width = d + d * (d - 1) // 2
    found = sampled(game, pairs, plan, coalitions, estimate, paired=True, width=width)
    assert found.std_error is not None
    values, errors = found.values, found.std_error
    result = replace(found, values=values[:, :d], std_error=errors[:, :d], ran=REGRESSION)
    of_pairs, of_errors = (from_triangle(a[:, d:], d) for a in (values, errors))
    return with_pairs(result, of_pairs, of_errors, "Banzhaf")


def _regress(
    S: Coalitions, y: Floats, features: Callable[[Coalitions], Floats] = signs
) -> tuple[Floats, Floats]:
    """Least squares of y (R, P, k) on features of S (P, d) that are ±1, and its errors."""
    (r, count, k), d = y.shape, features(S[:1]).shape[1]
    flat = np.moveaxis(y, 1, 0).reshape(count, r * k)

    def rows(part: slice) -> Floats:
        return features(S[part])

    if count < 2 * d:  # too few to regress: plain averages with the signs
        if features is sign_products and count > 1:  # less the mean of all others, not of all
            flat = flat * (count / (count - 1))
        phi, variance = np.zeros((d, r * k)), np.full((d, r * k), np.nan)
        for part in streams.parts(count, d):
            phi += rows(part).T @ flat[part] / count
        if count > 1:
            squares = (flat**2).sum(axis=0) - count * phi**2
            variance = np.maximum(squares, 0) / (count - 1) / count
    else:
        gram, moment = weighted_moments(rows, np.ones(count), flat)
        inverse = pseudo_inverse(gram)
        phi, variance = inverse @ moment, np.zeros((d, r * k))
        for part in streams.parts(count, d):
            z = rows(part)
            influence = z @ inverse
            spare = np.maximum(1 - np.einsum("pd,pd->p", influence, z), 1e-12)
            variance += (influence**2).T @ ((flat[part] - z @ phi) ** 2 / spare[:, None])
    values, variances = (np.moveaxis(a.reshape(d, r, k), 0, 1) for a in (phi, variance))
    return values, np.sqrt(variances)


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
        """Enumerate where that fits, else sample."""
        return semivalue(game, plan, size_masses(self.weights, game.n_players), self.samples)


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
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            check_number(name, value)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be positive and finite, not {value!r}")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else sample."""
        d, s = game.n_players, np.arange(game.n_players)
        chances = betaln(s + self.beta, d - 1 - s + self.alpha) - betaln(self.alpha, self.beta)
        mass = np.exp(log_choose(d - 1, s) + chances)
        return semivalue(game, plan, mass / mass.sum(), self.samples)


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


def semivalue(
    game: Game, plan: Plan, mass: NDArray[np.float64], samples: int | None
) -> Attribution:
    """The semivalue of given masses (d,) of sizes: enumerated where that fits, else sampled."""

    def estimate(part: Game) -> Attribution:
        return _estimate(part, plan, _thinned(mass, part.n_players), samples)

    return without_nulls(game, estimate, plan)


def _thinned(mass: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    """The masses for the d players that are left: the others may be in a coalition or not."""
    while len(mass) > d:
        s = np.arange(1, len(mass))
        mass = (mass[:-1] * s[::-1] + mass[1:] * s) / (len(mass) - 1)
    return mass


def _estimate(
    game: Game, plan: Plan, mass: NDArray[np.float64], samples: int | None
) -> Attribution:
    by_pairs = np.allclose(mass, mass[::-1], rtol=1e-9, atol=1e-12) and not spreads(game)
    first = 2 * unit_cost(game) if by_pairs else int(costs_up_to(game, mass, 1, plan.seed)[0])
    if cost_of_sizes(game, mass > 0) <= plan.room(game, samples, first):
        return enumerated(game, _per_coalition(mass), plan.tolerance)
    what = "one pair of coalitions" if by_pairs else "one pair of walks"
    pairs = plan.count(what, game, samples=samples, unit=first)
    if by_pairs:
        return _by_pairs(game, plan, [semivalues(mass)], pairs)[0]
    if samples is None:
        pairs = affordable(game, mass, plan.room(game, None, first) - game.ends_cost, plan.seed)
    if spreads(game) and not game.endless and pairs > 1:
        pairs -= pairs % 2  # two share a draw
    return Stretches(game, mass, pairs, plan.seed, plan.tolerance).run()


def _per_coalition(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    d = len(mass)
    return np.array([m / comb(d - 1, s) for s, m in enumerate(mass)])


def _by_pairs(
    game: Game, plan: Plan, targets: list[Target], count: int
) -> tuple[Attribution, list[Floats], list[Floats]]:
    """Values, and all targets' sums and errors (n, q, k): the first odd, the second even."""
    design = Design.make(game.n_players, targets, count, plan)

    def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
        one, other = np.split(v, 2, axis=1)
        found = []
        for target, y in zip(targets, (one - other, one + other), strict=False):
            flat = np.moveaxis(y, 1, 0).reshape(len(S), -1)
            shape = (-1, len(v), v.shape[2])
            parts = design.estimate(target, flat)
            found.append([np.moveaxis(part.reshape(shape), 0, 1) for part in parts])
        values, errors = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return values, errors

    widths = [len(target.known) for target in targets]
    found = sampled(
        game, len(design.S), plan, lambda i: design.S[i], estimate, paired=True, spread=False,
        width=sum(widths),
    )  # fmt: skip
    assert found.std_error is not None
    cuts = np.cumsum(widths)[:-1]
    values, errors = (np.split(a, cuts, axis=1) for a in (found.values, found.std_error))
    return replace(found, values=values[0], std_error=errors[0], ran=REGRESSION), values, errors


def interactions_by_pairs(game: Game, plan: Plan, count: int, index: str) -> Attribution:
    """Shapley values and interactions regressed on pairs of coalitions."""
    d = game.n_players
    targets = [semivalues(np.full(d, 1 / d)), shapley_interactions(d)]
    result, values, errors = _by_pairs(game, plan, targets, count)
    return with_pairs(result, from_triangle(values[1], d), from_triangle(errors[1], d), index)


# ---------------------------------------------------------------------------------------------
# Independent coalitions, each on a draw of its own


def sample_count(
    what: str, game: Game, plan: Plan, samples: int | None, *, per_sample: int, least: int = 1
) -> int | None:
    """Number of samples, or None where all coalitions fit the budget."""
    unit = per_sample * unit_cost(game)
    if enumerates(game, plan.room(game, samples, unit)):
        game.progress.expect(game.n_rows * enumeration_cost(game))
        return None
    return plan.count(what, game, samples=samples, unit=unit, least=least)


def own_draws(game: Game, seed: int, samples: Indices) -> Indices | None:
    """An independent draw for each sample; None where values are means over all draws."""
    if not game.commutes:
        return None
    if game.endless:
        return samples
    return streams.integers(seed, streams.DRAW, samples, 1, game.n_draws)[:, 0]


Estimator = Callable[[Coalitions, Floats], "tuple[Floats, Floats]"]
"""(coalitions (C, d), values (R, C, k)) -> values and errors, (R, d, k) each."""


def _over_rows(game: Game, estimate: Estimator, S: Coalitions, v: Floats, draws: Indices) -> Floats:
    """Errors where samples share the rows of a data set, by what each group of these changes."""

    def of_some(kept: NDArray[np.bool_]) -> Floats:
        some = kept[draws]
        return estimate(S[some], v[:, np.resize(some, v.shape[1])])[0]

    return jackknife(game, draws, of_some)


def sampled(
    game: Game,
    count: int,
    plan: Plan,
    coalitions: Callable[[Indices], Coalitions],
    estimate: Estimator,
    *,
    paired: bool,
    spread: bool = True,
    width: int | None = None,
) -> Attribution:
    """Evaluate samples for all rows, and estimate; rows that meet the tolerance stop.

    `width` numbers are estimated, the values first: one for each player where it is None.
    Where `spread` is False, each value is the mean over all draws, whatever the game.
    """
    n, d, k = game.n_rows, game.n_players, game.n_outputs
    values, errors = np.empty((n, width or d, k)), np.empty((n, width or d, k))
    S = coalitions(np.arange(count))
    draws = own_draws(game, plan.seed, np.arange(count)) if spread else None
    tolerance = plan.tolerance
    bases, fulls = np.empty((n, k)), np.empty((n, k))
    checks = stops(count, tolerance, first=64)
    unit = 1 if spread else game.value_cost
    game.progress.expect(n * count * (1 + paired) * unit)
    for rows, _ in game.blocks(count * (1 + paired)):
        bases[rows], fulls[rows] = game.ends(rows)
        active, parts, done = rows, [], 0
        looks = Looks(len(rows), checks, tolerance)
        for stop in looks:
            some, own = S[done:stop], None if draws is None else draws[done:stop]
            sides = (some, ~some) if paired else (some,)
            parts.append([grid_in_parts(game, active, side, own) for side in sides])
            done = stop
            v = np.concatenate(
                [np.concatenate(side, axis=1) for side in zip(*parts, strict=True)], 1
            )
            values[active], errors[active] = estimate(S[:done], v)
            if shares_rows(game):
                errors[active] = np.nan
                if draws is not None:
                    errors[active] = _over_rows(game, estimate, S[:done], v, draws[:done])
            left = looks.left(values[active][:, :d], errors[active][:, :d])
            active, parts = active[left], [[v[left] for v in part] for part in parts]
    result = finish(game, values[:, :d], errors[:, :d], base=bases, full=fulls, tolerance=tolerance)
    return replace(result, values=values, std_error=errors)
