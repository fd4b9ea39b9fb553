"""Random subsets and perturbations: what they do to the prediction, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from xai import streams
from xai.archive import as_array
from xai.game import ModelGame
from xai.known import keys_of
from xai.metrics import checks
from xai.metrics.case import Case, Scene, padded
from xai.metrics.paths import Amount, amounts
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
    place = (rankdata(sizes, "ordinal") - rankdata(sizes, "min")).astype(np.intp)
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
    (own, game), keys = scene.games[place], keys_of(~removed)
    if not scene.shares:
        _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        return _drops(scene, place, len(first), lambda part: ~removed[first[part]])[:, which]
    left = scene.values(place, keys[:, None], lambda new: ~removed[new // game.n_rows])
    return np.asarray(scene.predictions[own, None] - left.T)


def drops_alone(scene: Scene, place: int) -> Floats:
    """The same of every single player, (R, d)."""
    d = scene.games[place][1].n_players
    if d <= FEW:  # what others ask of single players is then known
        return drops(scene, place, np.eye(d, dtype=bool))
    every = np.arange(d)
    return scene.once(
        ("drops alone", place),
        lambda: _drops(scene, place, d, lambda part: every[part, None] != every),
    )


def _drops(scene: Scene, place: int, count: int, kept: Callable[[slice], Removed]) -> Floats:
    own, game = scene.games[place]
    out = np.empty((game.n_rows, count))
    for rows, part in game.pieces(count):
        out[rows, part] = game.grid(rows, kept(part), None)[:, :, 0]
    return np.asarray(scene.predictions[own, None] - out)


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


def adds_noise(removal: Any) -> bool:
    """Whether a removal perturbs the input itself, so that attributions are read as slopes."""
    return isinstance(removal, Noise)


def perturbed(case: Case, samples: int) -> Floats:
    """``Iᵀa`` and ``f(x) − f(x − I)``, (n, 2, C): all elements moved by the removal's draws I."""
    case = case.changed("elements", players="elements")
    parts = []
    for own, game, a in case.games():
        assert isinstance(game, ModelGame)
        count = samples if game.endless else min(samples, game.n_draws)
        out = np.empty((game.n_rows, 2, count))
        for rows, part in game.pieces(count, 1):
            out[rows, :, part] = _moved(game, rows, a[rows], np.arange(count)[part])
        out[:, 1] = case.scene.predictions[own, None] - out[:, 1]
        parts.append((own, out))
    return padded(parts, case.scene.n)


def _moved(game: ModelGame, rows: NDArray[np.intp], a: Floats, draws: NDArray[np.intp]) -> Floats:
    """``Iᵀa`` and ``f(x − I)`` of some rows at some draws, (R, 2, draws)."""
    d, count = game.n_players, len(draws)
    each, draws = np.repeat(rows, count), np.tile(draws, len(rows))
    own = np.repeat(np.arange(len(rows)), count)
    values = game.sample(each, np.zeros((len(each), d), bool), draws)[:, 0]
    said = np.empty(len(each))
    step = max(1, 2**22 // d)
    for start in range(0, len(each), step):
        part = slice(start, start + step)
        moved = displacement(game, each[part], draws[part])
        said[part] = (moved * a[own[part]]).sum(axis=1)
    return np.stack([said, values]).reshape(2, len(rows), count).swapaxes(0, 1)


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
