"""Random subsets and perturbations: what they do to the prediction, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from math import comb
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from xai import streams
from xai.game import Game
from xai.inputs import host_array
from xai.known import Keys, keys_of
from xai.metrics import checks
from xai.metrics.case import APART, Case, Scene
from xai.metrics.paths import Amount, amounts, slack
from xai.metrics.score import Floats, Indices
from xai.model_game import ModelGame
from xai.removal import Noise
from xai.setting import padded
from xai.summary.base import all_coalitions

Removed = NDArray[np.bool_]
Scored: TypeAlias = Callable[[Floats, Floats], Any]
"""What an attribution says of C changes, and what these are, (R, C) each -> (R, …)."""
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
    if d > SIZED:
        return streams.kept(seed, APART + np.arange(samples), d, 0.5)
    sizes = streams.kept(seed, np.arange(samples), d, 0.5).sum(axis=1)
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


def drops(scene: Scene, place: int, removed: Removed) -> Iterator[tuple[Indices, Floats]]:
    """Rows of a game, and ``f(x) − f(x with a subset removed)`` of all subsets, (R, C)."""
    for rows, left in shared(scene, place, keys_of(~removed), lambda some: ~removed[some]):
        yield rows, _lost(scene, place, rows, left)


def _lost(scene: Scene, place: int, rows: Indices, left: Floats) -> Floats:
    """What is lost of the predictions where so much is left, (R, C); 0 where it may be rounding."""
    own, game = scene.games[place]
    there = scene.predictions[own[rows], None]
    gone = there - left
    sizes = np.abs(gone)
    largest = np.maximum(np.abs(there), np.abs(left).max(axis=1, keepdims=True))
    gone[sizes <= slack(game, sizes.max(axis=1, keepdims=True), largest)] = 0
    return gone


def drops_alone(scene: Scene, place: int) -> Floats:
    """The same of every single player and all rows, (n, d)."""
    game = scene.games[place][1]
    d = game.n_players
    if d <= FEW:  # what others ask of single players is then known
        return np.concatenate([gone for _, gone in drops(scene, place, np.eye(d, dtype=bool))])
    every = np.arange(d)

    def make() -> Floats:
        left = _left(game, d, lambda part: every[part, None] != every)
        return np.concatenate([_lost(scene, place, rows, values) for rows, values in left])

    return scene.once(("drops alone", place), make)


def shared(
    scene: Scene, place: int, keys: Keys, kept: Callable[[Indices], Removed]
) -> Iterator[tuple[Indices, Floats]]:
    """Rows of a game, some at a time, and their values (R, C) of coalitions that all rows share.

    Of several attributions and metrics, the first that meets a coalition evaluates it.

    Parameters
    ----------
    keys : (C,) as `xai.known` makes them
    kept : places (B,) among them -> coalitions (B, d)
    """
    game = scene.games[place][1]
    if scene.shares:
        n = game.n_rows
        known = scene.values(place, keys[:, None], lambda new: kept(new // n))
        for part in streams.parts(n, len(keys)):
            yield np.arange(n)[part], known[:, part].T.copy()
        return
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    for rows, left in _left(game, len(first), lambda part: kept(first[part])):
        yield rows, left.take(which, axis=1)


def _left(
    game: Game, count: int, kept: Callable[[slice], Removed]
) -> Iterator[tuple[Indices, Floats]]:
    """Rows, some at a time, and their values of so many coalitions, (R, count)."""
    return _gathered(game, count, lambda rows, part: game.grid(rows, kept(part), None)[:, :, 0])


def _gathered(
    game: Game, count: int, find: Callable[[Indices, slice], Floats], draws: int | None = None
) -> Iterator[tuple[Indices, Floats]]:
    """Rows, some at a time, and what is found of them in pieces, (…, count)."""
    found = []
    for rows, part in game.pieces(count, draws):
        found.append(find(rows, part))
        if part.stop == count:
            yield rows, np.concatenate(found, axis=-1)
            found.clear()


def by_subset(case: Case, removed: Callable[[int], Removed], score: Scored) -> Floats:
    """``score(Σ_{i∈S} a_i, f(x) − f(x∖S))`` as an array of n rows, of some rows at a time."""
    parts = []
    for place, (own, game, a) in enumerate(case.games()):
        S = removed(game.n_players)
        members = S.T.astype(np.float64)
        for rows, gone in drops(case.scene, place, S):
            parts.append((own[rows], np.asarray(score(a[rows] @ members, gone))))
    return padded(parts, case.scene.n)


def adds_noise(case: Case) -> bool:
    """Whether removing perturbs the input itself, so that attributions are read as slopes."""
    return isinstance(case.scene.setting.recipe.removal, Noise)


def by_noise(case: Case, samples: int, score: Scored) -> Floats:
    """``score(Iᵀa, f(x) − f(x − I))``: all elements are moved by the removal's draws I."""
    case = case.changed("elements", players="elements")
    parts = []
    for own, game, a in case.games():
        assert isinstance(game, ModelGame)
        count = samples if game.endless else min(samples, game.n_draws)
        move = partial(_moved, game, a, np.arange(count))
        for rows, both in _gathered(game, count, move, 1):
            gone = case.scene.predictions[own[rows], None] - both[:, 1]
            parts.append((own[rows], np.asarray(score(both[:, 0], gone))))
    return padded(parts, case.scene.n)


def _moved(game: ModelGame, a: Floats, draws: Indices, rows: Indices, some: slice) -> Floats:
    """``Iᵀa`` and ``f(x − I)`` of some rows at some of the draws, (R, 2, draws)."""
    d, count = game.n_players, len(draws[some])
    each, draws = np.repeat(rows, count), np.tile(draws[some], len(rows))
    values = game.sample(each, np.zeros((len(each), d), bool), draws)[:, 0]
    said = np.empty(len(each))
    for part in streams.parts(len(each), d):
        moved = displacement(game, each[part], draws[part])
        said[part] = (moved * a[each[part]]).sum(axis=1)
    return np.stack([said, values]).reshape(2, len(rows), count).swapaxes(0, 1)


def displacement(game: ModelGame, rows: Indices, draws: Indices) -> Floats:
    """``x − x′`` with everything removed, flat: (B, elements)."""
    if game.draws.inputs is not None:
        raise ValueError(
            "the removal composes its inputs itself, and does not say how far a derivative would "
            "be followed: pass another, such as removal='baseline'"
        )
    at = game.explained[rows]
    replacement, index = game.draws.source(at, draws)
    blocks = game.inputs.block[at], replacement[index]
    x, other = (host_array(block).astype(np.float64, copy=False) for block in blocks)
    return (x - other).reshape(len(rows), -1)
