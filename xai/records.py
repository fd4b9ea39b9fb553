"""Records that print as a table: of methods, of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Generic, TypeVar

R = TypeVar("R")


def as_lines(cells: Sequence[Sequence[str]], *, ruled: bool = False) -> list[str]:
    """Lines of text whose cells stand below each other; with a rule below the first.

    Examples
    --------
    >>> as_lines([["a", "b"], ["long", "c"]], ruled=True)
    ['a     b', '----  -', 'long  c']
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [cells[0], ["-" * w for w in widths], *cells[1:]] if ruled else cells
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


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
    """

    def __init__(self, records: Sequence[R], columns: Mapping[str, str], note: str) -> None:
        self._records, self._columns, self._note = tuple(records), dict(columns), note

    def __getitem__(self, index):  # type: ignore[no-untyped-def] # overloads add nothing here
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def _cells(self) -> list[list[str]]:
        fields = self._columns.values()
        return [list(self._columns), *([str(getattr(r, name)) for name in fields] for r in self)]

    def __repr__(self) -> str:
        return "\n".join([*as_lines(self._cells(), ruled=True), self._note])

    def _repr_html_(self) -> str:
        return as_html(self._cells())
