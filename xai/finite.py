"""What models and gradients must not give: NaN or inf, with the rows that it is of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Floats = NDArray[np.floating[Any]]


class NotFiniteError(ValueError):
    """NaN or inf for some rows.

    Parameters
    ----------
    what : the sentence before "row …"
    rows : which rows (0-based)
    of : what they are rows of
    remedy : what helps against it

    Examples
    --------
    >>> print(NotFiniteError("the model returns NaN or inf for", np.array([4, 2, 4])))
    the model returns NaN or inf for row 2, 4 (0-based) of x
    """

    def __init__(self, what: str, rows: Indices, of: str = "x", remedy: str = "") -> None:
        super().__init__(what, rows, of, remedy)

    def __str__(self) -> str:
        what, rows, of, remedy = self.args
        named = ", ".join(map(str, np.unique(rows)[:5]))
        return f"{what} row {named} (0-based) of {of}" + f"; {remedy}" * bool(remedy)


@contextmanager
def named_by(index: Indices | None, of: str = "x") -> Iterator[None]:
    """Name the rows `index` where a model gives NaN or inf for copies of them; None: no copies.

    Examples
    --------
    >>> try:
    ...     with named_by(np.array([7, 7, 8, 8])):
    ...         raise NotFiniteError("NaN for", np.array([1, 2]))
    ... except NotFiniteError as error:
    ...     print(error)
    NaN for row 7, 8 (0-based) of x
    """
    try:
        yield
    except NotFiniteError as error:
        what, rows, _, remedy = error.args
        own: Any = rows if index is None else index[rows]
        raise NotFiniteError(what, own, of, remedy) from None


def refuse_infinite(
    values: NDArray[np.floating], rows: Indices, what: str, remedy: str = ""
) -> None:
    """Refuse NaN and inf among values (B, …), with the explained row that they are of."""
    # one sum finds any NaN or inf, without an array of booleans
    with np.errstate(invalid="ignore", over="ignore"):  # inf − inf; large numbers may all be finite
        if np.isfinite(values.sum()):
            return
    bad = ~np.isfinite(values).all(axis=1)
    if not bad.any():
        return
    kinds = "NaN" if np.isnan(values).any() else "inf"
    raise NotFiniteError(f"{what} {kinds} while explaining", rows[bad], remedy=remedy)


def refuse_predictions(outputs: Floats, first: int = 0) -> None:
    """Refuse NaN and inf among the model's outputs (B, K) on rows as they are, from `first` on."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1)) + first
    if len(bad):
        raise NotFiniteError("the model returns NaN or inf for", bad)
