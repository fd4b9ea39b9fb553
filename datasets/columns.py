"""Text files as columns: numbers, and categories as codes with their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xai.datasets.dataset import Floats

MISSING = ("", "?")
AGAIN = "Is it the right file? To fetch it again, delete it and its .sha256"


def read_text(path: Path) -> str:
    """What a file says; it must say something."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} holds no text: {error}. {AGAIN}") from error
    if not text.strip():
        raise ValueError(f"{path} is empty. {AGAIN}")
    return text


def read_csv(path: Path) -> list[list[str]]:
    """The lines of a file of comma-separated values; empty ones are left out."""
    lines = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=True)
    return [line for line in lines if line]


@dataclass(frozen=True)
class Table:
    """A file's columns of text, by name.

    Attributes
    ----------
    file : where they come from, for messages
    columns : {name: texts}
    """

    file: Path
    columns: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, file: Path, names: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
        """Columns of lines that must all have one entry for each name."""
        whole = list(lines)
        for number, line in enumerate(whole, 1):
            if len(line) != len(names):
                raise ValueError(
                    f"{file}: row {number} has {len(line)} entries where {len(names)} are "
                    f"expected. {AGAIN}"
                )
        # Of columns that come twice under one name the first is taken.
        places = {name: names.index(name) for name in names}
        return cls(file, {name: [line[j] for line in whole] for name, j in places.items()})

    def __getitem__(self, name: str) -> Sequence[str]:
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise ValueError(f"{self.file} has no column {name!r}; it has {known}")
        return self.columns[name]

    def where(self, kept: NDArray[np.bool_]) -> Table:
        """The rows where `kept` is True."""
        places = np.flatnonzero(kept).tolist()
        return Table(
            self.file, {name: [texts[i] for i in places] for name, texts in self.columns.items()}
        )

    def numbers(self, name: str) -> Floats:
        """A column as numbers; NaN where they are missing."""
        try:
            values = [np.nan if text in MISSING else float(text) for text in self[name]]
        except ValueError as error:
            raise ValueError(f"{self.file}: column {name!r} holds no numbers: {error}") from error
        return np.array(values, np.float64)

    def codes(self, name: str, kinds: Sequence[str] | None = None) -> tuple[Floats, list[str]]:
        """A column's places among its kinds (sorted ones that occur, by default), and these."""
        texts = self[name]
        known = sorted({*texts}.difference(MISSING)) if kinds is None else list(kinds)
        place = {kind: float(k) for k, kind in enumerate(known)} | dict.fromkeys(MISSING, np.nan)
        strange = sorted({*texts}.difference(place))
        if strange:
            raise ValueError(
                f"{self.file}: column {name!r} holds {strange[0]!r}, which is none of "
                f"{', '.join(known)}"
            )
        return np.array([place[text] for text in texts], np.float64), known

    def encoded(
        self, names: Sequence[str], categories: Iterable[str]
    ) -> tuple[Floats, dict[str, tuple[str, ...]]]:
        """Columns side by side, (n, d), and the names of the categories."""
        found: dict[str, tuple[str, ...]] = {}
        columns, worded = [], {*categories}
        for name in names:
            if name in worded:
                column, kinds = self.codes(name)
                found[name] = tuple(kinds)
            else:
                column = self.numbers(name)
            columns.append(column)
        return np.stack(columns, axis=1), found
