"""Sampled coalitions: their values, each on a draw of its own, and what is estimated from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices
from xai.summary.base import (
    Ends,
    Looks,
    Plan,
    enumerates,
    grid_in_parts,
    jackknife,
    shares_rows,
    stops,
    unit_cost,
)

Estimator: TypeAlias = Callable[[Coalitions, Floats], tuple[Floats, Floats]]
"""(coalitions (C, d), values (R, C, k)) -> estimates and errors, (R, q, k) each."""


def sample_count(
    what: str, game: Game, plan: Plan, samples: int | None, *, per_sample: int, least: int = 1
) -> int | None:
    """Number of samples, or None where all coalitions fit the budget."""
    unit = per_sample * unit_cost(game)
    if enumerates(game, plan.room(game, samples, unit)):
        return None
    return plan.count(what, game, samples=samples, unit=unit, least=least)


def own_draws(game: Game, seed: int, samples: Indices) -> Indices | None:
    """An independent draw for each sample; None where values are means over all draws."""
    if not game.commutes:
        return None
    if game.endless:
        return samples
    return streams.integers(seed, streams.DRAW, samples, 1, game.n_draws)[:, 0]


def sampled(
    game: Game,
    S: Coalitions,
    plan: Plan,
    estimate: Estimator,
    *,
    paired: bool,
    spread: bool = True,
    width: int | None = None,
) -> tuple[Floats, Floats, Ends]:
    """Estimates and errors (n, q, k) from coalitions S (C, d), and the ends.

    Rows that meet the tolerance stop.

    Parameters
    ----------
    paired : whether complements are evaluated, too; their values stand behind the others
    spread : whether each sample has a draw of its own, where values commute, or all of them
    width : how many numbers are estimated, q, those of the players first; d where None
    """
    (count, d), n, k, tolerance = S.shape, game.n_rows, game.n_outputs, plan.tolerance
    values, errors = np.empty((2, n, width or d, k))
    draws = own_draws(game, plan.seed, np.arange(count)) if spread else None
    checks = stops(count, tolerance, first=64)
    unit = 1 if spread else game.value_cost
    game.progress.expect(n * count * (1 + paired) * unit)
    ends = game.ends(np.arange(n))
    for rows, _ in game.blocks(count * (1 + paired)):
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
    return values, errors, ends


def _over_rows(game: Game, estimate: Estimator, S: Coalitions, v: Floats, draws: Indices) -> Floats:
    """Errors where samples share the rows of a data set, by what each group of these changes."""

    def of_some(kept: NDArray[np.bool_]) -> Floats:
        some = kept[draws]
        return estimate(S[some], v[:, np.resize(some, v.shape[1])])[0]

    return jackknife(game, draws, of_some)
