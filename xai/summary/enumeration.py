"""Semivalues from the values of all coalitions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations
from math import comb, factorial, inf

import numpy as np
from numpy.typing import NDArray

from xai.game import Coalitions, Floats, Game, Indices
from xai.known import keys_of
from xai.summary.base import (
    MOST_PLAYERS,
    Attribution,
    all_coalitions,
    empty_again,
    exact,
    finish,
)


def shapley_weights(d: int) -> NDArray[np.float64]:
    """Weight of a contribution to a coalition of each size 0..d-1."""
    sizes = [factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)]
    return np.array(sizes)


def cost_of_sizes(game: Game, counts: NDArray[np.bool_]) -> float:
    """Model rows per explained row of all coalitions that a semivalue asks for.

    Those are of the sizes that have a weight, `counts` (d,), with and without the player; infinite
    where they are too many.
    """
    d, inner = game.n_players, 0
    for size in sorted(_sizes(counts), key=lambda s: min(s, d - s)):  # the fewest first
        inner += comb(d, int(size)) if 0 < size < d else 0
        if inner > 2**MOST_PLAYERS:
            return inf
    return inner * game.value_cost + (empty_again(game) if counts[0] else 0) + game.ends_cost


def enumerated(game: Game, weights: NDArray[np.float64], tolerance: float | None) -> Attribution:
    """A semivalue from the values of all coalitions of the sizes that have a weight.

    Parameters
    ----------
    weights : (d,)
        Weight of v(S ∪ i) − v(S) by the size of S.
    """
    d, counts = game.n_players, weights > 0
    coalitions, linear = _of_all(d, weights) if counts.all() else _of_sizes(d, weights)
    game.progress.expect(int(game.n_rows * cost_of_sizes(game, counts)))
    return finish(game, *exact(game, coalitions, linear), tolerance=tolerance, ran="enumeration")


Linear = Callable[[Floats], Floats]
"""(…, C, k) -> (…, d, k)"""


def _of_all(d: int, weights: NDArray[np.float64]) -> tuple[Coalitions, Linear]:
    """Every coalition, and the semivalue of their values."""
    coalitions = all_coalitions(d)
    weight = np.append(weights, 0.0)[coalitions.sum(axis=1)]

    def linear(v: Floats) -> Floats:
        parts = []
        for i in range(d):  # bit i of a coalition's place is player i: an axis of its own
            v_i = v.reshape(*v.shape[:-2], -1, 2, 2**i, v.shape[-1])
            gain = v_i[..., 1, :, :] - v_i[..., 0, :, :]
            parts.append(np.einsum("...abk,ab->...k", gain, weight.reshape(-1, 2, 2**i)[:, 0]))
        return np.stack(parts, axis=-2)

    return coalitions, linear


def _of_sizes(d: int, weights: NDArray[np.float64]) -> tuple[Coalitions, Linear]:
    """The coalitions of the sizes that count, and the semivalue of their values."""
    coalitions = np.concatenate([of_size(d, s) for s in _sizes(weights > 0)])
    weight = np.append(weights, 0.0)[coalitions.sum(axis=1)]
    keys, own = keys_of(coalitions), keys_of(np.eye(d, dtype=bool))  # a coalition's is their sum
    order = np.argsort(keys)

    def linear(v: Floats) -> Floats:
        parts = []
        for i in range(d):
            without = np.flatnonzero(~coalitions[:, i] & (weight > 0))
            place = np.searchsorted(keys, keys[without] + own[i], sorter=order)
            gain = v[..., order[place], :] - v[..., without, :]
            parts.append(np.einsum("...ck,c->...k", gain, weight[without]))
        return np.stack(parts, axis=-2)

    return coalitions, linear


def _sizes(counts: NDArray[np.bool_]) -> Indices:
    """Sizes of the coalitions S and S ∪ i, in ascending order, for the sizes of S that count."""
    return np.flatnonzero(np.append(counts, False) | np.append(False, counts))


def of_size(d: int, size: int) -> Coalitions:
    """All coalitions of a size."""
    count = comb(d, size)
    members = np.fromiter(chain.from_iterable(combinations(range(d), size)), np.intp, count * size)
    coalitions = np.zeros((count, d), bool)
    np.put_along_axis(coalitions, members.reshape(count, size), True, axis=1)
    return coalitions


def whole_size(d: int, size: int) -> Coalitions:
    """The same, but of size d/2 one of each complementary pair."""
    coalitions = of_size(d, size)
    return coalitions[: len(coalitions) // 2] if 2 * size == d else coalitions
