"""What can be removed: a player is a set of elements of x, and a coalition keeps some players."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.concepts.players import Concepts
from xai.inputs import Inputs, is_tensor, is_whole, on_host
from xai.partition import Partition, Players, numbered
from xai.regions import Channels, Grid, Patches, Pixels, Superpixels, Windows
from xai.suggest import unknown
from xai.units import ActivationMaps, Units

__all__ = [
    "ActivationMaps",
    "Channels",
    "Columns",
    "Concepts",
    "Elements",
    "Grid",
    "Groups",
    "Partition",
    "Patches",
    "Pixels",
    "Players",
    "Superpixels",
    "Tokens",
    "Units",
    "Windows",
    "as_players",
    "column_index",
    "own_groups",
]


@dataclass(frozen=True)
class Elements(Players):
    """Every element (column) by itself; of texts every word, as `Tokens` has them.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x.sum(axis=1)
    >>> xai.explain(f, np.ones((1, 3)), "occlusion", removal="baseline", players=Elements()).values
    array([[1., 1., 1.]])
    """

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each element of a row."""
        if inputs.is_text:
            return Tokens().encode(inputs, channel_axis)
        size = int(np.prod(inputs.shape))
        owner = np.arange(size).reshape(1, *inputs.shape)
        names = inputs.names or numbered(inputs.shape)
        return Partition(owner, np.full(inputs.n, size), list(names), inputs.shape, "Elements()")


@dataclass(frozen=True, eq=False)
class Groups(Players):
    """Players by group ids, as captum's ``feature_mask``.

    Parameters
    ----------
    ids : int array shaped like ``x.shape[1:]`` or like `x`, but that axes may be 1
        Players are the ids in ascending order (of each row); -1 is never removed. Along an axis
        of 1 all have the same: ``(T, 1)`` divides a series of C channels by its steps.

    Raises
    ------
    TypeError
        Ids that are no integers.
    ValueError
        Ids below -1, of another shape than x, or a row that has no player.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x.sum(axis=1)
    >>> ids = np.array([0, 0, 1, -1])
    >>> xai.explain(f, np.ones((1, 4)), "occlusion", removal="baseline", players=Groups(ids)).values
    array([[2., 1.]])
    """

    ids: NDArray[Any]

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """Number the ids; rows may differ in how many they have."""
        ids = np.asarray(on_host(self.ids))
        if not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"players: group ids must be integers, not {ids.dtype}")
        shape = inputs.shape
        whole = ids[None] if ids.ndim == len(shape) else ids
        fits = zip(whole.shape, (inputs.n, *shape), strict=False)
        if whole.ndim != 1 + len(shape) or not all(own in (1, size) for own, size in fits):
            raise ValueError(
                f"players of shape {ids.shape} do not cover x: expected {shape} or "
                f"{(inputs.n, *shape)}, or 1 along an axis whose places have the same players"
            )
        ids = np.broadcast_to(whole, (len(whole), *shape))
        if (ids < -1).any():
            raise ValueError("players: group ids are 0 or more, or -1 for what is never removed")
        owner = np.empty(ids.shape, np.intp)
        counts, labels = [], []
        for i, row in enumerate(ids):
            known = np.unique(row[row >= 0])
            if len(known) == 0:
                raise ValueError(f"players: row {i} has no player: every id is -1")
            owner[i] = np.where(row >= 0, np.searchsorted(known, row), -1)
            counts.append(len(known))
            labels.append(known)
        sizes = np.broadcast_to(np.array(counts), (inputs.n,)).copy()
        d = max(counts)
        names = [str(v) for v in labels[0]] if len(labels) == 1 else numbered((d,))
        return Partition(owner, sizes, names, (d,), f"Groups({d})")


