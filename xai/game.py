"""The game: coalitions in, values out, always batched. Everything meets here.

A game has `n_rows` explained rows, `n_players` players and `n_outputs` outputs. Its value of a
coalition may be an expectation over draws; `grid` evaluates rows × coalitions (× draws).
"""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xai.batches import BATCH_ROWS
from xai.inputs import is_whole
from xai.model import as_numbers, check_width
from xai.progress import QUIET, Progress
from xai.removal.base import Regressors

if TYPE_CHECKING:
    pass

T = TypeVar("T")
Floats = NDArray[np.floating]
Indices = NDArray[np.intp]
Coalitions = NDArray[np.bool_]
Masks = Coalitions | Floats
"""Coalitions, or soft ones: floats in [0, 1]."""
Masses = Callable[[int], NDArray[np.float64]]
"""A semivalue: of d players, the chance (d,) that what a player joins has 0, …, d − 1 others.

Of fewer players it is the same chance, the others of d being left to be in or not.
"""

BLOCK = 2**18
"""Most (row, coalition) pairs that a summary asks for at once."""
BLOCK_BYTES = 2**25
"""Most bytes of coalitions, or of values, in one such block."""
GROUPS = 20
"""Groups of draws that a jackknife leaves out, one at a time."""


@dataclass(frozen=True)
class ClosedForm:
    """Semivalues that need no coalitions.

    Attributes
    ----------
    kind : str
        Of model, for people.
    values : masses, order -> rows (r,), values (r, d, k), interactions (r, d, d, k) or None
        Evaluates the game's ends; only of rows where these show that the closed form holds.
        Interactions I_ij, 0 at (i, i), for order 2.
    """

    kind: str
    values: Callable[[Masses, int], tuple[Indices, Floats, Floats | None]]


def rounding_of(dtype: np.dtype[Any]) -> float:
    """The part of a value of these floats that a model's rounding may change."""
    return max(Game.rounding, 8 * float(np.finfo(dtype).eps))


