"""Semivalues from the values of all coalitions."""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game
from xai.summary.base import Attribution, all_coalitions, enumeration_cost, exact, finish


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

    game.progress.expect(game.n_rows * enumeration_cost(game))
    base, full = game.ends(np.arange(game.n_rows))
    values, errors = exact(game, coalitions, linear)
    return finish(
        game, values, errors, base=base, full=full, tolerance=tolerance, ran="enumeration"
    )
