"""A scored table of explanations: means with errors, ranks, the Pareto front, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from xai.archive import require
from xai.metrics.controls import RANDOM
from xai.metrics.intervals import interval
from xai.metrics.numerics import levels, sizes
from xai.metrics.score import Floats, Indices, Score
from xai.records import as_html, as_lines
from xai.suggest import unknown

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What `evaluate` measured.

    Attributes
    ----------
    scores : (metric, explanation) -> Score; also as ``report[metric, explanation]``
    metrics, names : labels of the metrics, and of the explanations and controls
    controls : names of the controls: "random", and each explanation with its signs flipped
    evaluations : int
        Model rows spent in all, per explained row; what is shared counts once.
    explanations : name -> what was scored

    Raises
    ------
    KeyError
        `report[metric, name]`, or a method, of one that was not scored.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> x = np.random.default_rng(0).normal(size=(20, 2))
    >>> report = xai.compare(f, x, ["occlusion", "shapley"], ["deletion"], data=np.zeros((1, 2)))
    >>> report.names, report["deletion", "shapley"].better
    (('occlusion', 'shapley', 'occlusion (flipped)', 'shapley (flipped)', 'random'), 'lower')
    >>> report.beats_random("deletion", "shapley")
    True
    """

    scores: dict[tuple[str, str], Score]
    metrics: tuple[str, ...]
    names: tuple[str, ...]
    controls: tuple[str, ...] = ()
    evaluations: int = 0
    explanations: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __getitem__(self, key: tuple[str, str]) -> Score:
        if not (isinstance(key, tuple) and len(key) == 2):
            raise KeyError(f"a score is report[metric, explanation], not report[{key!r}]")
        metric, name = key
        if (metric, name) not in self.scores:
            if metric not in self.metrics:
                raise KeyError(unknown("metric", metric, self.metrics))
            raise KeyError(unknown("explanation", name, [n for m, n in self.scores if m == metric]))
        return self.scores[metric, name]

    def interval(
        self, metric: str, name: str, level: float = 0.95, *, bootstrap: bool = False
    ) -> tuple[float, float]:
        """Interval of the mean score, over rows; exact (Clopper-Pearson) of scores 1 or 0.

        Else Student's, made for skew (Hall 1992): of five normal scores it holds the mean as often
        as it says, of skewed ones, some 90 % in place of 95. `bootstrap`: of resampled rows (BCa),
        which of few rows holds it more rarely.
        """
        score = self[metric, name]
        return interval(score.name, score.values, level, self.seed if bootstrap else None)

    def beats_random(self, metric: str, name: str, level: float = 0.95) -> bool | None:
        """Whether the score is better than the random control's, row by row, beyond chance.

        The interval of the mean difference lies above 0; by chance it does so in (1 − level)/2 of
        cases. Where all differences are equal, they must be as many as a sign test needs: six, of
        which chance gets all right once in 64. None without the control.
        """
        _ = self[metric, name]  # one that was not scored is refused, with the control or without
        if (metric, RANDOM) not in self.scores or name == RANDOM:
            return None
        gain = self._gain(metric, name, RANDOM)
        low, high = interval("", gain, level)
        few = low == high and 2.0 ** -np.count_nonzero(~np.isnan(gain)) > (1 - level) / 2
        return bool(low > 0 and not few)

    def _gain(self, metric: str, name: str, other: str) -> Floats:
        """How much better one is than another, row by row."""
        sign = 1 if self[metric, name].better == "higher" else -1
        return sign * (self[metric, name].values - self[metric, other].values)

    def ranks(self) -> dict[str, dict[str, float]]:
        """Mean rank of each explanation (1 is best) by each metric, controls left out."""
        return {
            metric: {n: float(r.mean()) if len(r) else np.nan for n, r in found.items()}
            for metric, found in self.row_ranks().items()
        }

    def row_ranks(self) -> dict[str, dict[str, Floats]]:
        """Each explanation's ranks by each metric in the rows where all have a score.

        One without a score in any row has no rank, and is not waited for. Scores that differ by
        rounding are equal: by a part of the largest, of controls too.
        """
        out: dict[str, dict[str, Floats]] = {}
        for metric in self.metrics:
            mine, scored, table, size = self._table(metric)
            found = rankdata(levels(-table, size), axis=0)
            out[metric] = dict.fromkeys(mine, np.empty(0))
            out[metric] |= {mine[i]: of_rows for i, of_rows in zip(scored, found, strict=True)}
        return out

    def _table(self, metric: str) -> tuple[list[str], Indices, Floats, Floats]:
        """Explanations, the places of those with scores, and these where all E of them have one.

        As more is better, (E, rows), with the size of all scores there, (rows,).
        """
        every = [n for n in self.names if (metric, n) in self.scores]
        mine = [n for n in every if n not in self.controls]
        sign = 1 if self.better(metric) == "higher" else -1
        scores = {n: sign * self[metric, n].values for n in every}
        table = np.stack([scores[n] for n in mine])
        scored = np.flatnonzero(~np.isnan(table).all(axis=1))
        known = ~np.isnan(table[scored]).any(axis=0)
        return mine, scored, table[scored][:, known], sizes(np.stack([*scores.values()]))[known]

    def pareto(self, metrics: Sequence[str] | None = None) -> list[str]:
        """Explanations that no other one is at least as good as in all of these, and better in one.

        By means of the rows where all have a score: to have none where rows are hard is no merit,
        and none at all is worst. `metrics`: None takes the first of faithfulness, of robustness
        and of simplicity. Where there are no metrics to go by, a ValueError.
        """
        if isinstance(metrics, str):
            raise TypeError(f"metrics must be a list of names, such as [{metrics!r}]")
        axes = self._axes() if metrics is None else list(metrics)
        if not axes:
            raise ValueError(
                "no metric of faithfulness, robustness or simplicity to find a front in: pass "
                f"metrics=, of {list(self.metrics)}"
            )
        mine = [n for n in self.names if n not in self.controls]
        places = np.zeros((len(mine), len(axes)), np.intp)
        for axis, metric in enumerate(axes):
            _, scored, table, size = self._table(metric)
            means = np.full(len(mine), -np.inf)
            means[scored] = table.mean(axis=1) if table.shape[1] else 0.0
            places[:, axis] = levels(means, size.max(initial=0.0))
        beaten = [
            any((other >= own).all() and (other > own).any() for other in places) for own in places
        ]
        return [n for n, lost in zip(mine, beaten, strict=True) if not lost]

    def _axes(self) -> list[str]:
        first: dict[str, str] = {}
        for metric in self.metrics:
            category = next(s.category for (m, _), s in self.scores.items() if m == metric)
            first.setdefault(category.split(" by ")[0], metric)
        return [first[c] for c in ("faithfulness", "robustness", "simplicity") if c in first]

    def to_frame(self) -> pandas.DataFrame:
        """One line for each metric and explanation: mean, errors, interval, cost, removal."""
        pandas = require("pandas", "pandas")
        return pandas.DataFrame([self.line(metric, name) for metric, name in self.scores])

    def line(self, metric: str, name: str) -> dict[str, Any]:
        """What `to_frame` says of one score."""
        score = self[metric, name]
        low, high = self.interval(metric, name)
        return {
            "metric": metric, "explanation": name, "mean": score.mean(),
            "std_error": score.std_error, "low": low, "high": high, "better": score.better,
            "beats_random": self.beats_random(metric, name), "control": name in self.controls,
            "undefined": score.undefined, "category": score.category, "removal": score.removal,
            "output": score.output, "evaluations": score.evaluations,
            "floor": score.beside("floor"), "faithfulness": score.beside("faithfulness"),
        }  # fmt: skip

    def per_sample(self) -> pandas.DataFrame:
        """One line for each metric, explanation and row."""
        pandas = require("pandas", "pandas")
        parts = [
            {"metric": m, "explanation": n, "row": i, "value": float(v)}
            for (m, n), score in self.scores.items()
            for i, v in enumerate(score.values)
        ]
        return pandas.DataFrame(parts)

    def plot(self, kind: str = "bars", ax: Any = None) -> Any:
        """Draw the report.

        Parameters
        ----------
        kind : "bars" (a panel for each metric: means and 95 % intervals), "ranks" or "radar"

        Returns
        -------
        matplotlib Figure ("bars"), or Axes
        """
        from xai.metrics.picture import draw

        return draw(self, kind, ax)

    def to_html(self, path: str | PathLike[str], **options: Any) -> Path:
        """Write one self-contained interactive page; see `xai.report.scores_page`."""
        from xai.report import scores_page

        return scores_page(self, path, **options)

    def _cells(self) -> list[list[str]]:
        head = ["", *(f"{m} {_ARROW[self.better(m)]}" for m in self.metrics)]
        return [
            head,
            *([name, *(self._cell(m, name) for m in self.metrics)] for name in self.names),
        ]

    def better(self, metric: str) -> str:
        """Which scores of a metric are better: "higher" or "lower"."""
        return self[metric, next((n for m, n in self.scores if m == metric), "")].better

    def _cell(self, metric: str, name: str) -> str:
        if (metric, name) not in self.scores:
            return ""
        score = self[metric, name]
        error = "" if np.isnan(score.std_error) else f" ± {score.std_error:.1g}"
        mark = "*" if self.beats_random(metric, name) else ""
        gone = f" ({score.undefined} NaN)" if score.undefined else ""
        faith = score.beside("faithfulness")
        beside = "" if faith is None else f" [{faith:.2g}]"
        return f"{score.mean():.3g}{error}{mark}{gone}{beside}"

    def _notes(self) -> list[str]:
        removals = sorted({s.removal for s in self.scores.values() if s.removal})
        outputs = sorted({s.output for s in self.scores.values() if s.output})
        said = [f"removal: {'; '.join(removals)}"] if removals else []
        said += [f"output: {'; '.join(outputs)}"] if outputs else []
        notes = [", ".join([*said, f"{self.evaluations} model rows per explained row"])]
        if RANDOM in self.names:
            tried = sum(self.beats_random(*key) is not None for key in self.scores)
            chance = round(0.025 * tried)
            notes.append(
                "* better than the random control (95 % interval over rows"
                + f"; by chance alone about {chance} of {tried} would be" * (chance > 0)
                + ")"
            )
        read_with = [m for m in self.metrics if any(
            s.beside("faithfulness") is not None for (name, _), s in self.scores.items()
            if name == m)]  # fmt: skip
        if read_with:
            notes.append(
                f"[] abpc, the faithfulness to read {', '.join(read_with)} with: noise, which is "
                "never like itself, does best by these and has 0; NaN: pass data= or removal="
            )
        for metric in read_with:
            floor = self[metric, self.names[0]].beside("floor")  # the model's, whatever is scored
            if floor is not None:
                notes.append(f"floor of {metric}: {floor:.2g}; signed attributions may be below")
        return notes

    def __repr__(self) -> str:
        return "\n".join([*as_lines(self._cells(), ruled=True), *self._notes()])

    def _repr_html_(self) -> str:
        return f"{as_html(self._cells())}<p>{'<br>'.join(map(escape, self._notes()))}</p>"


_ARROW = {"higher": "↑", "lower": "↓"}
