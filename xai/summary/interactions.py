"""Interactions of two players: Shapley's and Banzhaf's index, enumerated or sampled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Coalitions, Floats, Game
from xai.summary.base import (
    PAIR_ERRORS,
    SAMPLED,
    Attribution,
    Budget,
    Ends,
    Plan,
    Summary,
    all_coalitions,
    check_word,
    enumerates,
    enumeration_cost,
    enumeration_needs,
    exact,
    finish,
    spreads,
    unit_cost,
)
from xai.summary.closed import of_coins, of_orders, solved
from xai.summary.enumeration import shapley_weights
from xai.summary.nulls import without_nulls
from xai.summary.pairs import (
    REGRESSION,
    by_pairs,
    from_pairs,
    regress,
    semivalues,
    shapley_interactions,
    sign_products,
)
from xai.summary.samples import sample_count, sampled
from xai.summary.stars import Stars, by_single_stars, star_cost
from xai.summary.walks import Walks, pair_cost

INDICES = ("k-SII", "SII", "Banzhaf")
TOLD = 13
"""From so many pairs of walks on one draw, what hangs on positions alone is no error of values."""
ESTIMATORS = ("auto", "exact", "permutation")


@dataclass(frozen=True)
class Interactions(Summary):
    """How much two players are worth together beyond what each is worth without the other.

    ``I_ij = Σ_{S ∌ i,j} p_|S| (v(S ∪ ij) − v(S ∪ i) − v(S ∪ j) + v(S))``, with Shapley's weights
    ``p_s = s! (d − s − 2)! / (d − 1)!`` or Banzhaf's ``p_s = 2^{-(d−2)}``

    Parameters
    ----------
    index : {"k-SII", "SII", "Banzhaf"}
        What `interactions` holds.

        ========= ============================== ==============================
        index     at (i, j) and (j, i)           at (i, i)
        ========= ============================== ==============================
        "k-SII"   I_ij / 2                       phi_i − Σ_j I_ij / 2
        "SII"     I_ij                           phi_i, the Shapley value
        "Banzhaf" I_ij                           phi_i, the Banzhaf value
        ========= ============================== ==============================

        "k-SII" is laid out as shap's ``shap_interaction_values``: rows sum to the Shapley values,
        and everything to v(N) − v(∅).
    samples : int, optional
        How many stars meet each pair of players; for Banzhaf's index the number of pairs of
        coalitions that would cost as much. The default budget pays for one star at least.
    estimator : {"auto", "exact", "permutation"}
        "auto" and "exact" take a closed form where the model has one. All enumerate where that
        fits the budget ("exact" raises the default budget to what it needs). Otherwise
        "permutation" samples by walks and stars, and "auto" regresses where that is better, see
        below.

    Raises
    ------
    ValueError
        An unknown `estimator` or `index`.

    Notes
    -----
    Grabisch & Roubens (1999) for the indices; Bordt & von Luxburg (2023) for k-SII. `values` are
    the Shapley (Banzhaf) values, from the same evaluations.

    Sampled, by stars: v at a random coalition, and with each one and each two players changed, on
    one draw, is a second difference of every pair. Where the sizes of coalitions are drawn by the
    index's own semivalue for d + 1 players, its mean is I_ij. A fifth of the budget goes to values:
    walks, or for Banzhaf's stars of single players.

    Where each coalition has one value to know (a baseline, a loss), and their number is twice that
    of the pairs of players, coalitions and their complements are drawn by size instead, and their
    values regressed on players and on pairs of them. The error is a fraction of the stars'; but
    what has no effect, 0 in the stars, is only near 0.

    ``info["interactions_std_error"]`` holds the errors of I_ij as laid out; NaN where unknown,
    on the diagonal of "k-SII" too. There is none where the answer is exact. A tolerance is one of
    the values and of I_ij, as a fraction of the range of the values.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: 6.0 * S[:, 0] * S[:, 1], n_players=2)
    >>> Interactions("SII")(game).interactions
    array([[3., 6.],
           [6., 3.]])
    >>> Interactions("k-SII")(game).interactions
    array([[0., 3.],
           [3., 0.]])
    """

    index: Literal["k-SII", "SII", "Banzhaf"] = "k-SII"
    samples: int | None = None
    estimator: Literal["auto", "exact", "permutation"] = "auto"
    default_budget: ClassVar[Budget | str] = SAMPLED

    def check(self) -> None:
        """Refuse unknown estimators and indices."""
        check_word("estimator", self.estimator, ESTIMATORS)
        check_word("index", self.index, INDICES)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """A closed form where there is one; enumerate where that fits, else sample."""
        known = []
        if self.estimator != "permutation":
            masses = of_coins if self.index == "Banzhaf" else of_orders
            for rows, players, found in solved(game, plan, masses, order=2):
                assert found.interactions is not None
                found = _with_pairs(found, found.interactions, None, self.index)
                known.append((rows, players, found))
        return without_nulls(game, lambda part: self._estimate(part, plan), plan, known, order=2)

    def _estimate(self, game: Game, plan: Plan) -> Attribution:
        if self.estimator == "exact":
            enumeration_needs("estimator='exact'", game, self.samples, plan)
            plan = replace(plan, budget=enumeration_cost(game))
        return (self._of_coins if self.index == "Banzhaf" else self._of_orders)(game, plan)

    def _of_orders(self, game: Game, plan: Plan) -> Attribution:
        """Shapley's: regressed on pairs where coalitions have one value, else by stars."""
        d, star, pair = game.n_players, star_cost(game, 2), pair_cost(game)
        each = 1 if self.samples is None else -(-star // (4 * pair))  # pairs of walks, a star
        unit = star + each * pair
        if enumerates(game, plan.room(game, self.samples, unit)):
            return _enumerated(
                game, shapley_weights(d), pair_weights(d), plan.tolerance, self.index
            )
        what = "interactions (each pair of players met once)"
        stars = plan.count(what, game, samples=self.samples, unit=unit)
        # of very many players a star costs more than the default budget
        room = max(unit, plan.room(game, self.samples, unit) - game.ends_cost)
        coalitions = room // (2 * game.value_cost)
        if self.estimator == "auto" and not spreads(game) and 2 * (comb(d, 2) + 1) < coalitions:
            return _by_pairs(game, plan, coalitions, self.index)
        if self.samples is None:  # a fifth for values, and few pairs whatever they cost
            few = 0 if spreads(game) else min(TOLD * pair, room - 2 * star)
            values = max(room // 5, few)
            stars = max(1, (room - values) // star)
        walks = stars * each if self.samples else (room - stars * star) // pair
        own = Walks(game, walks, plan).run()
        return _by_stars(game, plan, own, Stars(game, stars, of_orders, plan, 2), self.index)

    def _of_coins(self, game: Game, plan: Plan) -> Attribution:
        """Banzhaf's: regressed on pairs; where these differ in draws, by stars."""
        d, single, star = game.n_players, star_cost(game, 1), star_cost(game, 2)
        pairs = sample_count("one pair of coalitions", game, plan, self.samples, per_sample=2)
        if pairs is None:
            own, both = np.full(d, 0.5 ** (d - 1)), np.full(max(d - 1, 0), 0.5 ** max(d - 2, 0))
            return _enumerated(game, own, both, plan.tolerance, "Banzhaf")
        room = 2 * pairs * unit_cost(game)
        stars = 4 * room // (5 * star)
        if stars < 2 or not spreads(game):
            return _banzhaf(game, plan, pairs)
        values = by_single_stars(game, plan, (room - stars * star) // single)
        return _by_stars(game, plan, values, Stars(game, stars, of_coins, plan, 2), "Banzhaf")


def pair_weights(d: int) -> NDArray[np.float64]:
    """Shapley's weight of a second difference by the size of S, 0..d-2."""
    return np.array([1 / ((d - 1) * comb(d - 2, s)) for s in range(d - 1)])


def _enumerated(
    game: Game,
    weights: NDArray[np.float64],
    of_pairs: NDArray[np.float64],
    tolerance: float | None,
    index: str,
) -> Attribution:
    """Values and interactions from the values of all coalitions.

    Parameters
    ----------
    weights : (d,), of v(S ∪ i) − v(S) by the size of S
    of_pairs : (d-1,), of the second differences
    """
    d = game.n_players
    coalitions = all_coalitions(d)
    subsets, sizes = np.arange(2**d), coalitions.sum(axis=1)

    def linear(v: Floats) -> Floats:
        parts = []
        for i in range(d):
            S = subsets[~coalitions[:, i]]
            gains = v[..., S | 1 << i, :] - v[..., S, :]
            parts.append(np.einsum("...ck,c->...k", gains, weights[sizes[S]]))
        for i, j in combinations(range(d), 2):
            S = subsets[~coalitions[:, i] & ~coalitions[:, j]]
            both = v[..., S | 1 << i | 1 << j, :] - v[..., S | 1 << j, :]
            gains = both - (v[..., S | 1 << i, :] - v[..., S, :])
            parts.append(np.einsum("...ck,c->...k", gains, of_pairs[sizes[S]]))
        return np.stack(parts, axis=-2)

    game.progress.expect(game.n_rows * enumeration_cost(game))
    found = exact(game, coalitions, linear)
    return _parted(game, *found, tolerance=tolerance, index=index, ran="enumeration")


def _parted(
    game: Game,
    both: Floats,
    errors: Floats | None,
    ends: Ends,
    *,
    tolerance: float | None,
    index: str,
    ran: str,
) -> Attribution:
    """What was found of players and of pairs, side by side: (n, d + d(d-1)/2, k)."""
    d = game.n_players
    own, of_pairs = (None, None) if errors is None else (errors[:, :d], errors[:, d:])
    result = finish(game, both[:, :d], own, ends, tolerance=tolerance, ran=ran)
    spread = None if of_pairs is None else _from_triangle(of_pairs, d)
    return _with_pairs(result, _from_triangle(both[:, d:], d), spread, index)


def _from_triangle(pairs: Floats, d: int) -> Floats:
    """From i < j in their order, (n, d(d-1)/2, k), to symmetric (n, d, d, k) with 0 at (i, i)."""
    out = np.zeros((len(pairs), d, d, pairs.shape[-1]))
    i, j = np.triu_indices(d, 1)
    out[:, i, j] = out[:, j, i] = pairs
    return out


def _with_pairs(
    result: Attribution, pairs: Floats, errors: Floats | None, index: str
) -> Attribution:
    """A result with its interactions, laid out as `index` asks, from I_ij and errors of these.

    Parameters
    ----------
    pairs, errors : (n, d, d, k)
    """
    every, shared = np.arange(pairs.shape[1]), index == "k-SII"

    def laid_out(own: Floats, pairs: Floats) -> Floats:
        out = pairs / 2 if shared else pairs.copy()
        out[:, every, every] = own
        return out

    own, spread, info = result.values, result.std_error, {}
    if errors is not None and spread is not None:
        info[PAIR_ERRORS] = laid_out(np.full_like(spread, np.nan) if shared else spread, errors)
    own = own - pairs.sum(axis=2) / 2 if shared else own
    return replace(result, interactions=laid_out(own, pairs), info=info)


# ---------------------------------------------------------------------------------------------
# From pairs of a coalition and its complement


def _banzhaf(game: Game, plan: Plan, count: int) -> Attribution:
    """Banzhaf values and interactions: from one pair of coalitions, its odd and its even part.

    With signs z for coalitions, a player's value is twice the mean of v(S) z_i, the interaction of
    two is four times that of v(S) z_i z_j.
    """
    d = game.n_players

    def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
        one, other = np.split(v, 2, axis=1)
        even = 2 * (one + other)
        odd = from_pairs(S, v)
        pairs = regress(S, even - even.mean(axis=1, keepdims=True), sign_products)
        values, errors = (
            np.concatenate([a, b[:, 1:]], axis=1) for a, b in zip(odd, pairs, strict=True)
        )
        return values, errors

    S, width = streams.kept(plan.seed, np.arange(count), d, 0.5), d + comb(d, 2)
    found = sampled(game, S, plan, estimate, paired=True, width=width)
    return _parted(game, *found, tolerance=plan.tolerance, index="Banzhaf", ran=REGRESSION)


def _by_stars(game: Game, plan: Plan, own: Attribution, stars: Stars, index: str) -> Attribution:
    """The values that are known, with interactions from stars."""
    pairs, errors = stars.run(own.values)
    met = own.converged
    if met is not None and plan.tolerance is not None:
        span = np.ptp(own.values, axis=1)
        met = met & (errors.max(axis=1) <= plan.tolerance * span).all(axis=-1)
    ends, ran = (own.base_value, own.prediction), " and ".join(dict.fromkeys([own.ran, "stars"]))
    result = finish(
        game, own.values, own.std_error, ends, tolerance=plan.tolerance, converged=met, ran=ran
    )
    d = game.n_players
    return _with_pairs(result, _from_triangle(pairs, d), _from_triangle(errors, d), index)


def _by_pairs(game: Game, plan: Plan, count: int, index: str) -> Attribution:
    """Shapley values and interactions regressed on pairs of coalitions."""
    d = game.n_players
    targets = [semivalues(np.full(d, 1 / d)), shapley_interactions(d)]
    found = by_pairs(game, plan, targets, count)
    return _parted(game, *found, tolerance=plan.tolerance, index=index, ran=REGRESSION)