@dataclass(frozen=True, eq=False)
class Columns(Players):
    """Groups of a table's columns, by name or index, that cover every column.

    Parameters
    ----------
    groups : list of columns or of lists of columns, or a dict of these by their players' names

    Raises
    ------
    TypeError
        Names of groups that are no strings, or a group that is no list.
    ValueError
        The rows are no table, or groups that are empty, overlap or leave columns out.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x.prod(axis=1)
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> xai.explain(f, x, "occlusion", removal="baseline", players=Columns([[0, 1], 2])).values
    array([[6., 6.]])
    >>> named = {"area": [0, 1], "price": 2}
    >>> xai.explain(f, x, "occlusion", removal="baseline", players=named).feature_names
    ['area', 'price']
    """

    groups: Sequence[Any] | Mapping[str, Any]

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """Each column's group; a column in none or in two is refused."""
        if len(inputs.shape) != 1:
            raise ValueError(
                "column groups are for tables (2-D batches); use an array of group ids"
            )
        names = inputs.names or numbered(inputs.shape)
        owner = np.full(inputs.shape, -1, np.intp)
        named = isinstance(self.groups, Mapping)
        pairs = self.groups.items() if isinstance(self.groups, Mapping) else enumerate(self.groups)
        held: dict[str, list[str]] = {}
        for i, (label, group) in enumerate(pairs):
            if named and not isinstance(label, str):
                raise TypeError(f"players: names of groups must be strings, not {label!r}")
            members = [group] if isinstance(group, str | int | np.integer) else group
            if not isinstance(members, Iterable):
                raise TypeError(
                    f"players: group {label!r} must be a column or a list of columns, not {group!r}"
                )
            members = list(members)
            if not members:
                raise ValueError(f"players: group {label!r} is empty")
            places = [column_index(member, names) for member in members]
            for j in places:
                if owner[j] != -1:
                    raise ValueError(f"players: column {names[j]!r} is in two groups")
                owner[j] = i
            held[str(label)] = [names[j] for j in places]
        left = [names[j] for j in np.flatnonzero(owner == -1)]
        if left:
            more = ", …" * bool(left[10:])
            raise ValueError(
                f"players do not cover x: no group holds {', '.join(map(repr, left[:10]))}{more}; "
                "each must be in one, and an array of group ids keeps those of −1"
            )
        d = len(held)
        labels = list(held) if named else [" + ".join(group) for group in held.values()]
        told = f"Columns({held if named else labels})"
        return Partition(owner[None], np.full(inputs.n, d), labels, (d,), told)


@dataclass(frozen=True)
class Tokens(Players):
    """The words of each text.

    Raises
    ------
    ValueError
        The rows are no strings, or one of them is empty.

    Examples
    --------
    >>> import xai
    >>> f = lambda texts: np.array([float("good" in text) for text in texts])
    >>> texts = ["good film"]
    >>> xai.explain(f, texts, "include_one", players=Tokens(), removal="baseline").values
    array([[1., 0.]])
    """

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each word; texts may differ in how many they have."""
        from xai.text import PAD, words_of

        if not inputs.is_text:
            raise ValueError("Tokens() are for lists of strings")
        present = inputs.block != PAD
        owner = np.where(present, np.cumsum(present, axis=1) - 1, -1)
        counts = present.sum(axis=1)
        if (empty := np.flatnonzero(counts == 0)).size:
            named = ", ".join(map(str, empty[:5]))
            raise ValueError(
                f"row {named} (0-based) is an empty text: nothing to remove, so leave it out"
            )
        d = int(counts.max())
        names = numbered((d,))
        if inputs.names is not None:
            names = inputs.names
        elif inputs.n == 1:
            names = words_of(inputs.decode(inputs.block)[0])
        return Partition(owner, counts, names, (d,), "Tokens()")


def column_index(column: Any, names: Sequence[str]) -> int:
    """A column's place by name or index, or an error that names the nearest.

    Raises
    ------
    ValueError
        There is no such column.

    Examples
    --------
    >>> column_index("age", ["sex", "age"]), column_index(0, ["sex", "age"])
    (1, 0)
    """
    if is_whole(column):
        if str(column) in names:
            return list(names).index(str(column))
        if not 0 <= column < len(names):
            raise ValueError(f"column {column} is out of range: x has {len(names)} columns")
        return int(column)
    if str(column) not in names:
        raise ValueError(unknown("column", column, names))
    return list(names).index(str(column))


def own_groups(players: Any) -> Any:
    """The same players, where a caller's list or dict of groups may change later.

    Examples
    --------
    >>> own_groups({"age": [0]})
    {'age': [0]}
    """
    if isinstance(players, Mapping):
        return deepcopy(dict(players))
    return deepcopy(players) if isinstance(players, list) else players


def as_players(players: Any, inputs: Inputs, channel_axis: int | None) -> Players:
    """What `explain(players=…)` accepts, as a `Players` object.

    Raises
    ------
    TypeError
        Nothing that names players.
    ValueError
        An unknown word.

    Examples
    --------
    >>> from xai.inputs import read
    >>> as_players([[0, 1], 2], read(np.ones((1, 3))), None)
    Columns(groups=[[0, 1], 2])
    """
    if isinstance(players, Players):
        return players
    if players is None:
        if inputs.is_text:
            return Tokens()
        return Pixels() if channel_axis is not None else Elements()
    if isinstance(players, str):
        if players == "elements":
            return Elements()
        raise ValueError(unknown("players", players, ["elements"]))
    if isinstance(players, np.ndarray) or is_tensor(players):
        return Groups(players)
    if isinstance(players, list | tuple | Mapping):
        return Columns(players)
    raise TypeError(
        "players must be None, 'elements', an array of group ids, a list or dict of column groups "
        f"or an xai.players object, not {type(players).__name__}"
    )
