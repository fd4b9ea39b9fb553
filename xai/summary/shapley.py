"""Shapley values: enumerated, or estimated by antithetic permutation walks."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game
from xai.suggest import unknown
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    all_coalitions,
    enumerates,
    enumeration_cost,
    enumeration_needs,
    exact,
    finish,
    needs,
)
from xai.summary.walks import Walks, pair_cost

ESTIMATORS = ("auto", "exact", "permutation")


@dataclass(frozen=True)
class Shapley(Summary):
    """A player's mean contribution over all orders in which players may join.

    ``phi_i = Σ_{S ∌ i} |S|! (d − |S| − 1)! / d! · (v(S ∪ i) − v(S))``

    Parameters
    ----------
    estimator : {"auto", "exact", "permutation"}
        "auto" takes a closed form where the model has one (tree ensembles, linear models), else
        enumerates where that fits the budget, else walks; "exact" enumerates where there is no
        closed form, and raises the default budget to what that needs; "permutation" walks unless
        enumeration fits the budget.
    samples : int, optional
        Number of antithetic pairs of walks.

    Notes
    -----
    Shapley (1953); Castro, Gómez & Tejada (2009) for the walks. Each walk and its reverse
    (Mitchell et al. 2022) are made on a draw of their own; two such pairs in a row share the draw,
    so that the error within draws can be told from the spread between them. The known mean of
    v(N) − v(∅) over all draws is a control variate: regressed out, it makes values efficient to
    float precision, and dummies keep 0.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 0] * 2.0 + S[:, 1], n_players=2)
    >>> Shapley()(game).values
    array([2., 1.])
    """

    estimator: Literal["auto", "exact", "permutation"] = "auto"
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = Budget(rows=8192, per_player=32)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """A closed form where there is one; enumerate where that fits, else walk."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(unknown("estimator", self.estimator, ESTIMATORS))
        known = None if self.estimator == "permutation" else _known(game, plan)
        if known is not None:
            return known
        weights, unit = shapley_weights(game.n_players), pair_cost(game)
        if self.estimator == "exact":
            enumeration_needs("Shapley(estimator='exact')", game, self.samples, plan)
            return enumerated(game, weights, plan.tolerance)
        if enumerates(game, plan.room(game, self.samples, unit)):
            return enumerated(game, weights, plan.tolerance)
        what = "one antithetic pair of permutation walks"
        pairs = plan.count(what, game, samples=self.samples, unit=unit)
        return Walks(game, pairs, plan).run()


def _known(game: Game, plan: Plan) -> Attribution | None:
    """Values in closed form, for the cost of the game's ends; None where none holds."""
    form = game.closed_form()
    if form is None:
        return None
    needs(f"the closed form for {form.kind}", game.ends_cost, plan.budget)
    if game.progress is not None:
        game.progress.expect(game.n_rows * game.ends_cost)
    values = form.values()
    if values is None:
        return None
    base, full = game.ends(np.arange(game.n_rows))
    ran = f"closed form for {form.kind}"
    return finish(game, values, None, base=base, full=full, tolerance=plan.tolerance, ran=ran)


def shapley_weights(d: int) -> NDArray[np.float64]:
    """Weight of a contribution to a coalition of each size 0..d-1."""
    sizes = [factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)]
    return np.array(sizes)


def enumerated(game: Game, weights: NDArray[np.float64], tolerance: float | None) -> Attribution:
    """A semivalue from the values of all coalitions.

    Parameters
    ----------
    weights : (d,)
        Weight of v(S ∪ i) − v(S) by the size of S.
    """
    d = game.n_players
    coalitions = all_coalitions(d)
    weight = np.append(weights, 0.0)[coalitions.sum(axis=1)]

    def linear(v: Floats) -> Floats:
        parts = []
        for i in range(d):  # bit i of a coalition's place is player i: an axis of its own
            v_i = v.reshape(*v.shape[:-2], -1, 2, 2**i, v.shape[-1])
            gain = v_i[..., 1, :, :] - v_i[..., 0, :, :]
            parts.append(np.einsum("...abk,ab->...k", gain, weight.reshape(-1, 2, 2**i)[:, 0]))
        return np.stack(parts, axis=-2)

    if game.progress is not None:
        game.progress.expect(game.n_rows * enumeration_cost(game))
    base, full = game.ends(np.arange(game.n_rows))
    values, errors = exact(game, coalitions, linear)
    return finish(
        game, values, errors, base=base, full=full, tolerance=tolerance, ran="enumeration"
    )
