"""What repeated evaluation finds of a model: the answers of `tasks`, and how they are reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai import streams
from xai.archive import require
from xai.inputs import Block, Inputs, is_tensor, is_whole, on_host, widest
from xai.metrics import checks
from xai.metrics.attributed import of_elements
from xai.metrics.case import Scene
from xai.metrics.paths import one_gone
from xai.metrics.perturb import by_element, refuse_still
from xai.metrics.proportions import clopper_pearson
from xai.metrics.score import Floats
from xai.players import column_index
from xai.removal.base import Context, Draws, Indices, Removal

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Finding:
    """Answers for n rows and d features.

    Attributes
    ----------
    task : "recourse" or "depends_on"
    holds : (n, d) bool
        The answer.
    sure : (n, d) bool
        Whether it is so at this confidence.
    rate, low, high : (n, d) float
        Share of the samples at which the output rose (changed), and its Clopper-Pearson interval;
        all three are equal where every draw there is was evaluated. NaN where a row has no such
        feature.
    change : (n, d) float
        Mean change of the output.
    samples : int
        Samples for each row and feature.
    features : names
    evaluations : int
        Model rows per explained row, rounded up.
    signs : (n, d) float, or 1
        Of `recourse`: −1 where a feature was lowered, 1 where it was raised.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x[:, 0]
    >>> found = xai.metrics.tasks.depends_on(f, np.ones((1, 2)), data=np.zeros((5, 2)))
    >>> found.holds, found.sure
    (array([[ True, False]]), array([[ True,  True]]))
    """

    task: str
    holds: NDArray[np.bool_]
    sure: NDArray[np.bool_]
    rate: Floats
    low: Floats
    high: Floats
    change: Floats
    samples: int
    features: list[str]
    evaluations: int
    signs: Floats | float = 1.0

    def __len__(self) -> int:
        return len(self.holds)

    @property
    def undecided(self) -> int:
        """Number of pairs (row, feature), of those there are, without a sure answer."""
        return int((~self.sure & ~np.isnan(self.rate)).sum())

    def to_frame(self) -> pandas.DataFrame:
        """One line for each row and feature, as a pandas table."""
        n, d = self.holds.shape
        columns = {
            name: getattr(self, name).ravel()
            for name in ("holds", "sure", "rate", "low", "high", "change")
        }
        where = {"row": np.repeat(np.arange(n), d), "feature": self.features * n}
        return require("pandas", "pandas").DataFrame(where | columns)

    def __repr__(self) -> str:
        n, d = self.holds.shape
        return (
            f"Finding({self.task}: holds for {int((self.holds & self.sure).sum())} of {n} × {d} "
            f"rows × features, undecided {self.undecided}, samples={self.samples}, "
            f"evaluations={self.evaluations})"
        )


def check(samples: int, confidence: float) -> None:
    """Refuse what is no positive whole number of samples, and what is no confidence."""
    if not (checks.is_number(confidence) and 0 < confidence < 1):
        raise ValueError(f"confidence={confidence!r}: expected a probability within (0, 1)")
    if not is_whole(samples):
        raise TypeError(f"samples must be an integer, not {samples!r}")
    if samples < 1:
        raise ValueError(f"samples must be positive, not {samples}")


def check_features(features: Any) -> None:
    """Refuse what is no list; a string would be one of its letters."""
    if isinstance(features, str) or not (features is None or isinstance(features, Sized)):
        raise TypeError(f"features must be a list of columns or players, not {features!r:.80}")


@dataclass(frozen=True, eq=False)
class Moved(Removal):
    """x displaced by uniform numbers up to a step: the features taken are those displaced."""

    step: Any
    samples: int
    columns: Sequence[int | str] | None = None

    def bind(self, context: Context) -> Draws:
        context.refuse_texts("recourse")
        x = context.inputs.block
        if sparse.issparse(x):
            raise TypeError("recourse needs dense x: pass x.toarray()")
        step = self.by_element(context.inputs)
        x = context.inputs.admit(_like(x, np.asarray(on_host(x)) + step))
        own = context.inputs.block

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            distinct, place = np.unique(draws, return_inverse=True)
            u = 1 - streams.uniforms(context.seed, streams.REPLACEMENT, distinct, step.size)
            delta = (u.reshape(-1, *step.shape) * step)[place]
            return own[rows] + _like(x, delta), np.arange(len(rows))

        return Draws(source, self.samples, endless=True)

    def by_element(self, inputs: Inputs) -> Floats:
        """The step of each element of x, 0 where it stays."""
        shape = inputs.shape
        names = inputs.names or [str(j) for j in range(shape[0])]
        given = self.step
        columns = getattr(given, "index", None) if hasattr(given, "to_dict") else None
        by_place = columns is not None and list(columns) == list(range(len(columns)))
        if columns is not None and (not by_place or set(map(str, columns)) <= set(names)):
            if not columns.is_unique:
                raise ValueError(f"step= names a column twice, of {list(columns)}")
            given = given.to_dict()  # a Series, by name
        if isinstance(given, Mapping):
            step: Floats = np.zeros(shape)
            for column, far in given.items():
                step[column_index(column, names)] = far if checks.is_number(far) else np.nan
        else:
            step = np.array(by_element(given, shape))
            if self.columns is not None and len(self.columns):
                asked = [column_index(column, names) for column in self.columns]
                step[np.delete(np.arange(len(step)), asked)] = 0
        if not np.isfinite(step).all() or (step == 0).all():
            raise ValueError(f"step={self.step!r}: expected a number other than 0, or one a column")
        if len(inputs.categorical) and (inputs.categorical & (step != 0)).any():
            bad = names[int(np.argmax(inputs.categorical & (step != 0)))]
            raise ValueError(
                f"recourse moves numbers, and column {bad!r} holds categories, strings or dates: "
                "pass features=[…], the columns to move, or step={column: number, …}"
            )
        return step


def directions(scene: Scene, step: Floats) -> Floats:
    """1 where the steps (*shape) of a player's elements go up together, −1 where down, (n, d)."""
    return np.sign(_by_player(scene, step[None]))


