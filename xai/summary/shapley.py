"""Shapley values: in closed form, enumerated, or estimated by walks or regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from xai.game import Game
from xai.inputs import is_whole
from xai.summary.base import (
    SAMPLED,
    Attribution,
    Budget,
    Plan,
    Summary,
    check_word,
    enumerates,
    enumeration_needs,
    spreads,
)
from xai.summary.closed import of_orders, solved
from xai.summary.enumeration import enumerated, shapley_weights
from xai.summary.interactions import Interactions
from xai.summary.kernel import ShapleyKernel
from xai.summary.nulls import without_nulls
from xai.summary.walks import Walks, pair_cost

Estimator: TypeAlias = "Literal['auto', 'exact', 'permutation', 'kernel', 'leverage', 'gp']"
ESTIMATORS = ("auto", "exact", "permutation", "kernel", "leverage", "gp")
INDICES = ("k-SII", "SII")
MANY_PLAYERS = 1024
"""From so many players "auto" walks: a regression costs the square of their number a pair."""
MANY_OUTPUTS = 100
"""Beyond so many outputs "auto" regresses: a process takes a twentieth of a second for each."""


@dataclass(frozen=True)
class Shapley(Summary):
    """A player's mean contribution over all orders in which players may join.

    ``phi_i = Σ_{S ∌ i} |S|! (d − |S| − 1)! / d! · (v(S ∪ i) − v(S))``

    Parameters
    ----------
    estimator : {"auto", "exact", "permutation", "kernel", "leverage", "gp"}
        "auto" and "exact" take a closed form where the model has one. All enumerate where that
        fits the budget ("exact" raises the default budget to what it needs). Otherwise

        - "permutation": antithetic pairs of walks, each on its own draw;
        - "kernel": regression on pairs of coalitions by Shapley's kernel, each on its own draw;
        - "leverage": the same with all sizes of coalitions equally often;
        - "gp": each coalition's mean over all draws; a Gaussian process over coalitions is fitted
          to pairs, and regression explains what it leaves;
        - "auto": "gp" where the budget holds 3 d pairs of coalitions and as many as players times
          draws (a baseline, a set function, a loss, few background rows), of more than 100 outputs
          its regression alone, else "permutation";
          `benchmarks/README.md` has the evidence.
    samples : int, optional
        Number of antithetic pairs of walks ("auto", "permutation"), or of coalitions.
    size : int
        Most pairs that a Gaussian process is fitted to; time grows with its cube.
    order : {1, 2}
        2: interactions of two players, too; see `Interactions`, whose `samples` are then meant.
    index : {"k-SII", "SII"}
        What the interactions hold.

    Raises
    ------
    ValueError
        An unknown `estimator` or `index`, `size` not positive, or an option that has no
        effect with the others.

    Notes
    -----
    Shapley (1953); Castro, Gómez & Tejada (2009) and Mitchell et al. (2022) for walks; Lundberg &
    Lee (2017), Covert & Lee (2021) and Musco & Witter (2025) for regressions. All are efficient to
    float precision; walks leave dummies at 0, and so does everything for players that equal
    their replacement at every draw: they are left out of the game.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 0] * 2.0 + S[:, 1], n_players=2)
    >>> Shapley()(game).values
    array([2., 1.])
    """

    estimator: Estimator = "auto"
    samples: int | None = None
    size: int = 1024
    order: Literal[1, 2] = 1
    index: Literal["k-SII", "SII"] = "k-SII"
    default_budget: ClassVar[Budget | str] = SAMPLED

    @property
    def averages(self) -> bool:
        """Where a Gaussian process is asked for."""
        return self.estimator == "gp"

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """A closed form where there is one; enumerate where that fits, else estimate."""
        if self.order != 1:
            estimator: Any = self.estimator  # one of theirs, as `check` has seen to
            return Interactions(self.index, self.samples, estimator).attribute(game, plan)
        known = solved(game, plan, of_orders) if self.estimator in ("auto", "exact") else []
        if known and len(known[0][0]) == game.n_rows:
            return known[0][2]
        return without_nulls(game, lambda part: self._estimate(part, plan), plan, known)

    def check(self) -> None:
        """Refuse unknown estimators, orders and indices, and settings without an effect."""
        if self.order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, not {self.order!r}")
        check_word("index", self.index, INDICES)
        check_word("estimator", self.estimator, ESTIMATORS)
        if not is_whole(self.size) or self.size < 1:
            raise ValueError(f"size={self.size!r}: a Gaussian process needs a positive integer")
        used = self.order == 1 and self.estimator in ("auto", "gp")
        if self.size != type(self).size and not used:
            raise ValueError(
                f"size={self.size} has no effect: only estimator='gp' (and 'auto') with order=1 "
                "fits a Gaussian process"
            )
        if self.order != 1 and self.estimator in ("kernel", "leverage", "gp"):
            raise ValueError(
                f"estimator={self.estimator!r} knows no interactions: with order=2 use 'auto', "
                "'permutation' or 'exact'"
            )
        if self.order == 1 and self.index != "k-SII":
            raise ValueError(f"index={self.index!r} has no effect: order=1 has no interactions")

    def _estimate(self, game: Game, plan: Plan) -> Attribution:
        if self.estimator == "exact":
            enumeration_needs("Shapley(estimator='exact')", game, self.samples, plan)
            return enumerated(game, shapley_weights(game.n_players), plan.tolerance)
        if self._averages(game, plan):
            # of a jackknife's outputs each would have its process, and most of the error is draws'
            many = bool(game.groups) or game.n_outputs > MANY_OUTPUTS
            size = 0 if many and self.estimator == "auto" else self.size
            return ShapleyKernel(game, self.samples, plan, leverage=True, process=size).run()
        if self.estimator in ("kernel", "leverage") and game.n_players > 1:
            leverage = self.estimator == "leverage"
            return ShapleyKernel(game, self.samples, plan, leverage=leverage).run()
        if enumerates(game, plan.room(game, self.samples, pair_cost(game))):
            return enumerated(game, shapley_weights(game.n_players), plan.tolerance)
        what = "one antithetic pair of permutation walks"
        pairs = plan.count(what, game, samples=self.samples, unit=pair_cost(game))
        return Walks(game, pairs, plan).run()

    def _averages(self, game: Game, plan: Plan) -> bool:
        """Whether a Gaussian process is fitted to means over draws."""
        if self.estimator != "auto":
            return self.estimator == "gp" and game.n_players > 1
        if self.samples is not None or game.n_players > MANY_PLAYERS:  # samples are of walks here
            return False
        if spreads(game) and game.sampled_draws:
            return False
        room = plan.room(game, None, pair_cost(game)) - game.ends_cost
        draws = game.n_draws if spreads(game) else 1
        least = max(16, game.n_players * max(3, draws))
        return room // (2 * game.value_cost) >= least
