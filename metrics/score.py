"""What a metric returns: one number per explained row, and what it states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.inputs import on_host
from xai.tables import is_missing

Floats: TypeAlias = NDArray[np.floating]
Indices: TypeAlias = NDArray[np.intp]
Better: TypeAlias = Literal["higher", "lower"]


def mean(values: Floats) -> float:
    """Mean of the numbers that are there; NaN where none is.

    Examples
    --------
    >>> mean(np.array([1.0, np.nan, 2.0])), mean(np.array([np.nan]))
    (1.5, nan)
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """Scores of n explained rows.

    Attributes
    ----------
    values : (n,) float
        NaN where the metric is undefined for a row: `mean` leaves such rows out, `undefined`
        counts them, and the repr says so.
    name, category : str
        The metric's, as `xai.metrics.names()` lists it.
    better : "higher" or "lower"
    removal, output : str
        How features were removed and which output of the model was looked at; "" where nothing
        was removed, or no model was called.
    evaluations : int
        Model rows spent per explained row, rounded up; what `evaluate` shares counts once.
    curve : (n, K + 1), or None
        From nothing changed to everything changed.
    info : dict of arrays
        What a metric says besides; a `floor` and a `faithfulness` (n,) are printed with it.

    Raises
    ------
    ValueError
        `values` is not one number per row.

    Examples
    --------
    >>> score = Score(np.array([0.25, 0.75, np.nan]), "deletion", "lower", "faithfulness")
    >>> score.mean(), score.undefined
    (0.5, 1)
    """

    values: Floats
    name: str
    better: Better
    category: str
    removal: str = ""
    output: str = ""
    evaluations: int = 0
    curve: Floats | None = None
    info: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.array(self.values, np.float64)
        if values.ndim != 1:
            raise ValueError(f"a score has one number per row, not an array {values.shape}")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def undefined(self) -> int:
        """Number of rows without a score."""
        return int(np.isnan(self.values).sum())

    def mean(self) -> float:
        """Mean over the rows that have a score; NaN where none has."""
        return mean(self.values)

    @property
    def std_error(self) -> float:
        """Standard error of the mean, over rows; NaN with fewer than two, or an infinite one."""
        kept = self.values[~np.isnan(self.values)]
        if len(kept) < 2 or np.isinf(kept).any():
            return float("nan")
        return float(kept.std(ddof=1) / np.sqrt(len(kept)))

    def gap(self, groups: Any) -> float:
        """Largest difference between the means of `groups`, a label for each row.

        Fairness of an explanation's quality (Dai et al. 2022): 0 where groups fare alike, NaN
        where a group has no score. A row without a label (None, NaN) is refused.
        """
        labels = np.asarray(on_host(groups))
        if labels.shape != self.values.shape:
            raise ValueError(f"groups has shape {labels.shape}: expected {self.values.shape}")
        for row, label in enumerate(labels):
            if is_missing(label):
                raise ValueError(f"groups: row {row} has no label, but {label!r}; give it one")
        means = [mean(self.values[labels == label]) for label in np.unique(labels)]
        return float(np.max(means) - np.min(means))

    def beside(self, what: str) -> float | None:
        """Mean over the rows of a "floor" or "faithfulness" that the metric is read with."""
        figures = self.info.get(what)
        return None if figures is None else mean(figures)

    def _with(self) -> list[str]:
        floor, faith = self.beside("floor"), self.beside("faithfulness")
        said = [] if floor is None else [f"floor={floor:.3g}"]
        if faith is None:
            return said
        unknown = "faithfulness unknown: pass data= or removal="
        return [*said, unknown if np.isnan(faith) else f"faithfulness (abpc)={faith:.3g}"]

    def __repr__(self) -> str:
        spread = "" if np.isnan(self.std_error) else f" ± {self.std_error:.2g}"
        parts = [f"{self.mean():.4g}{spread}", f"{self.better} is better", f"rows={len(self)}"]
        if self.undefined:
            parts.append(f"undefined (NaN) for {self.undefined} of them")
        parts += self._with()
        parts += [f"{k}={v}" for k, v in (("removal", self.removal), ("output", self.output)) if v]
        return f"Score({self.name}: {', '.join(parts)}, evaluations={self.evaluations})"
