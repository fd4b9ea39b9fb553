"""One row and one output of an explanation, as pictures and tables show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import as_array, category_name
from xai.foreign import as_explanation
from xai.inputs import is_whole

if TYPE_CHECKING:
    from xai.explanation import Explanation

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Row:
    """Attributions of one row to one output, one entry per player.

    Attributes
    ----------
    method, output : str
        What was asked.
    names, cells : list of str
        Each player's name, and the value of its column: empty where it has not exactly one.
    values, std_error : (d,) float arrays
        `std_error` is None where the values are exact.
    base, prediction : float
    undefined : int
        How many players were left out because their value is NaN.
    place : str
        Which row of how many; empty where there is one.
    unit : str
        What the values are attributions to; empty where that is not known.
    """

    method: str
    output: str
    names: list[str]
    cells: list[str]
    values: Floats
    std_error: Floats | None
    base: float
    prediction: float
    undefined: int = 0
    place: str = ""
    unit: str = ""

    @property
    def labels(self) -> list[str]:
        """Names with the values of their columns: `worst radius = 25.4`."""
        return [
            f"{name} = {cell}" if cell else name
            for name, cell in zip(self.names, self.cells, strict=True)
        ]

    @property
    def heading(self) -> str:
        """The method and the output it explains."""
        return f"{self.method}: {self.output}"

    def titled(self, name: str, beside: Row) -> str:
        """The name of this one in a picture of several, with its output where `beside` has another.

        `beside` is the one whose output the title tells.
        """
        return name if self.output == beside.output else f"{name}, of {self.output}"

    @property
    def state(self) -> list[str]:
        """The prediction, the base value where there is one, and which row it is, of several."""
        base = [] if np.isnan(self.base) else [f"base value {self.base:z.4g}"]
        place = [self.place] if self.place else []
        return [f"prediction {self.prediction:z.4g}", *base, *place]

    @property
    def ends(self) -> str:
        """The state in one line, with what its numbers are of."""
        numbers = self.state[: len(self.state) - bool(self.place)]
        unit = f" ({self.unit})" if self.unit else ""
        return ", ".join([*numbers[:-1], numbers[-1] + unit, *self.state[len(numbers) :]])

    @property
    def told(self) -> list[str]:
        """Lines over a picture: the prediction, and which row it is, of several."""
        return [self.state[0], *([self.place] if self.place else [])]

    def largest(self, count: int) -> Row:
        """Keep the `count` largest by |value|, ties by index; sum the others into a last entry.

        NaN values are left out and counted. The sum has no standard error: the others' errors
        are correlated.
        """
        check_count(count)
        order = np.argsort(-np.abs(self.values), kind="stable")
        defined = order[~np.isnan(self.values[order])]
        kept, others = defined[:count], defined[count:]
        names, cells = [self.names[j] for j in kept], [self.cells[j] for j in kept]
        values = self.values[kept]
        errors = None if self.std_error is None else self.std_error[kept]
        if len(others):
            names.append(f"{len(others)} other feature{'s' * (len(others) > 1)}")
            cells.append("")
            values = np.append(values, self.values[others].sum())
            errors = None if errors is None else np.append(errors, np.nan)
        return replace(
            self,
            names=names,
            cells=cells,
            values=values,
            std_error=errors,
            undefined=len(order) - len(defined),
        )


def check_count(count: object) -> None:
    """Refuse a `max_display` that is no number of features."""
    if not is_whole(count) or count < 1:
        raise ValueError(f"max_display must be an integer of at least 1, not {count!r}")


def rows_of(rows: object, count: int, name: str = "rows") -> list[int]:
    """Rows to draw: those of a list or a mask; None: all.

    Raises
    ------
    ValueError
        It is no list of rows, or an empty one.
    IndexError
        There is no such row.
    """
    if rows is None:
        return list(range(count))
    found = np.asarray(rows)
    if not found.size or (found.dtype == bool and not found.any()):
        raise ValueError(f"{name} is empty: there is nothing to draw")
    if found.dtype == bool and found.shape == (count,):
        return [int(row) for row in np.flatnonzero(found)]
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a list of rows, or a mask of {count}, not {rows!r}")
    for row in found:
        if not -count <= row < count:
            raise IndexError(f"{name}: row {row} is out of range for {count} explained rows")
    return [int(row) for row in found]


def read(given: Explanation, row: int = 0, output: int | str | None = None) -> Row:
    """Take one row and one output out of an explanation, ours or shap's."""
    every = as_explanation(given)
    one, n = every[row], len(every)
    place, name = locate(one, 0, output)
    places = None if place is None else np.array([place])
    values, errors = chosen(one.values, places).ravel(), known(one.std_error)
    # Where rows differ in their number of players, NaN fills up the shorter ones.
    padding = np.isnan(values) & (np.arange(len(values)) > one.element_players[0].max())
    count = int(len(values) - padding.sum())
    cells = [""] * count
    for player, column in own_columns(one, count):
        cells[player] = _cell(column[0])
    return Row(
        method=one.method,
        output=name,
        names=names_of_players(one, len(values))[:count],
        cells=cells,
        values=values[:count],
        std_error=None if errors is None else chosen(errors, places).ravel()[:count],
        base=float(chosen(one.base_values, places)[0]),
        prediction=float(chosen(one.predictions, places)[0]),
        place=f"row {row % n} of {n}" if n > 1 else "",
        unit=one.unit,
    )


