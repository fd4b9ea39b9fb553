"""Owen values: Shapley values where players join group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices
from xai.inputs import is_whole
from xai.suggest import unknown
from xai.summary.base import (
    SAMPLED,
    Attribution,
    Budget,
    Plan,
    Summary,
    all_coalitions,
    empty_again,
    exact,
    finish,
)
from xai.summary.enumeration import shapley_weights
from xai.summary.walks import Walks, pair_cost

Tree = int | list[Any]
"""A player, or a group of trees."""


@dataclass(frozen=True)
class Owen(Summary):
    """A player's mean contribution over the orders that keep every group together.

    Parameters
    ----------
    groups : nested lists of players, by index or name; optional
        Every player once, such as ``[[0, 1], [2, [3, 4]]]``. Players and groups beside each other
        join in any order, and a group's members all join before anyone outside it does. None:
        no groups, which makes them Shapley values.
    samples : int, optional
        Number of antithetic pairs of walks.

    Raises
    ------
    TypeError
        `groups` holds something else than lists, indices and names.
    ValueError
        `groups` does not hold every player once, or holds an unknown or an empty one.

    Notes
    -----
    Owen (1977); for nested groups Winter (1989). Efficient, like Shapley values; the values of a
    group's members sum to the Shapley value that the group has as one player among the others.
    Exact where the coalitions that such orders pass fit the budget, which are far fewer than all;
    otherwise walks along such orders, each with its reverse, on draws of their own.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
    >>> Owen([[0, 1], [2]])(game).values
    array([0.25, 0.25, 0.5 ])
    """

    groups: Sequence[Any] | None = None
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = SAMPLED

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Values of all consistent coalitions where these fit, else walks."""
        tree = read_groups(self.groups, game.n_players, game.player_names)
        unit = pair_cost(game)
        cost = _parts(tree) * game.value_cost + empty_again(game) + game.ends_cost
        if cost <= plan.room(game, self.samples, unit):
            return _enumerated(game, tree, cost, plan.tolerance)
        what = "one antithetic pair of walks"
        pairs = plan.count(what, game, samples=self.samples, unit=unit)
        keys = _keys(tree, game.n_players)
        walks = Walks(game, pairs, plan, lambda seed, p: _ranks(seed, np.arange(p), keys))
        return walks.run()


# ---------------------------------------------------------------------------------------------
# Groups


def read_groups(groups: Any, d: int, names: Sequence[str]) -> Tree:
    """Check nested groups, and turn names into indices; groups of one are their member.

    Raises
    ------
    TypeError, ValueError
        Something that is no player, an empty group, a player twice or not at all.
    """
    if groups is None:
        return list(range(d)) if d > 1 else 0
    if isinstance(groups, str) or not isinstance(groups, list | tuple | np.ndarray):
        raise TypeError(f"groups must be nested lists of players, not {groups!r}")
    seen: list[int] = []
    tree = _read(groups, d, list(names), seen)
    counts = np.bincount(seen, minlength=d)
    for wrong, what in ((counts > 1, "more than once"), (counts == 0, "in no group")):
        if wrong.any():
            listed = ", ".join(_named(i, names) for i in np.flatnonzero(wrong)[:5])
            raise ValueError(f"groups must hold every player once; {what}: {listed}")
    return tree


def _read(item: Any, d: int, names: list[str], seen: list[int]) -> Tree:
    if isinstance(item, list | tuple | np.ndarray):
        if len(item) == 0:
            raise ValueError("groups holds an empty group")
        members = [_read(member, d, names, seen) for member in item]
        return members[0] if len(members) == 1 else members
    if isinstance(item, str):
        if item not in names:
            raise ValueError(unknown("player in groups:", item, names))
        player = names.index(item)
    elif not is_whole(item):
        raise TypeError(f"groups must hold players by index or name, not {item!r}")
    elif not 0 <= item < d:
        raise ValueError(f"groups holds the player {item}; there are players 0 to {d - 1}")
    else:
        player = int(item)
    seen.append(player)
    return player


def _named(player: int, names: Sequence[str]) -> str:
    return f"{player} ({names[player]})" if len(names) > player else str(player)


# ---------------------------------------------------------------------------------------------
# Exact


