"""Records that print as a table: of methods, of metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import groupby, zip_longest
from typing import Generic, TypeVar

R = TypeVar("R")


WIDTH = 120
"""Most characters of a line in print, where words and names are not longer."""
GAP = "  "
"""Between columns."""


def as_lines(cells: Sequence[Sequence[str]], *, ruled: bool = False) -> list[str]:
    """Lines of text whose cells stand below each other; with a rule below the first.

    Columns that have no room beside the others follow below, beside the first once more.

    Examples
    --------
    >>> as_lines([["a", "b"], ["long", "c"]], ruled=True)
    ['a     b', '----  -', 'long  c']
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [cells[0], ["-" * w for w in widths], *cells[1:]] if ruled else cells
    lines: list[str] = []
    for block in _blocks(widths):
        lines += [""] * bool(lines)
        lines += [GAP.join(row[j].ljust(widths[j]) for j in block).rstrip() for row in rows]
    return lines


def _blocks(widths: Sequence[int]) -> list[list[int]]:
    """Columns that stand beside each other, the first in every block."""
    blocks, taken = [[0]], widths[0]
    for j, width in enumerate(widths[1:], 1):
        if taken + len(GAP) + width > WIDTH and len(blocks[-1]) > 1:
            blocks.append([0])
            taken = widths[0]
        blocks[-1].append(j)
        taken += len(GAP) + width
    return blocks


def broken(cells: Sequence[Sequence[str]], width: int = WIDTH) -> list[list[str]]:
    """Rows of cells as more rows, where long cells go on below, so that they have room in a line.

    The first row and the first column stay whole. Columns become narrower where that costs the
    fewest lines; no word is broken but behind the parenthesis of a call.

    Examples
    --------
    >>> broken([["name", "parts"], ["mine", "Shapley(order=2) of all"]], width=20)
    [['name', 'parts'], ['mine', 'Shapley('], ['', 'order=2) of'], ['', 'all']]
    """
    titles = [len(cell) for cell in cells[0]]
    rows = [[_PLACES.split(cell) for cell in row] for row in cells[1:]]
    longest = [[max(map(len, parts)) for parts in column] for column in zip(*rows, strict=True)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    least = [max(own, *parts) for own, parts in zip(titles, longest, strict=True)]
    least[0] = widths[0]

    def cost(widths: list[int]) -> tuple[int, int]:
        return sum(len(_lines(row, widths)) for row in rows), sum(w * w for w in widths)

    while sum(widths) + len(GAP) * (len(widths) - 1) > width and widths != least:
        free = [j for j, w in enumerate(widths) if w > least[j]]
        widths = min(([w - (i == j) for i, w in enumerate(widths)] for j in free), key=cost)
    return [list(cells[0]), *(line for row in rows for line in _lines(row, widths))]


_PLACES = re.compile(r"(?<= )|(?<=\w{3}\()(?!\))")
"""Where a cell may go on in the next line."""


def _lines(row: Sequence[Sequence[str]], widths: Sequence[int]) -> list[list[str]]:
    """A row whose cells, each in parts, are as many lines as the longest of them needs."""
    cells = []
    for parts, width in zip(row, widths, strict=True):
        lines = [""]
        for part in parts:
            if lines[-1] and len((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
        cells.append([line.rstrip() for line in lines])
    return [list(line) for line in zip_longest(*cells, fillvalue="")]


def as_html(cells: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head.

    Examples
    --------
    >>> as_html([["a"], ["<b>"]])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head, *body = cells
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body)
    lines = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


class Table(Sequence[R], Generic[R]):
    """A sequence of records that prints some of their fields as columns.

    Parameters
    ----------
    records : of one kind
    columns : title of each column, and the field under it
    note : a line below, in print
    brief : shorter texts of some fields, in print
    under : a field whose values are lines above their records, in print
    """

    def __init__(
        self,
        records: Sequence[R],
        columns: Mapping[str, str],
        note: str,
        brief: Mapping[str, Callable[[R], str]] | None = None,
        under: str = "",
    ) -> None:
        self._records, self._columns, self._note = tuple(records), dict(columns), note
        self._brief, self._under = dict(brief or {}), under

    def __getitem__(self, index):  # type: ignore[no-untyped-def] # overloads add nothing here
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        columns = {title: name for title, name in self._columns.items() if name != self._under}
        cells = [list(columns)]
        for _, records in groupby(self, lambda record: getattr(record, self._under, "")):
            some = list(records)
            if self._under:
                cells.append([getattr(some[0], self._under), *[""] * (len(columns) - 1)])
            for record in some:
                first, *others = (self._text(record, name) for name in columns.values())
                cells.append([GAP * bool(self._under) + first, *others])
        return "\n".join([*as_lines(broken(cells), ruled=True), self._note])

    def _text(self, record: R, name: str) -> str:
        return self._brief[name](record) if name in self._brief else str(getattr(record, name))

    def _repr_html_(self) -> str:
        fields = self._columns.values()
        rows = ([str(getattr(record, name)) for name in fields] for record in self)
        return as_html([list(self._columns), *rows])
