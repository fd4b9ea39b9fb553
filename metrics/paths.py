"""Values along the order of the players: what every removal curve is cut from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.game import Game
from xai.inputs import is_whole
from xai.kernels.order import places
from xai.known import keys_along
from xai.metrics import checks
from xai.metrics.case import Case, Scene
from xai.metrics.score import Floats, Indices
from xai.setting import padded

Cuts: TypeAlias = Callable[[int], Indices]
"""Of d players, how many have changed at each step, (S,)."""
Amount: TypeAlias = int | float | Sequence[int | float]
"""So many players, or a fraction of them (rounded up), or several of these."""

FEW = 64
"""Players whose order is found sooner by counting than by sorting."""

IMAGE_STEPS = 32
"""Steps of a curve where players are many: of images and texts."""


def ranks(a: Floats) -> NDArray[np.int32]:
    """Each player's place in the order of importance, (n, d): descending, ties by index."""
    d, out = a.shape[1], np.empty(a.shape, np.int32)
    if d <= FEW:
        places(a, out)
    else:
        order = np.argsort(-a, axis=1, kind="stable")
        np.put_along_axis(out, order, np.arange(d, dtype=np.int32)[None], axis=1)
    return out


def cuts(d: int, K: int) -> Indices:
    """How many of d players have changed at steps 0..K.

    Examples
    --------
    >>> cuts(10, 4).tolist()
    [0, 3, 5, 8, 10]
    """
    return (2 * np.arange(K + 1) * d + K) // (2 * K)


def steps_of(case: Case, steps: int | None, *, all_players: bool = False) -> Cuts:
    """The `cuts` of d players at so many steps, never more than d.

    None: one player per step for tables and where `all_players`, 32 steps for the others.
    """
    if steps is not None:
        checks.count("steps", steps)
    inputs = case.scene.setting.inputs
    table = len(inputs.shape) == 1 and not inputs.is_text
    most = None if all_players or table else IMAGE_STEPS
    most = most if steps is None else int(steps)
    return lambda d: cuts(d, d if most is None else min(most, d))


def amounts(k: Amount, d: int, name: str = "k") -> Indices:
    """Numbers of players that `k` asks for; fractions are rounded up.

    Examples
    --------
    >>> amounts([1, 0.25], 10).tolist()
    [1, 3]
    """
    given = np.atleast_1d(np.asarray(k, object)).tolist()
    if not given:
        raise ValueError(
            f"{name} is empty: expected a number of players, or a fraction, or several"
        )
    out = []
    for one in given:
        whole = is_whole(one)
        if not (one >= 1 if whole else isinstance(one, float | np.floating) and 0 < one <= 1):
            raise ValueError(
                f"{name}={one!r}: expected a number of players, or a fraction in (0, 1]"
            )
        if whole and one > d:
            raise ValueError(f"{name}={one}: there are {d} players")
        out.append(int(one) if whole else int(np.ceil(one * d - 1e-9)))
    return np.array(out, np.intp)


def along(case: Case, first: str, sizes: Cuts) -> Floats:
    """Values (n, S) when the most important players are kept, or removed, first.

    Parameters
    ----------
    first : "kept" (v of the top s) or "removed" (v of all but the top s)
    sizes : d -> (S,) numbers s
        What another metric has asked for already costs nothing. NaN pads rows with fewer.
    """
    return all_along(case, (first, sizes))[0]


def all_along(case: Case, *wanted: tuple[str, Cuts]) -> list[Floats]:
    """The values `along` several such ways, evaluated together."""
    known = case.once("along", dict[int, dict[tuple[str, int], Floats]])
    parts: list[list[tuple[Indices, Floats]]] = [[] for _ in wanted]
    for place, (rows, game, a) in enumerate(case.games()):
        d, held = game.n_players, known.setdefault(place, {})
        ways = [[(first, s) for s in sizes(d).tolist()] for first, sizes in wanted]
        missing = sorted({step for way in ways for step in way} - held.keys())
        if missing:
            rank = case.once(("ranks", place), partial(ranks, a))
            evaluate = _look if case.scene.shares else _evaluate
            values = evaluate(case.scene, place, rank, missing)
            held.update(zip(missing, values, strict=True))
        for way, part in zip(ways, parts, strict=True):
            part.append((rows, np.array([held[step] for step in way]).T))
    return [padded(part, case.scene.n) for part in parts]


Step: TypeAlias = tuple[str, int]
"""("kept" or "removed", s): where only the first s players are, or all but these."""