class Game(ABC):
    """A set function for each explained row.

    Attributes
    ----------
    n_rows, n_players, n_outputs : int
    n_draws : int
        Draws that `value` averages over.
    sampled_draws : bool
        Whether the draws are a sample of many more (endless removals, the rows of a data set),
        so that an average over `n_draws` of them still has an error.
    endless : bool
        Whether `sample` accepts draws beyond `n_draws`.
    commutes : bool
        Whether `value` is the mean of `sample` over draws.
    groups : int
        Groups of draws; beside its own outputs the game has them with each of these left out.
    full_cost, value_cost, sample_cost : int
        Model rows of the full coalition's value, of one `value`, and of one `sample`.
    shares_empty : bool
        Whether samples of the empty coalition cost nothing once the base value is known.
    has_regressors : bool
        Whether a linear fit regresses on something else than coalitions.
    rounding : float
        The part of a value that the model's rounding may change.
    evaluations : int
        Model rows spent so far, over all rows.
    player_names : (d,) str, or none
    pixels : (height, width), where players are the pixels of an image, row by row; of series and
        volumes their own sides; or None

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.any(axis=1), n_players=2)
    >>> game.value(np.array([0, 0]), np.array([[False, False], [True, False]]))
    array([[0.],
           [1.]])
    >>> xai.summary.Shapley()(game).values
    array([0.5, 0.5])
    """

    n_rows: int = 1
    n_players: int
    n_outputs: int
    n_draws: int = 1
    sampled_draws: bool = False
    endless: bool = False
    commutes: bool = True
    groups: int = 0
    full_cost: int = 1
    value_cost: int = 1
    sample_cost: int = 1
    shares_empty: bool = True
    has_regressors: bool = False
    rounding: float = 1e-12
    evaluations: int = 0
    progress: Progress = QUIET
    player_names: Sequence[str] = ()
    pixels: tuple[int, ...] | None = None

    @staticmethod
    def from_function(v: Callable[[Any], Any], n_players: int) -> Game:
        """A game of any set function.

        Parameters
        ----------
        v : bool (B, d) -> (B,) or (B, k); floats in [0, 1] where a summary uses soft masks
        n_players : int

        Examples
        --------
        >>> import xai
        >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
        >>> xai.summary.Shapley()(game).values.round(3)
        array([0.333, 0.333, 0.333])
        """
        return FunctionGame(v, n_players)

    @abstractmethod
    def grid(self, rows: Indices, coalitions: Masks, draws: Indices | None) -> Floats:
        """Values of rows × coalitions, shape (R, C, k).

        Parameters
        ----------
        rows : (R,) int
        coalitions : (C, d) bool, or floats in [0, 1]
        draws : (C,) or (R, C) int, or None
            One draw for each coalition (of each row), or None for the mean over all of them.
        """

    @abstractmethod
    def value(self, rows: Any, coalitions: Any) -> Floats:
        """Value of each pair: rows (B,), coalitions (B, d) -> (B, k)."""

    @abstractmethod
    def sample(self, rows: Any, coalitions: Any, draws: Any) -> Floats:
        """The same at one draw each: draws (B,) -> (B, k)."""

    @property
    @abstractmethod
    def base_cost(self) -> int:
        """Model rows of the empty coalition's value, for one explained row alone."""

    @property
    def ends_cost(self) -> int:
        """Model rows of the base value and the prediction together."""
        return self.base_cost + self.full_cost

    def ends(self, rows: Indices) -> tuple[Floats, Floats]:
        """Values of the empty and of the full coalition, (R, k) each."""
        d = self.n_players
        both = self.grid(rows, np.array([[False] * d, [True] * d], bool).reshape(2, d), None)
        return both[:, 0], both[:, 1]

    def ends_by_draw(self, rows: Indices, draws: Indices) -> tuple[Floats, Floats]:
        """The same at each draw, (P,) or (R, P): (R, P, k) each."""
        shape = draws.shape[-1], self.n_players
        none, every = (np.full(shape, kept) for kept in (False, True))
        return self.grid(rows, none, draws), self.grid(rows, every, draws)

    def jackknifed(self, *, averages: bool) -> Game | None:
        """The same game with further outputs, its own with a group of draws left out, for each.

        None where values share no draws that are a sample of more.

        Parameters
        ----------
        averages : whether each value is a mean over all draws, though the behavior commutes
        """
        return None

    def closed_form(self) -> ClosedForm | None:
        """Semivalues in closed form, where the model's structure has one."""
        return None

    def null_players(self) -> NDArray[np.bool_] | None:
        """Players (n, d) whose removal changes no input at any draw; None: none, or unknown."""
        return None

    def regressors(self, rows: Indices, draws: Indices) -> Regressors | None:
        """What a linear fit regresses on instead of coalitions; None: coalitions.

        At draws (S,) of each row, (R, d, S), and at x itself, (R or 1, d).
        """
        return None

    def blocks(self, unit: int) -> Iterator[tuple[Indices, int]]:
        """Cut the explained rows so that a block of `unit` coalitions fits memory.

        Yields rows (R,) and how many units to evaluate at once for them.
        """
        room = self.room
        per_step = max(1, min(self.n_rows, room // max(1, unit)))
        for start in range(0, self.n_rows, per_step):
            rows = np.arange(start, min(start + per_step, self.n_rows))
            yield rows, max(1, room // (max(1, unit) * len(rows)))

    def pieces(self, count: int, draws: int | None = None) -> Iterator[tuple[Indices, slice]]:
        """Cut the explained rows and `count` coalitions of each so that they fit memory together.

        Yields rows (R,) and which of the coalitions; `progress` expects them all.

        Parameters
        ----------
        draws : how many samples each coalition has; None: its value
        """
        each = count * (draws or 1)
        self.progress.expect_more(self.n_rows * each * (1 if draws else self.value_cost))
        for rows, _ in self.blocks(each):
            step = max(1, self.room // (len(rows) * (draws or 1)))
            for start in range(0, count, step):
                yield rows, slice(start, min(start + step, count))

    @property
    def room(self) -> int:
        """(row, coalition) pairs in one block."""
        return self._room(self.n_outputs)

    def _room(self, n_outputs: int) -> int:
        return pairs_of(max(self.n_players, 8 * n_outputs, 1))


class FunctionGame(Game):
    """A game given as a set function; one row, one draw."""

    base_cost = 1

    def __init__(self, v: Callable[[Any], Any], n_players: int) -> None:
        if not is_whole(n_players) or n_players < 1:
            raise ValueError(f"n_players must be a positive integer, not {n_players!r}")
        if not callable(v):
            raise TypeError(f"a set function is a function of coalitions, not {type(v).__name__}")
        self._v = v
        self.n_players = n_players = int(n_players)
        ends = self._call(np.array([[False] * n_players, [True] * n_players]))
        self.flat = ends.ndim == 1
        self._ends = ends.reshape(2, -1).copy()
        self.n_outputs = self._ends.shape[1]

    def _call(self, coalitions: Masks) -> Floats:
        """Values (B,) or (B, k), of one call."""
        out = as_numbers(self._v(coalitions.copy()), len(coalitions), "the set function")
        bad = np.flatnonzero(~np.isfinite(out.reshape(len(out), -1)).all(axis=1))
        if len(bad):
            first = coalitions[bad[0]]
            of = "mask" if first.dtype.kind == "f" else "coalition of players"
            kept = reprlib.repr((first if of == "mask" else np.flatnonzero(first)).tolist())
            raise ValueError(f"the set function returned NaN or inf for the {of} {kept}")
        self.evaluations += len(coalitions)
        return out

    def value(self, rows: Any, coalitions: Any) -> Floats:
        """Value of each coalition, (B, k); `rows` are all 0."""
        coalitions = as_coalitions(coalitions)
        if coalitions.ndim != 2 or coalitions.shape[1] != self.n_players:
            raise ValueError(
                f"coalitions have shape {coalitions.shape}; expected (B, {self.n_players})"
            )
        full, empty = (coalitions == 1).all(axis=1), (coalitions == 0).all(axis=1)
        rest = np.flatnonzero(~(full | empty))
        out = np.empty((len(coalitions), self.n_outputs))
        out[empty], out[full] = self._ends
        for start in range(0, len(rest), BATCH_ROWS):
            part = rest[start : start + BATCH_ROWS]
            values = self._call(coalitions[part]).reshape(len(part), -1)
            check_width(values.shape[1], self.n_outputs, "the set function")
            out[part] = values
        return out

    def sample(self, rows: Any, coalitions: Any, draws: Any) -> Floats:
        """The same: there is one draw."""
        return self.value(rows, coalitions)

    def grid(self, rows: Indices, coalitions: Masks, draws: Indices | None) -> Floats:
        """Values (1, C, k)."""
        return self.value(rows, coalitions)[None]


def pairs_of(size: int) -> int:
    """(row, coalition) pairs in one block, of so many bytes each."""
    return max(1, min(BLOCK, BLOCK_BYTES // size))


def as_coalitions(given: Any) -> NDArray[Any]:
    """Coalitions as bool; floats stay, as soft ones.

    Raises
    ------
    ValueError
        Masks outside [0, 1].
    """
    array = np.asarray(given)
    if array.dtype.kind != "f":
        return array.astype(bool, copy=False)
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"masks must lie in [0, 1]; these go from {array.min():.3g} to {array.max():.3g}"
        )
    return array


def mean_of_draws(values: Floats) -> Floats:
    """Mean over axis 1, exact where all values are equal: what changes nothing counts nothing."""
    first = values[:, :1]
    if values.shape[1] == 1:
        return np.asarray(first[:, 0])
    return np.asarray(first[:, 0] + (values - first).mean(axis=1))