def _parts(tree: Tree) -> int:
    """Number of coalitions that orders pass between nobody of a tree and everybody of it."""
    if isinstance(tree, int):
        return 0
    c = len(tree)
    return int(2**c - 2 + 2 ** (c - 1) * sum(map(_parts, tree)))


@dataclass(frozen=True)
class _Consistent:
    """The coalitions of a tree that its orders pass, and what its players gain from them.

    Attributes
    ----------
    S : (C, d) bool; nobody is the first, everybody of the tree the second
    player, after, before, weight : (T,)
        phi of a player is the sum of weight · (v(S[after]) − v(S[before])) over its terms.
    """

    S: Coalitions
    player: Indices
    after: Indices
    before: Indices
    weight: NDArray[np.float64]


def _consistent(tree: Tree, d: int) -> _Consistent:
    if isinstance(tree, int):
        S = np.zeros((2, d), bool)
        S[1, tree] = True
        return _Consistent(S, np.array([tree]), np.array([1]), np.array([0]), np.ones(1))
    members = [_consistent(member, d) for member in tree]
    c = len(members)
    whole = all_coalitions(c)  # of members, (2^c, c)
    corners = whole.astype(int) @ np.stack([m.S[1] for m in members]).astype(int) > 0
    order = np.r_[0, 2**c - 1, 1 : 2**c - 1]
    place = np.argsort(order)
    chance = np.append(shapley_weights(c), 0.0)[whole.sum(axis=1)]
    blocks, terms, used = [corners[order]], [], 2**c
    for j, member in enumerate(members):
        A = np.flatnonzero(~whole[:, j])  # what stands before member j
        inside = member.S[2:]
        new = used + np.arange(len(A) * len(inside)).reshape(len(A), -1)
        index = np.column_stack([place[A], place[A | 1 << j], new])
        used += new.size
        blocks.append((corners[A, None] | inside).reshape(-1, d))
        player = np.broadcast_to(member.player, (len(A), len(member.player)))
        weight = chance[A, None] * member.weight
        parts = player, index[:, member.after], index[:, member.before], weight
        terms.append([part.ravel() for part in parts])
    player, after, before, weight = (np.concatenate(part) for part in zip(*terms, strict=True))
    return _Consistent(np.concatenate(blocks), player, after, before, weight)


def _enumerated(game: Game, tree: Tree, cost: int, tolerance: float | None) -> Attribution:
    d = game.n_players
    found = _consistent(tree, d)
    terms = np.arange(len(found.player))
    matrix = sparse.csr_array((found.weight, (found.player, terms)), shape=(d, len(terms)))

    def linear(v: Floats) -> Floats:
        gains = np.moveaxis(v[..., found.after, :] - v[..., found.before, :], -2, 0)
        phi = matrix @ gains.reshape(len(terms), -1)
        return np.moveaxis(phi.reshape(d, *gains.shape[1:]), 0, -2)

    game.progress.expect(game.n_rows * cost)
    return finish(game, *exact(game, found.S, linear), tolerance=tolerance, ran="enumeration")


# ---------------------------------------------------------------------------------------------
# Orders that keep groups together


def _keys(tree: Tree, d: int) -> Indices:
    """For each player the random numbers that place it, from the outermost group in: (depth, d).

    Groups and players are numbered from 1; a player that stands less deep has zeros below.
    """
    paths: list[list[int]] = [[] for _ in range(d)]
    count = 0

    def visit(node: Tree, path: list[int]) -> None:
        nonlocal count
        if isinstance(node, int):
            paths[node] = path
            return
        for member in node:
            count += 1
            visit(member, [*path, count])

    visit(tree, [])
    depth = max(1, max(map(len, paths)))
    return np.array([path + [0] * (depth - len(path)) for path in paths]).T


def _ranks(seed: int, samples: Indices, keys: Indices) -> Indices:
    """Positions (P, d) of the players in random orders."""
    numbers = streams.bits(seed, streams.PERMUTATION, samples, int(keys.max()) + 1)
    order = np.lexsort(numbers[:, keys[::-1]].transpose(1, 0, 2), axis=-1)
    return np.argsort(order, axis=-1)
