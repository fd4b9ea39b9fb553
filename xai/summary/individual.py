"""One player at a time: remove it alone, or include it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from xai.game import Coalitions, Floats, Game
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    empty_again,
    exact,
    finish,
    needs,
)


@dataclass(frozen=True)
class RemoveIndividual(Summary):
    """What is lost when one player is removed from all: ``phi_i = v(N) − v(N∖i)``.

    Notes
    -----
    Occlusion (Zeiler & Fergus 2014); the permutation test, over a data set (Breiman 2001).

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=2)
    >>> RemoveIndividual()(game).values
    array([1., 1.])
    """

    default_budget: ClassVar[Budget | str] = "dm + m + 1"

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Values of all players but one, and of all."""
        without = np.concatenate(
            [np.ones((1, game.n_players), bool), ~np.eye(game.n_players, dtype=bool)]
        )
        return _one_by_one(self, game, without, plan, sign=-1)


@dataclass(frozen=True)
class IncludeIndividual(Summary):
    """What is gained when one player is included alone: ``phi_i = v({i}) − v(∅)``.

    Parameters
    ----------
    softmax : bool
        Report shares that sum to 1, ``exp phi_i / Σ_j exp phi_j``, as Score-CAM weighs channels.

    References
    ----------
    Covert, Lundberg & Lee 2021, Explaining by removing, section 6; Wang et al. 2020, Score-CAM.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.any(axis=1) * 1.0, n_players=2)
    >>> IncludeIndividual()(game).values
    array([1., 1.])
    """

    softmax: bool = False
    default_budget: ClassVar[Budget | str] = "dm + m + 1"

    @property
    def averages(self) -> bool:
        """Where shares are taken, which are not linear."""
        return self.softmax

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Values of one player, and of none."""
        alone = np.concatenate(
            [np.zeros((1, game.n_players), bool), np.eye(game.n_players, dtype=bool)]
        )
        gains = _one_by_one(self, game, alone, plan, sign=1)
        if not self.softmax:
            return gains
        return replace(gains, values=softmax(gains.values, axis=1))


def _one_by_one(
    summary: Summary,
    game: Game,
    coalitions: Coalitions,
    plan: Plan,
    *,
    sign: int,
) -> Attribution:
    """±(v(S_i) − v(S_0)) for the first coalition S_0 and the others S_i."""
    changed = 0 if game.n_players == 1 else game.n_players  # one player: both are ends of the game
    cost = changed * game.value_cost
    cost += 0 if coalitions.any(axis=1).all() else empty_again(game)
    needs(type(summary).__name__, cost + game.ends_cost, plan.budget)
    game.progress.expect(game.n_rows * cost)

    def linear(v: Floats) -> Floats:
        return sign * (v[..., 1:, :] - v[..., :1, :])

    base, full = game.ends(np.arange(game.n_rows))
    values, errors = exact(game, coalitions, linear, plan)
    return finish(game, values, errors, base=base, full=full, tolerance=plan.tolerance)