def known(errors: Floats | None) -> Floats | None:
    """Standard errors, or None where not one is known: there is nothing to draw then."""
    return None if errors is None or np.isnan(errors).all() else errors


def chosen(array: Floats, places: NDArray[np.intp] | None) -> Floats:
    """Each row's place on the last axis; None: there is no such axis."""
    if places is None:
        return array
    return np.asarray(array[np.arange(len(array)), ..., places])


def outputs(explanation: Explanation) -> list[list[int | None]]:
    """List the outputs that can be chosen in each row: [None] where it is one."""
    if explanation.base_values.ndim == 2:
        return [[int(index) for index in row] for row in explanation.target]
    return [[None]] * len(explanation)


def locate(explanation: Explanation, row: int, output: int | str | None) -> tuple[int | None, str]:
    """Where on the last axis of a row's values an output lies, and its name.

    The place is None where there is no such axis.
    """
    names, explained = explanation.output_names, np.atleast_1d(explanation.target[row])
    known = ", ".join(f"{index} ({str(names[index])!r})" for index in explained[:10])
    known += f" and {len(explained) - 10} more" if len(explained) > 10 else ""
    if output is None and len(explained) > 1:
        raise ValueError(
            f"several outputs are explained: choose one with output=. They are {known}"
        )
    if isinstance(output, str):
        places = [place for place, index in enumerate(explained) if str(names[index]) == output]
    else:  # of a vocabulary there are thousands
        same = output is None or (is_whole(output) and explained == output)
        places = np.flatnonzero(np.broadcast_to(same, explained.shape)).tolist()
    if not places:
        raise ValueError(f"output {output!r} is not explained here; explained: {known}")
    name = str(names[explained[places[0]]])
    return (places[0] if explanation.base_values.ndim == 2 else None), name


def names_of_players(one: Explanation, count: int) -> list[str]:
    """Name each player, on one line; by its number, which of a group is no column's."""
    names, owners = one.feature_names, one.element_players[0]
    if len(names) != count or names == [str(j) for j in range(count)]:
        grouped = not np.array_equal(owners.ravel(), np.arange(owners.size))
        return [f"{'group' if grouped else 'feature'} {j}" for j in range(count)]
    return [" ".join(str(name).split()) for name in names]


def per_row(explanation: Explanation) -> bool:
    """Whether each row was explained on its own, rather than a whole data set at once."""
    return len(explanation.element_players) == len(explanation)


def shape_of(explanation: Explanation) -> tuple[int, ...]:
    """The shape of an explained row; () of a text."""
    return tuple(getattr(explanation.data, "shape", ()))[1:]


def lies_over_rows(explanation: Explanation) -> bool:
    """Whether values can be laid over each row: of a layer, where it has feature maps."""
    inside = explanation.activations is None or explanation.channel_axis is None
    return per_row(explanation) and not (explanation.layer and inside)


def own_columns(explanation: Explanation, d: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """The first d players that own exactly one column of a table, each with this column (n,)."""
    data = as_array(explanation.data) if per_row(explanation) else None
    owners = explanation.element_players[0]
    if data is None or data.ndim != 2 or owners.shape != data[0].shape:
        return
    for player in range(d):
        own = np.flatnonzero(owners == player)
        if len(own) == 1:
            yield player, data[:, own[0]]


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        number = float(value)
        whole = abs(number) < 1e7 and number.is_integer()  # 17800, not 1.78e+04
        return f"{number:z.0f}" if whole else f"{number:.4g}"
    return category_name(value)
