"""Players that no draw changes: they get exactly 0, and the others share a smaller game."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game, Indices, Masks, as_coalitions
from xai.summary.base import PAIR_ERRORS, Attribution, Plan, finish, needs


@dataclass(eq=False)
class SubGame(Game):
    """Some rows and players of a game; the other players change nothing.

    Parameters
    ----------
    inner : Game
    rows : (n,) int, players : (d,) int
    """

    inner: Game
    rows: Indices
    players: Indices

    def __post_init__(self) -> None:
        inner = self.inner
        self.n_rows, self.n_players = len(self.rows), len(self.players)
        self.n_outputs, self.n_draws = inner.n_outputs, inner.n_draws
        self.sampled_draws, self.endless = inner.sampled_draws, inner.endless
        self.commutes, self.groups, self.progress = inner.commutes, inner.groups, inner.progress
        self.rounding, self.shares_empty = inner.rounding, inner.shares_empty
        self.full_cost, self.value_cost = inner.full_cost, inner.value_cost
        self.sample_cost = inner.sample_cost
        self.player_names = [inner.player_names[i] for i in self.players]

    @property
    def evaluations(self) -> int:  # type: ignore[override] # a count that lives in the inner game
        """Model rows spent by the inner game."""
        return self.inner.evaluations

    def _whole(self, coalitions: Any) -> Masks:
        """Coalitions of all players: the others stay, unless nothing does."""
        some = as_coalitions(coalitions)
        out = np.empty((len(some), self.inner.n_players), some.dtype)
        out[:] = np.asarray(some.any(axis=1))[:, None]
        out[:, self.players] = some
        return out

    def grid(self, rows: Indices, coalitions: Masks, draws: Indices | None) -> Floats:
        """Values of rows × coalitions, (R, C, k)."""
        return self.inner.grid(self.rows[np.asarray(rows)], self._whole(coalitions), draws)

    def value(self, rows: Any, coalitions: Any) -> Floats:
        """Value of each pair, (B, k)."""
        return self.inner.value(self.rows[np.asarray(rows)], self._whole(coalitions))

    def sample(self, rows: Any, coalitions: Any, draws: Any) -> Floats:
        """The same at one draw each, (B, k)."""
        return self.inner.sample(self.rows[np.asarray(rows)], self._whole(coalitions), draws)

    @property
    def base_cost(self) -> int:
        """As the inner game's."""
        return self.inner.base_cost


Solved = tuple[Indices, Indices, Attribution]
"""Some rows and players of a game, and their attributions."""


def without_nulls(
    game: Game,
    attribute: Callable[[Game], Attribution],
    plan: Plan,
    known: Sequence[Solved] = (),
    order: int = 1,
) -> Attribution:
    """Attributions by `attribute`, of games that leave out each row's null players.

    For order 2 they have interactions. Rows are taken together where they have the same null
    players, so a row's answer does not depend on the others. Rows that are `known` are left as they
    are.
    """
    nulls = game.null_players()
    if nulls is None and not known:
        return attribute(game)
    if nulls is None:
        nulls = np.zeros((game.n_rows, game.n_players), bool)
    left = np.setdiff1d(np.arange(game.n_rows), [row for rows, *_ in known for row in rows])
    patterns, place = np.unique(nulls[left], axis=0, return_inverse=True)
    parts = list(known)
    # most players first: a budget too small for them is refused before anything is spent
    for at in np.argsort(patterns.sum(axis=1), kind="stable"):
        rows, players = left[place.ravel() == at], np.flatnonzero(~patterns[at])
        if len(players):
            parts.append((rows, players, attribute(SubGame(game, rows, players))))
        else:
            parts.append((rows, players, _nothing(game, rows, plan)))
    return _together(game, parts, order)


def _nothing(game: Game, rows: Indices, plan: Plan) -> Attribution:
    """Rows that equal the whole background: everybody gets 0."""
    needs("the value of nothing and of everything", game.ends_cost, plan.budget)
    base, full = game.ends(rows)
    values = np.zeros((len(rows), 0, game.n_outputs))
    met = None if plan.tolerance is None else np.ones(len(rows), bool)
    return Attribution(values, None, base, full, 0, met, ran="nothing changes")


def _together(game: Game, parts: list[Solved], order: int) -> Attribution:
    n, d, k = game.n_rows, game.n_players, game.n_outputs
    values, errors = np.zeros((n, d, k)), np.zeros((n, d, k))
    base, full = np.empty((n, k)), np.empty((n, k))
    exact, runs = np.empty(n, bool), np.empty(n, object)
    converged = None if parts[0][2].converged is None else np.empty(n, bool)
    each = (n, d, d, k) if order == 2 else (0,)
    interactions, pair_errors = np.zeros(each), np.zeros(each)
    told = sorted({key for *_, part in parts for key in part.info} - {PAIR_ERRORS})
    info: dict[str, NDArray[Any]] = {key: np.full((n, k), np.nan) for key in told}
    for rows, players, part in parts:
        values[np.ix_(rows, players)] = part.values
        if part.std_error is not None:
            errors[np.ix_(rows, players)] = part.std_error
        base[rows], full[rows] = part.base_value, part.prediction
        exact[rows], runs[rows] = part.by_row()
        for key in info.keys() & part.info.keys():
            info[key][rows] = part.info[key]
        if part.interactions is not None:
            places = np.ix_(rows, players, players)
            interactions[places] = part.interactions
            pair_errors[places] = part.info.get(PAIR_ERRORS, 0.0)
        if converged is not None and part.converged is not None:
            converged[rows] = part.converged
    std_error = None if exact.all() else errors
    ran = ", ".join(sorted(set(runs)))
    if order == 2 and std_error is not None:
        info[PAIR_ERRORS] = pair_errors
    whole = finish(game, values, std_error, (base, full), tolerance=None, ran=ran, info=info)
    return replace(
        whole,
        converged=converged,
        interactions=interactions if order == 2 else None,
        exact=exact,
        runs=runs.astype(str),
    )
