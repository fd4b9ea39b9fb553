"""Many rows and one output of an explanation, as pictures of whole tables show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai.archive import in_days, in_numbers
from xai.foreign import as_explanation
from xai.inputs import is_whole
from xai.plots.row import (
    Floats,
    check_count,
    chosen,
    known,
    locate,
    names_of_players,
    own_columns,
)
from xai.suggest import unknown

if TYPE_CHECKING:
    from xai.explanation import Explanation

WORDS = 2**23
"""Most numbers (64 MB) in one table of texts by words."""


@dataclass(frozen=True)
class Many:
    """Attributions of n rows to one output, one column per player; of texts one per word.

    Attributes
    ----------
    method, output : str
        What was asked.
    names : list of str
        Each player's.
    values, std_error : (n, d) float arrays
        `std_error` is None where the values are exact.
    data : (n, d) float array
        The value of each player's column, or how often a text has a word; NaN where it is no
        number, or the player has not exactly one column.
    categories : tuple of d lists of str
        The values behind the codes 0, 1, … in a column of `data` that holds no numbers, else [].
    days : dict of (n,) float arrays
        By player, the columns that hold dates, as days since 1970.
    base, prediction : (n,) float arrays
    interactions : (n, d, d), or None
    of_words : bool
        Whether players are the words of texts.
    folded : int
        How many players the last column is the sum of; 0: it is one like the others.
    unit : str
        What the values are attributions to; empty where that is not known.
    """

    method: str
    output: str
    names: list[str]
    values: Floats
    std_error: Floats | None
    data: Floats
    categories: tuple[list[str], ...]
    days: dict[int, Floats]
    base: Floats
    prediction: Floats
    interactions: Floats | None = None
    of_words: bool = False
    folded: int = 0
    unit: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def heading(self) -> list[str]:
        """The method, its output, the number of rows."""
        return [f"{self.method}: {self.output}", f"{len(self)} row{'s' * (len(self) != 1)}"]

    def largest(self, count: int) -> Many:
        """Keep the `count` of largest mean |value|, ties by index; sum the others into a last."""
        check_count(count)
        single = len(self.names) - (self.folded > 0)
        sizes = np.nan_to_num(np.abs(self.values[:, :single])).mean(axis=0)
        order = np.argsort(-sizes, kind="stable")
        kept, others = order[:count], np.append(order[count:], np.arange(single, len(self.names)))
        names = [self.names[j] for j in kept]
        errors = None if self.std_error is None else self.std_error[:, kept]
        days = {at: self.days[j] for at, j in enumerate(kept.tolist()) if j in self.days}
        values, data = self.values[:, kept], self.data[:, kept]
        categories = [self.categories[j] for j in kept]
        if len(others):
            folded = len(others) + max(0, self.folded - 1)
            names.append(_others(folded, of_words=self.of_words))
            unknown_column = np.full((len(self), 1), np.nan)
            values = np.hstack([values, self.values[:, others].sum(axis=1, keepdims=True)])
            data, categories = np.hstack([data, unknown_column]), [*categories, []]
            errors = None if errors is None else np.hstack([errors, unknown_column])
        return replace(
            self, names=names, values=values, std_error=errors, data=data,
            categories=tuple(categories), days=days, interactions=None, folded=0,
        )  # fmt: skip

    def column(self, player: int) -> tuple[Floats, list[str]]:
        """A player's values in numbers, dates in days since 1970, and categories behind codes."""
        if player in self.days:
            return self.days[player], []
        return self.data[:, player], self.categories[player]

    def player(self, feature: int | str) -> int:
        """A player by its name or index.

        Raises
        ------
        ValueError
            There is no such player, or several have this name.
        """
        if isinstance(feature, str):
            if feature not in self.names:
                raise ValueError(unknown("feature", feature, self.names))
            found = [j for j, name in enumerate(self.names) if name == feature]
            if len(found) > 1:
                raise ValueError(
                    f"{len(found)} features are called {feature!r}: pass one of {found}"
                )
            return found[0]
        if not is_whole(feature) or not -len(self.names) <= feature < len(self.names):
            raise ValueError(f"feature {feature}: there are {len(self.names)}, by name or index")
        return int(feature) % len(self.names)


