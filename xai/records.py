"""Records that print as a table: of methods, of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Generic, TypeVar

R = TypeVar("R")


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

    def __iter__(self) -> Iterator[R]:
        return iter(self._records)

    def _rows(self) -> list[list[str]]:
        return [[str(getattr(r, name)) for name in self._columns.values()] for r in self]

    def __repr__(self) -> str:
        rows = [list(self._columns), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join([*lines, self._note])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{title}</th>" for title in self._columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