def refuse_lost(scene: Scene, moved: Moved, players: Indices) -> None:
    """Refuse steps of which a row's dtype has nothing left for one of these players."""
    own = scene.setting.inputs.block
    step = moved.by_element(scene.setting.inputs)
    before, after = (np.asarray(on_host(block)) for block in (own, own + _like(own, step)))
    asked, left = (_by_player(scene, some) for some in (step[None] != 0, before != after))
    still = ((asked > 0) & (left == 0))[:, players].any(axis=1)
    refuse_still(np.flatnonzero(still), f"step={moved.step!r}")


def _by_player(scene: Scene, numbers: NDArray[Any]) -> Floats:
    """Numbers of elements (n or 1, *shape) summed over each player's, (n, d)."""
    setting, n = scene.setting, scene.setting.inputs.n
    players, d = setting.partition, int(setting.partition.counts.max())
    if players.overlap is not None or players.atlas is not None:  # no element is of one alone
        return np.broadcast_to(numbers.reshape(len(numbers), -1).sum(axis=1)[:, None], (n, d))
    every = np.broadcast_to(numbers, (n, *numbers.shape[1:]))
    return np.nan_to_num(of_elements(every, setting))  # absent players have none


def _like(x: Block, array: NDArray[Any]) -> Block:
    """An array where `x` lives; floats of its precision, where it has floats."""
    if is_tensor(x):
        import torch

        dtype = x.dtype if x.is_floating_point() else widest(x.device)
        return torch.as_tensor(array, dtype=dtype, device=x.device)
    return array.astype(x.dtype) if x.dtype.kind == "f" else array


def changes(
    scene: Scene, players: Indices, samples: int, counts: Callable[[Floats], NDArray[np.bool_]]
) -> tuple[Floats, int, bool]:
    """How many changes of the output count, and their mean, (2, n, d); of how many, and if of all.

    NaN where a row has no such player.
    """
    games = scene.games
    m = max(game.n_draws for _, game in games)
    endless = any(game.endless for _, game in games)
    every = not endless and m <= samples
    draws = np.arange(m if every else samples)
    if not endless and not every:  # at random, so that hits are binomial
        draws = streams.integers(scene.setting.seed, streams.DRAW, draws, 1, m)[:, 0]
    out = np.full((2, scene.n, len(players)), np.nan)
    for rows, game in games:
        mine, own = np.flatnonzero(players < game.n_players), scene.predictions[rows]
        for some, part, values in one_gone(game, players[mine], draws):
            change = values - own[some, None, None]
            size = np.maximum(np.abs(values), np.abs(own[some, None, None]))
            # the same row gives other last digits in a batch of another size
            change[np.abs(change) <= game.rounding * size] = 0
            at: tuple[Any, ...] = (slice(None), *np.ix_(rows[some], mine[part]))
            out[at] = counts(change).sum(axis=2), change.mean(axis=2)
    return out, len(draws), every


def chosen(scene: Scene, features: Sequence[int | str] | None) -> Indices:
    """Places of the players asked about."""
    check_features(features)
    d = int(scene.setting.partition.counts.max())
    if features is None:
        return np.arange(d)
    names = scene.setting.partition.names
    return np.array([column_index(feature, names) for feature in features], np.intp)


def found(
    task: str,
    scene: Scene,
    players: Indices,
    samples: int,
    confidence: float,
    tau: float = 0.0,
    rare: float = 0.0,
) -> Finding:
    """The answers to a task."""

    def counts(change: Floats) -> NDArray[np.bool_]:
        return change > 0 if task == "recourse" else np.abs(change) > tau

    (hits, change), S, every = changes(scene, players, samples, counts)
    there, rate = ~np.isnan(hits), hits / S
    hits = np.where(there, hits, 0)
    low, high = (rate, rate) if every else clopper_pearson(hits, S, confidence)
    low, high = np.where(there, low, np.nan), np.where(there, high, np.nan)
    if task == "recourse":
        holds, sure = rate > 0.5, (low > 0.5) | (high <= 0.5)
    else:
        holds, sure = hits > 0, (hits > 0) | (high <= rare)
    names = scene.setting.partition.names
    return Finding(
        task, holds & there, sure & there, rate, low, high, change, S,
        [names[i] for i in players], -(-scene.spent // scene.n),
    )  # fmt: skip
