"""Semivalues in closed form, for models that are a sum of small terms: found, or None.

A closed form is what the model's structure says; it is believed only where it meets the model's
own outputs at the row and at its draws, which cost their usual model rows and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.exact.base import Additive, Part
from xai.exact.boosters import read_boosters
from xai.exact.linear import read_linear
from xai.exact.path import Way, follow
from xai.exact.trees import read_trees
from xai.game import ClosedForm, Floats, Indices, Masses

if TYPE_CHECKING:
    from xai.model_game import ModelGame

TOLERANCE = 1e-6
"""How far (times max(1, |value|)) a row's closed form may lie from the model's own outputs."""
CHUNK = 2**22
"""Most (row, draw) pairs, or numbers of transformed rows, in one chunk of explained rows."""


def closed_form(game: ModelGame) -> ClosedForm | None:
    """How to compute semivalues of a game without its coalitions, where that is known.

    Only for values that are linear in an additive output, of rows that are mixtures of x and a
    finite number of replacement rows.
    """
    linear, draws, model = game.values.linear, game.draws, game.model
    mixes = draws.inputs is None and draws.regressors is None and not draws.endless
    if linear is None or model.estimator is None or not mixes or len(game.inputs.shape) != 1:
        return None
    one = model.prepare(game.inputs.block[np.arange(1)])
    way = follow(model.estimator, one, game.inputs)
    if way is None:
        return None
    for read in (read_linear, read_trees, read_boosters):
        additive = read(way.last, model.scale, linear.scale, game.full_outputs.shape[1])
        if additive is None or (additive.only_contrasts and not linear.contrasts):
            continue
        try:
            width = way.transform(one).shape[1]
        except (TypeError, ValueError):
            return None  # words, categories or dates, which the estimator reads itself
        if width != len(way.sources):
            return None  # some step does not keep columns apart as its class promises
        return ClosedForm(additive.kind, partial(_values, game, way, additive))
    return None


def _values(
    game: ModelGame, way: Way, additive: Additive, masses: Masses, order: int
) -> tuple[Indices, Floats, Floats | None]:
    """Rows (r,) of the game whose ends the closed form meets, and what it gives them."""
    base, full = game.ends(np.arange(game.n_rows))
    meets, found = np.empty(base.shape, bool), []
    for rows, part in _parts(game, way, additive, masses, order):
        terms = additive.terms(part)
        none, own = terms.ends
        room = _room(game, np.maximum(np.abs(full[rows]), np.abs(base[rows])))
        missed, (low, high, mean_room) = full[rows] - own, _missed_draws(game, additive, rows, part)
        meets[rows] = (low <= missed + room) & (missed - room <= high)  # NaN meets nothing
        if additive.offset_known:
            meets[rows] &= np.abs(missed) <= room
        gap = full[rows] - base[rows] - (own - none)
        meets[rows] &= np.abs(gap) <= np.maximum(room, mean_room)
        met = meets[rows].all(axis=1)
        found.append((terms.values[met], terms.inter[met]))
    values, inter = (np.concatenate(of) for of in zip(*found, strict=True))
    return np.flatnonzero(meets.all(axis=1)), values, inter if order == 2 else None


def _missed_draws(
    game: ModelGame, additive: Additive, rows: Indices, part: Part
) -> tuple[Floats, Floats, Floats]:
    """By how much the closed form misses the model at every draw, at least and at most, (r, k).

    And how far off rounding may leave the draws' mean: a few may be rounded far more than the
    others. A model that is more than its class may well meet it at x, and on average. The draws'
    own values are known where rows share them; elsewhere nothing is said.
    """
    low = np.full((len(rows), game.n_outputs), -np.inf)
    high, mean_room, draws = -low, np.zeros_like(low), np.arange(game.n_draws)
    nothing = np.zeros((len(draws), game.n_players), bool)
    for at, group in part.groups() if game.shares_empty else ():
        targets = np.concatenate([group.places, group.weights], axis=2).reshape(len(at), -1)
        _, first, which = np.unique(targets, axis=0, return_index=True, return_inverse=True)
        for kind, i in enumerate(first):
            alone = replace(
                group,
                x=group.data[group.index[i]],
                index=np.zeros((len(draws), 1), np.intp),
                owner=np.full_like(group.owner[:1], -1),  # nothing is ever removed
                places=np.repeat(group.places[i : i + 1], len(draws), axis=0),
                weights=np.repeat(group.weights[i : i + 1], len(draws), axis=0),
                n_players=1,
                order=1,
            )
            value = game.sample(np.full(len(draws), rows[at[i]]), nothing, draws)
            missed, room = value - additive.terms(alone).ends[1], _room(game, np.abs(value))
            same = at[which.ravel() == kind]
            low[same], high[same] = (missed - room).max(axis=0), (missed + room).min(axis=0)
            mean_room[same] = room.mean(axis=0)
    return low, high, mean_room


def _room(game: ModelGame, size: Floats) -> Floats:
    """How far values of this size may lie from the model's own, which are rounded, too."""
    assert game.values.linear is not None
    eps = float(np.finfo(game.full_outputs.dtype).eps)
    room = max(TOLERANCE, 64 * eps) * np.maximum(1, size)
    if game.values.linear.scale == "raw":
        return np.asarray(room)
    # a logarithm of odds magnifies a probability's rounding by 1 / (p (1 − p))
    return np.asarray(room + 4 * eps * np.exp(np.minimum(size, 40)))


def _parts(
    game: ModelGame, way: Way, additive: Additive, masses: Masses, order: int
) -> Iterator[tuple[Indices, Part]]:
    """The game's rows as the last estimator sees them, some at a time."""
    linear, m = game.values.linear, game.n_draws
    assert linear is not None
    latest: tuple[Any, Any] = (None, None)  # all removals so far have one block of replacements
    step = max(1, CHUNK // max(m, len(way.sources), game.n_players**order * game.n_outputs))
    for start in range(0, game.n_rows, step):
        at = np.arange(start, min(start + step, game.n_rows))
        rows = game.explained[at]
        block, index = game.draws.source(np.repeat(rows, m), np.tile(np.arange(m), len(rows)))
        if latest[0] is not block:
            latest = (block, way.transform(game.model.prepare(block)))
        owner = game.partition.owner if game.partition.shared else game.partition.owner[rows]
        places = linear.places[rows]
        yield (
            at,
            Part(
                x=way.transform(game.model.prepare(game.inputs.block[rows])),
                data=latest[1],
                index=np.asarray(index).reshape(len(rows), m),
                owner=np.ascontiguousarray(owner[:, way.sources]),
                places=additive.places[places],
                weights=linear.weights[rows] * additive.factors[places],
                n_players=game.n_players,
                masses=masses,
                order=order,
                n_jobs=game.n_jobs,
            ),
        )
