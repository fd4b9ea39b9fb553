"""The smallest subset that keeps the prediction, found greedily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game, Indices
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    check_number,
    finish,
    needs,
    unknown_error,
)


@dataclass(frozen=True)
class MinimalSubset(Summary):
    """Players leave one by one, the least missed first, while the value stays above a threshold.

    Each step removes the player without whom the value is largest (ties: the first), unless the
    value would then be at most `threshold`; what is left is the minimal subset.

    Parameters
    ----------
    threshold : float
        0 where the value is a margin, which is above 0 as long as the class is predicted; 0.5, say,
        for a probability.

    Raises
    ------
    ValueError
        `threshold` is NaN.

    Notes
    -----
    The minimal image representation of Zhou et al. (2015), with segments as players. A player's
    attribution is how many others left before it did; the members of the minimal subset, which
    stay, have the number of all that left. ``info["kept"]`` counts these members, and
    ``info["score"]`` is the value with nobody else.

    All candidates of a step are evaluated together, of all rows: d(d + 1)/2 values in the worst
    case, for each row and output.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 1] - 0.1 * S[:, 0] - 0.5, n_players=3)
    >>> MinimalSubset()(game).values
    array([0., 2., 1.])
    """

    threshold: float = 0.0
    searches: ClassVar[bool] = True
    default_budget: ClassVar[Budget | str] = "at most (d(d+1)/2 - 1)m + m + 1"

    def check(self) -> None:
        """Refuse a threshold that is no number, which no value is above."""
        check_number("threshold", self.threshold)
        if np.isnan(self.threshold):
            raise ValueError("threshold must be a number, not nan")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Remove players from every row and output at once."""
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        cost = (d * (d + 1) // 2 - 1) * game.value_cost * k
        needs("a minimal subset", cost + game.ends_cost, plan.budget)
        game.progress.expect(n * cost)
        base, full = game.ends(np.arange(n))
        row, output = np.indices((n, k)).reshape(2, -1)
        kept = np.ones((n * k, d), bool)
        values, score = np.zeros((n * k, d)), full.ravel().copy()
        left = np.flatnonzero(score > self.threshold)
        for step in range(d):
            if len(left) == 0:
                break
            gone, reached = _least_missed(game, row[left], output[left], kept[left])
            stays = reached > self.threshold
            left, gone = left[stays], gone[stays]
            kept[left, gone] = False
            score[left], values[left, gone] = reached[stays], step
        steps = d - kept.sum(axis=1, keepdims=True)
        order = np.where(kept, steps, values).reshape(n, k, d).swapaxes(1, 2)
        info = {"kept": kept.sum(axis=1).reshape(n, k), "score": score.reshape(n, k)}
        return finish(
            game, order, unknown_error(game, order), (base, full), tolerance=plan.tolerance,
            info=info,
        )  # fmt: skip


def _least_missed(
    game: Game, rows: Indices, outputs: Indices, kept: NDArray[np.bool_]
) -> tuple[Indices, Floats]:
    """For each of B coalitions of one size, the member without whom its value is largest; it."""
    members = np.nonzero(kept)[1].reshape(len(kept), -1)
    best, reached = np.empty(len(kept), np.intp), np.empty(len(kept))
    size = members.shape[1]
    together = max(1, game.room // size)
    for start in range(0, len(kept), together):
        part = slice(start, start + together)
        each = np.arange(len(kept))[part].repeat(size)
        without = kept[each]
        without[np.arange(len(each)), members[part].ravel()] = False
        values = game.value(rows[each], without)[np.arange(len(each)), outputs[each]]
        values = values.reshape(-1, size)
        first = values.argmax(axis=1)
        best[part] = np.take_along_axis(members[part], first[:, None], axis=1)[:, 0]
        reached[part] = values.max(axis=1)
    return best, reached
