"""Random subsets and perturbations: what they do to the prediction, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.archive import as_array
from xai.game import Game, ModelGame
from xai.known import keys_of
from xai.metrics import checks
from xai.metrics.case import Case, Scene, padded
from xai.metrics.paths import Amount, amounts, pieces
from xai.metrics.score import Floats
from xai.removal import Noise
from xai.summary.base import all_coalitions

Removed = NDArray[np.bool_]
FEW = 1024
"""Players of which a table of all against all is nothing."""
SIZED = 64
"""Most players of which random halves are drawn by size, which takes sorting."""
SPACING = 2**32
"""Samples of one size are numbered from here to those of the next."""


def of_size(d: int, size: int, samples: int, seed: int) -> Removed:
    """Subsets of `size` players, (C, d): all of them where `samples` suffice, else random ones.

    Examples
    --------
    >>> of_size(3, 2, samples=3, seed=0).sum(axis=1).tolist()
    [2, 2, 2]
    """
    if comb(d, size) <= samples:
        every = np.array(list(combinations(range(d), size)), np.intp).reshape(-1, size)
        out = np.zeros((len(every), d), bool)
        np.put_along_axis(out, every, True, axis=1)
        return out
    # those of different sizes are independent, and fewer are the first of more
    sample = np.arange(samples) + size * SPACING
    return streams.subsets(seed, sample, np.full(samples, size), d)


def of_halves(d: int, samples: int, seed: int) -> Removed:
    """Subsets that hold each player with chance ½: all of them where `samples` suffice.

    Random ones of a size are the first of this size, so that others know their values; of many
    players, whose sizes seldom meet, they are drawn as they come.
    """
    if d < 63 and 2**d <= samples:
        return all_coalitions(d)
    halves = streams.kept(seed, np.arange(samples), d, 0.5)
    if d > SIZED:
        return halves
    sizes = halves.sum(axis=1)
    by_size = np.argsort(sizes, kind="stable")
    place = np.empty(samples, np.intp)
    starts = np.searchsorted(sizes[by_size], sizes[by_size])
    place[by_size] = np.arange(samples) - starts
    return streams.subsets(seed, place + sizes * SPACING, sizes, d)


def subsets(d: int, size: Amount | None, samples: int, seed: int) -> Removed:
    """Subsets of the given sizes, or of halves where None."""
    checks.count("samples", samples, least=2)
    if size is None:
        return of_halves(d, samples, seed)
    return np.concatenate(
        [of_size(d, int(s), samples, seed) for s in amounts(size, d, "subset_size")]
    )


def drops(scene: Scene, place: int, removed: Removed) -> Floats:
    """``f(x) − f(x with a subset removed)`` of all rows of a game and all subsets, (R, C).

    Of several attributions and metrics, the first that meets a subset evaluates it.
    """
    game, keys = scene.games[place][1], keys_of(~removed)
    if not scene.shares:
        _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        return _drops(game, len(first), lambda part: ~removed[first[part]])[:, which]
    rows, d = np.arange(game.n_rows), game.n_players
    full = game.grid(rows, np.ones((1, d), bool), None)[:, :, 0]
    left = scene.values(place, keys[:, None], lambda new: ~removed[new // game.n_rows])
    return full - left.T


def drops_alone(scene: Scene, place: int) -> Floats:
    """The same of every single player, (R, d)."""
    game = scene.games[place][1]
    if game.n_players <= FEW:  # what others ask of single players is then known
        return drops(scene, place, np.eye(game.n_players, dtype=bool))
    every = np.arange(game.n_players)
    return scene.once(
        ("drops alone", place),
        lambda: _drops(game, game.n_players, lambda part: every[part, None] != every),
    )


def _drops(game: Game, count: int, kept: Callable[[slice], Removed]) -> Floats:
    out = np.empty((game.n_rows, count))
    every = np.ones((1, game.n_players), bool)
    for rows, part in pieces(game, count):
        full = game.grid(rows, every, None)[:, :, 0]
        out[rows, part] = full - game.grid(rows, kept(part), None)[:, :, 0]
    return out


def by_subset(
    case: Case, removed: Callable[[int], Removed], score: Callable[[Floats, Floats], Any]
) -> Any:
    """``score(Σ_{i∈S} a_i, f(x) − f(x∖S))``, both (R, C), as an array of n rows.

    NaN pads results of rows that have fewer subsets than others.
    """
    parts = []
    for place, (rows, game, a) in enumerate(case.games()):
        S = removed(game.n_players)
        said = a @ S.T.astype(np.float64)
        parts.append((rows, np.asarray(score(said, drops(case.scene, place, S)))))
    return padded(parts, case.scene.n)


@dataclass(frozen=True)
class Fit:
    """What a linear surrogate says of perturbed inputs, and what the model says.

    Attributes
    ----------
    said, done : (n, C)
        ``Iᵀa`` and ``f(x) − f(x − I)``; NaN where a row has fewer subsets than others.
    """

    said: Floats
    done: Floats


def adds_noise(removal: Any) -> bool:
    """Whether a removal perturbs the input itself, so that attributions are read as slopes."""
    return isinstance(removal, Noise)


def perturbed(case: Case, samples: int) -> Fit:
    """Every element moved by the removal's draws: ``I = x − x′``, attributions as slopes."""
    case = case.changed("elements", players="elements")
    said = np.empty((case.scene.n, 0))
    done = said
    for rows, game, a in case.games():
        assert isinstance(game, ModelGame)
        count = samples if game.endless else min(samples, game.n_draws)
        both = [_moved(game, block, a[block], count) for block, _ in game.blocks(count)]
        if not said.shape[1]:
            said, done = (np.full((case.scene.n, count), np.nan) for _ in range(2))
        said[rows], done[rows] = (np.concatenate(parts) for parts in zip(*both, strict=True))
    return Fit(said, done)


def _moved(game: ModelGame, rows: NDArray[np.intp], a: Floats, count: int) -> tuple[Floats, Floats]:
    """``Iᵀa`` and ``f(x) − f(x − I)`` of some rows at draws 0..count − 1, (R, count) each."""
    d, draws = game.n_players, np.tile(np.arange(count), len(rows))
    each = np.repeat(rows, count)
    values = game.sample(each, np.zeros((len(each), d), bool), draws)[:, 0]
    full = game.value(rows, np.ones((len(rows), d), bool))[:, 0]
    said = np.empty(len(each))
    step = max(1, 2**22 // d)
    for start in range(0, len(each), step):
        part = slice(start, start + step)
        moved = displacement(game, each[part], draws[part])
        said[part] = (moved * np.repeat(a, count, axis=0)[part]).sum(axis=1)
    return said.reshape(len(rows), count), (full[:, None] - values.reshape(len(rows), count))


def displacement(game: ModelGame, rows: NDArray[np.intp], draws: NDArray[np.intp]) -> Floats:
    """``x − x′`` with everything removed, flat: (B, elements)."""
    if game.draws.inputs is not None:
        raise ValueError(
            "the removal composes its inputs itself, and does not say how far a derivative would "
            "be followed: pass another, such as removal='baseline'"
        )
    at = game.explained[rows]
    replacement, index = game.draws.source(at, draws)
    blocks = game.inputs.block[at], replacement[index]
    x, other = (np.asarray(as_array(block), np.float64) for block in blocks)
    return (x - other).reshape(len(rows), -1)