def _evaluate(scene: Scene, place: int, rank: NDArray[np.int32], steps: list[Step]) -> Floats:
    """Values (steps, rows), as one stream of model rows."""
    game = scene.games[place][1]
    sizes, removed = _told(steps)
    out = np.empty((len(steps), game.n_rows))
    for rows, part in game.pieces(len(steps)):
        # step by step: all rows' places lie side by side
        own = slice(rows[0], rows[-1] + 1)
        kept = (rank[own] < sizes[part, None, None]) != removed[part, None, None]
        values = game.value(np.tile(rows, len(kept)), kept.reshape(-1, game.n_players))
        out[part, own] = values[:, 0].reshape(len(kept), -1)
    return out


def _look(scene: Scene, place: int, rank: NDArray[np.int32], steps: list[Step]) -> Floats:
    """The same, where other attributions may have met the same coalitions of a row."""
    n, (sizes, removed) = len(rank), _told(steps)
    sums = keys_along(np.argsort(rank, axis=1)).T
    keys = np.where(removed[:, None], sums[-1] - sums[sizes], sums[sizes])

    def kept(new: Indices) -> NDArray[np.bool_]:
        step, row = np.divmod(new, n)
        return (rank[row] < sizes[step, None]) ^ removed[step, None]

    return scene.values(place, keys, kept)


def _told(steps: list[Step]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Sizes of steps, of ranks' dtype, and whether so many are removed."""
    sizes, removed = zip(*((s, first == "removed") for first, s in steps), strict=True)
    return np.array(sizes, np.int32), np.array(removed)


def both_ends(case: Case, sizes: Cuts) -> tuple[Floats, Floats]:
    """Values with the most, and with the least important players removed, (n, S) each."""
    most, least = all_along(case, ("removed", sizes), ("kept", lambda d: d - sizes(d)))
    return most, least


def one_gone(
    game: Game, players: Indices, draws: Indices
) -> Iterator[tuple[Indices, slice, Floats]]:
    """Values with one player removed at each draw: rows, which players, and (R, P, draws)."""
    m = len(draws)
    for rows, part in game.pieces(len(players), m):
        some = players[part]
        kept = np.repeat(some[:, None] != np.arange(game.n_players), m, axis=0)
        values = game.grid(rows, kept, np.tile(draws, len(some)))[:, :, 0]
        yield rows, part, values.reshape(len(rows), -1, m)


def alone(case: Case) -> Floats:
    """``E|Δ|`` and ``EΔ²`` over draws, of what every single player's removal takes: (n, 2, d).

    What rounding may be is 0: the same row has other last digits in a batch of another size.
    """

    def make() -> Floats:
        parts = []
        for own, game, _ in case.games():
            out, largest = np.empty((game.n_rows, 2, game.n_players)), np.zeros(game.n_rows)
            every, draws = np.arange(game.n_players), np.arange(game.n_draws)
            for rows, part, values in one_gone(game, every, draws):
                gap = case.scene.predictions[own[rows], None, None] - values
                out[rows, :, part] = np.stack([np.abs(gap), gap**2], axis=1).mean(axis=3)
                largest[rows] = np.maximum(largest[rows], np.abs(values).max(axis=(1, 2)))
            largest = np.maximum(largest, np.abs(case.scene.predictions[own]))
            least = slack(game, out[:, 0].max(axis=1), largest)
            out[out <= np.stack([least, least**2], axis=1)[:, :, None]] = 0
            parts.append((own, out))
        return padded(parts, case.scene.n)

    return case.scene.once("alone", make)


def slack(game: Game, change: Floats, value: Floats) -> Floats:
    """How far rounding may move values, by the largest changes and the largest values.

    Sums that cancel lose a part of what is changed, others their last digits alone: probabilities
    near 1 are all as large, and their changes may be small.
    """
    return game.rounding * np.maximum(2 * change, value / 4)


def changes(case: Case, first: str, sizes: Cuts) -> Floats:
    """``E|f(x) − v|`` over draws, for the values v that are met `along`: (n, S)."""
    parts = []
    for place, (own, game, a) in enumerate(case.games()):
        rank = case.once(("ranks", place), partial(ranks, a))
        steps, m = sizes(game.n_players), game.n_draws
        count = len(steps)
        out = np.empty((game.n_rows, count))
        for rows, part in game.pieces(count, m):
            some = (rank[rows, None] < steps[part, None]) ^ (first == "removed")
            each = np.repeat(some.reshape(-1, game.n_players), m, axis=0)
            draws = np.resize(np.arange(m), len(each))
            values = game.sample(np.repeat(rows, some.shape[1] * m), each, draws)[:, 0]
            full = case.scene.predictions[own[rows], None, None]
            gap = full - values.reshape(*some.shape[:2], m)
            out[rows, part] = np.abs(gap).mean(axis=2)
        parts.append((own, out))
    return padded(parts, case.scene.n)
