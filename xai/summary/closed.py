"""Semivalues in closed form, of the rows of which the model's structure has one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game, Masses
from xai.summary.base import Plan, finish, needs
from xai.summary.nulls import Solved
from xai.summary.pairs import log_choose


def of_orders(d: int) -> NDArray[np.float64]:
    """Shapley's masses: each size alike."""
    return np.full(d, 1 / d)


def of_coins(d: int) -> NDArray[np.float64]:
    """Banzhaf's masses: each other player a coin toss."""
    return np.asarray(np.exp(log_choose(d - 1, np.arange(d)) - (d - 1) * np.log(2)))


def solved(game: Game, plan: Plan, masses: Masses, order: int = 1) -> list[Solved]:
    """The rows whose closed form holds, for the cost of the game's ends: one part, or none.

    For order 2 its `interactions` are I_ij, and 0 at (i, i).
    """
    form = game.closed_form()
    if form is None:
        return []
    needs(f"the closed form for {form.kind}", game.ends_cost, plan.budget)
    game.progress.expect(game.n_rows * game.ends_cost)
    rows, values, inter = form.values(masses, order)
    if len(rows) == 0:
        return []
    base, full = game.ends(rows)
    if masses is of_orders:
        values = _efficient(values, full - base)
    ran = f"closed form for {form.kind}"
    found = finish(game, values, None, (base, full), tolerance=plan.tolerance, ran=ran)
    return [(rows, np.arange(game.n_players), replace(found, interactions=inter))]


def _efficient(phi: Floats, total: Floats) -> Floats:
    """Values that sum up to float precision: what rounding left, by size; a 0 stays 0."""
    size, gap = np.abs(phi), total - phi.sum(axis=1)
    whole = size.sum(axis=1, keepdims=True)
    share = size / np.where(whole > 0, whole, 1.0)
    return np.asarray(phi + share * gap[:, None])