def read_many(given: Explanation, output: int | str | None = None) -> Many:
    """Take one output of all rows out of an explanation, ours or shap's."""
    explanation = as_explanation(given)
    if len(explanation) == 0:
        raise ValueError("the explanation has no rows: there is nothing to show")
    if explanation.is_text:
        return _of_words([explanation], output)[0]
    owners = explanation.element_players
    if (owners != owners[0]).any():
        raise ValueError(
            "many rows together need the same players in every row, and these differ: draw one, "
            "as explanation[0].plot(), or sum by name what explanation.to_frame() has of them"
        )
    n = len(explanation)
    places, name = places_of(explanation, output)
    values = chosen(explanation.values, places).reshape(n, -1)
    errors, width = known(explanation.std_error), values.shape[1]
    # NaN fills these rows up where others, that were left out, have more players.
    filled = np.isnan(values).all(axis=0) & (np.arange(width) > owners[0].max())
    d = width - int(filled.sum())
    data, categories = columns_of(explanation, d)
    inter = explanation.interactions
    return Many(
        method=explanation.method,
        output=name,
        names=names_of_players(explanation, width)[:d],
        values=values[:, :d],
        std_error=None if errors is None else chosen(errors, places).reshape(n, -1)[:, :d],
        data=data,
        categories=categories,
        days=_days(explanation, d),
        base=chosen(explanation.base_values, places),
        prediction=chosen(explanation.predictions, places),
        interactions=None if inter is None else chosen(inter, places)[:, :d, :d],
        unit=explanation.unit,
    )


def read_groups(given: Sequence[Explanation], output: int | str | None = None) -> list[Many]:
    """The same of several explanations; of texts over the words of all of them."""
    explanations = [as_explanation(one) for one in given]
    if all(len(one) and one.is_text for one in explanations):
        return _of_words(explanations, output)
    return [read_many(one, output) for one in explanations]


def _of_words(explanations: Sequence[Explanation], output: int | str | None) -> list[Many]:
    """Texts as bags of words: what each word adds up to in a text, and how often it occurs there.

    Of very many words those of the largest sums have a column of their own.
    """
    place, cells, sums = dict[str, int](), [], []
    for one in explanations:
        row, at = np.nonzero(one.element_players >= 0)
        names = [one.names_of(i) for i in range(len(one))]
        words = (" ".join(names[i][j].split()) for i, j in zip(row, at, strict=True))
        cells.append((row, at, [place.setdefault(word, len(place)) for word in words]))

    def summed(numbers: Floats, group: int) -> Any:
        row, at, code = cells[group]
        shape = len(numbers), len(place)
        return sparse.coo_array((numbers[row, at], (row, code)), shape).tocsr()

    located = [places_of(one, output) for one in explanations]
    for group, (one, (places, _)) in enumerate(zip(explanations, located, strict=True)):
        sums.append(summed(chosen(one.values, places), group))
    room = max(1, WORDS // sum(map(len, explanations)))
    order = np.argsort(-sum(abs(each).sum(axis=0) for each in sums), kind="stable")
    kept, others = np.sort(order[:room]), order[room:]
    vocabulary = np.array(list(place), object)[kept].tolist()
    names = vocabulary + [_others(len(others), of_words=True)] * bool(len(others))

    def columns(table: Any, rest: float | None = None) -> Floats:
        own = table[:, kept].toarray()
        if not len(others):
            return np.asarray(own)
        last = table[:, others].sum(axis=1) if rest is None else np.full(len(own), rest)
        return np.column_stack([own, last])

    found = []
    for group, (one, (places, name)) in enumerate(zip(explanations, located, strict=True)):
        errors = known(one.std_error)
        many = Many(
            method=one.method,
            output=name,
            names=names,
            values=columns(sums[group]),
            # of a word that comes twice at most the sum: its two errors may go together
            std_error=None if errors is None else columns(summed(chosen(errors, places), group)),
            data=columns(summed(np.ones(one.element_players.shape), group), rest=np.nan),
            categories=tuple([] for _ in names),
            days={},
            base=chosen(one.base_values, places),
            prediction=chosen(one.predictions, places),
            unit=one.unit,
            of_words=True,
            folded=len(others),
        )
        found.append(many)
    return found


def _others(count: int, *, of_words: bool) -> str:
    return f"{count} other {'word' if of_words else 'feature'}{'s' * (count > 1)}"


def places_of(
    explanation: Explanation, output: int | str | None
) -> tuple[NDArray[np.intp] | None, str]:
    """Where on the last axis each row has the output (None: no such axis), and its name."""
    targets = explanation.target.reshape(len(explanation.target), -1)
    first, name = locate(explanation, 0, output)
    if (targets == targets[0]).all():
        return (None if first is None else np.full(len(explanation), first)), name
    found = [locate(explanation, row, output) for row in range(len(explanation))]
    names = {name for _, name in found}
    name = names.pop() if len(names) == 1 else "each row's own output"
    return (None if first is None else np.array([place for place, _ in found])), name


def columns_of(explanation: Explanation, d: int) -> tuple[Floats, tuple[list[str], ...]]:
    """The column (n, d) of each player in numbers, and the categories behind codes."""
    out = np.full((len(explanation), d), np.nan)
    categories: list[list[str]] = [[] for _ in range(d)]
    for player, column in own_columns(explanation, d):
        out[:, player], categories[player] = in_numbers(column)
    return out, tuple(categories)


def _days(explanation: Explanation, d: int) -> dict[int, Floats]:
    """The columns (n,) of dates, by player."""
    found = ((player, in_days(column)) for player, column in own_columns(explanation, d))
    return {player: days for player, days in found if days is not None}
