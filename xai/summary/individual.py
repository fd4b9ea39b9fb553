"""One player at a time: remove it alone, or include it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from xai.game import Coalitions, Floats, Game, Indices
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
    if not game.sampled_draws:
        nulls = game.null_players()
        return (
            _of_all(summary, game, plan, kept=kept) if nulls is None
            else _of_changed(summary, game, ~nulls, plan, kept=kept)
        )  # fmt: skip
    d = game.n_players
    cost = 0 if d == 1 else d * game.value_cost  # one player: both are ends of the game
    cost += 0 if kept and d > 1 else empty_again(game)
    needs(type(summary).__name__, cost + game.ends_cost, plan.budget)
    game.progress.expect(game.n_rows * cost)
    first = np.full((1, d), kept)
    coalitions = np.concatenate([first, _but_one(np.arange(d), d, kept=kept)])

    def linear(v: Floats) -> Floats:
        first, others = v[..., :1, :], v[..., 1:, :]
        return first - others if kept else others - first

    return finish(game, *exact(game, coalitions, linear, plan), tolerance=plan.tolerance)


def _but_one(players: Indices, d: int, *, kept: bool) -> Coalitions:
    """Coalitions (p, d) that keep all players, or none, but for one each."""
    coalitions = np.full((len(players), d), kept)
    coalitions[np.arange(len(players)), players] = not kept
    return coalitions


def _of_all(summary: Summary, game: Game, plan: Plan, *, kept: bool) -> Attribution:
    """The same of every player, of which as many are asked for at a time as fit memory."""
    d = game.n_players
    asked = d if d > 1 else 0  # one player: both are ends of the game
    needs(type(summary).__name__, asked * game.value_cost + game.ends_cost, plan.budget)
    base, full = game.ends(np.arange(game.n_rows))
    values = np.repeat((full - base)[:, None], d, axis=1)
    for rows, part in game.pieces(asked) if asked else ():
        v = game.grid(rows, _but_one(np.arange(d)[part], d, kept=kept), None)
        values[rows, part] = full[rows, None] - v if kept else v - base[rows, None]
    return finish(game, values, None, (base, full), tolerance=plan.tolerance)


def _of_changed(
    summary: Summary, game: Game, others: Coalitions, plan: Plan, *, kept: bool
) -> Attribution:
    """The same of those players (n, d) that some draw changes, all rows' in one stream; else 0."""
    rows, players = np.nonzero(others)
    most = int(np.bincount(rows, minlength=1).max())
    needs(type(summary).__name__, most * game.value_cost + game.ends_cost, plan.budget)
    game.progress.expect(len(rows) * game.value_cost)
    base, full = game.ends(np.arange(game.n_rows))
    values = np.zeros((*others.shape, game.n_outputs))
    for start in range(0, len(rows), game.room):
        row, player = (each[start : start + game.room] for each in (rows, players))
        v = game.value(row, _but_one(player, game.n_players, kept=kept))
        values[row, player] = full[row] - v if kept else v - base[row]
    return finish(game, values, None, (base, full), tolerance=plan.tolerance)
