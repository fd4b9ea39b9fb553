"""What readers of models share: additive models, and what they are asked to explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.game import Masses

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Part:
    """Explained rows, and the rows that replace them, as the last estimator sees them.

    Attributes
    ----------
    x : (n, columns) array or sparse matrix
    data : (m', columns) array or sparse matrix
        Replacement rows; the draws of explained row i are ``data[index[i]]``.
    index : (n, m) int
    owner : (n or 1, columns) int
        The player of each column; -1: never removed.
    places, weights : (n, k, s)
        Each explained output, a weighted sum of the additive model's outputs.
    n_players : int
    masses : the semivalue that is asked for
    order : 2 for interactions, too
    n_jobs : int, or None
    """

    x: Any
    data: Any
    index: Indices
    owner: Indices
    places: Indices
    weights: Floats
    n_players: int
    masses: Masses
    order: int = 1
    n_jobs: int | None = None

    @property
    def n(self) -> int:
        """Number of explained rows."""
        return int(self.x.shape[0])

    def __getitem__(self, rows: Indices) -> Part:
        """The part of some rows."""
        return replace(
            self,
            x=self.x[rows],
            index=self.index[rows],
            owner=self.owner if len(self.owner) == 1 else self.owner[rows],
            places=self.places[rows],
            weights=self.weights[rows],
        )

    def groups(self) -> Iterator[tuple[Indices, Part]]:
        """Rows that share their replacement rows and their players, with their parts."""
        same = len(self.owner) == 1 and bool((self.index == self.index[:1]).all())
        if same:
            yield np.arange(self.n), self
            return
        owner = np.broadcast_to(self.owner, (self.n, self.owner.shape[1]))
        kinds = np.concatenate([self.index, owner], axis=1)
        _, which = np.unique(kinds, axis=0, return_inverse=True)
        order = np.argsort(which, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
            yield rows, self[rows]


@dataclass(frozen=True, eq=False)
class Terms:
    """What an additive model gives a part of rows, its terms summed.

    Attributes
    ----------
    values : (n, d, k), the semivalues
    inter : (n, d, d, k), interactions I_ij; (n, 0, 0, k) where they are not asked for
    ends : (2, n, k), the explained outputs: the draws' mean, and x's own
    """

    values: Floats
    inter: Floats
    ends: Floats

    @classmethod
    def empty(cls, part: Part) -> Terms:
        """Zeros for a part of rows."""
        (n, k), d = part.places.shape[:2], part.n_players
        pairs = d if part.order == 2 else 0
        return cls(np.zeros((n, d, k)), np.zeros((n, pairs, pairs, k)), np.zeros((2, n, k)))


@dataclass(frozen=True, eq=False)
class Additive:
    """A model whose outputs, on some scale, are a sum of terms of few columns each.

    Attributes
    ----------
    kind : str
        What it is, for people.
    places, factors : (K,)
        Output o of the model, on the scale that was asked for, is ``factors[o]`` times the
        additive output ``places[o]``.
    only_contrasts : bool
        Whether outputs are known but for a term that is common to all of them.
    terms : part -> Terms
    offset_known : bool
        Whether outputs are known with their constant, which no Shapley value depends on.
    """

    kind: str
    places: Indices
    factors: Floats
    only_contrasts: bool
    terms: Callable[[Part], Terms]
    offset_known: bool = True


def outputs_of(
    scale: str, asked: str, n_additive: int, n_outputs: int, *, margin: bool, factor: float = 1.0
) -> tuple[Indices, Floats, bool] | None:
    """How the model's outputs follow from the additive ones: places, factors, only contrasts.

    Parameters
    ----------
    scale : what the model's outputs are (`xai.model.Scale`)
    asked : "raw", "log_odds" or "logit"
    margin : whether the additive outputs are margins, where the model's are probabilities
    factor : what a margin is multiplied by before it becomes a probability
    """
    same = np.arange(n_outputs), np.full(n_outputs, factor)
    one_margin = n_additive == 1 and n_outputs == 2
    if scale == "probability" and margin:
        if asked == "log_odds" and one_margin:
            return np.zeros(2, np.intp), factor * np.array([-1.0, 1.0]), False
        if asked == "logit" and one_margin:
            return np.zeros(2, np.intp), factor * np.array([0.0, 1.0]), True
        if asked == "logit" and n_additive == n_outputs > 2:
            return *same, True
        return None
    if asked != "raw":
        return None
    if scale == "score" and one_margin:
        return np.zeros(2, np.intp), np.array([-1.0, 1.0]), False
    if scale in ("score", "amount", "probability") and n_additive == n_outputs:
        return np.arange(n_outputs), np.ones(n_outputs), False
    return None
