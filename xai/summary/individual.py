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
        return _one_by_one(self, game, plan, kept=True)


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
        gains = _one_by_one(self, game, plan, kept=False)
        if not self.softmax:
            return gains
        return replace(gains, values=softmax(gains.values, axis=1))


def _one_by_one(summary: Summary, game: Game, plan: Plan, *, kept: bool) -> Attribution:
    """v(N) − v(N∖i) where all are `kept` but one, else v(i) − v(∅)."""
    d = game.n_players
    if not game.sampled_draws:
        nulls = game.null_players()
        others = np.ones((game.n_rows, d), bool) if nulls is None else ~nulls
        return _of_changed(summary, game, others, plan, kept=kept)
    cost = 0 if d == 1 else d * game.value_cost  # one player: both are ends of the game
    cost += 0 if kept and d > 1 else empty_again(game)
    needs(type(summary).__name__, cost + game.ends_cost, plan.budget)
    game.progress.expect(game.n_rows * cost)
    coalitions = np.full((1 + d, d), kept)
    coalitions[1:] ^= np.eye(d, dtype=bool)

    def linear(v: Floats) -> Floats:
        first, others = v[..., :1, :], v[..., 1:, :]
        return first - others if kept else others - first

    base, full = game.ends(np.arange(game.n_rows))
    values, errors = exact(game, coalitions, linear, plan)
    return finish(game, values, errors, base=base, full=full, tolerance=plan.tolerance)


def _of_changed(
    summary: Summary, game: Game, others: Coalitions, plan: Plan, *, kept: bool
) -> Attribution:
    """The same of those players (n, d) that some draw changes, all rows' in one stream; else 0."""
    rows, players = np.nonzero(others)
    if game.n_players == 1:  # nothing to ask for: both are ends of the game
        rows, players = rows[:0], players[:0]
    most = int(np.bincount(rows, minlength=1).max())
    needs(type(summary).__name__, most * game.value_cost + game.ends_cost, plan.budget)
    game.progress.expect(len(rows) * game.value_cost)
    base, full = game.ends(np.arange(game.n_rows))
    values = np.where(others[..., None], (full - base)[:, None], 0.0)
    for start in range(0, len(rows), game.room):
        row, player = (each[start : start + game.room] for each in (rows, players))
        coalitions = np.full((len(row), game.n_players), kept)
        coalitions[np.arange(len(row)), player] = not kept
        v = game.value(row, coalitions)
        values[row, player] = full[row] - v if kept else v - base[row]
    return finish(game, values, None, base=base, full=full, tolerance=plan.tolerance)
