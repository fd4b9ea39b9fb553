"""Whether a metric deserves trust: it tells from chance, repeats, and agrees with itself."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, combinations, count
from typing import Any, TypeAlias

import numpy as np
from scipy.stats import rankdata

from xai.explanation import Explanation
from xai.metrics import checks
from xai.metrics.case import Case, Scene, split
from xai.metrics.controls import RandomExplain, flipped, random_of, replaced
from xai.metrics.evaluation import (
    SIGNED,
    Asked,
    asked_metrics,
    by_name,
    named_explanations,
    scene_of_all,
    seed_of,
)
from xai.metrics.intervals import of_shares
from xai.metrics.numerics import levels, pearson, ratio
from xai.metrics.score import Floats, mean
from xai.records import as_lines

Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, repr=False)
class MetaCheck:
    """What `meta_check` found of one metric.

    Attributes
    ----------
    metric, better : str
    above_chance : explanation -> share of (row, random attribution) pairs that it is better in
        ½ says that the metric cannot tell it from chance; ties count half.
    above_flipped : the same against its own signs flipped; NaN where signs do not count
    intervals : explanation -> their 95 % intervals over rows, ((low, high), (low, high))
    seed_spread : explanation -> standard deviation of the mean score over seeds
    agreement : {(removal, removal): mean rank correlation of the explanations, row by row}
        Of the explanations with their flipped and random controls; empty for one removal.
    """

    metric: str
    better: str
    above_chance: dict[str, float]
    above_flipped: dict[str, float]
    seed_spread: dict[str, float]
    agreement: dict[tuple[str, str], float] = field(default_factory=dict)
    intervals: dict[str, tuple[Interval, Interval]] = field(default_factory=dict)

    def __repr__(self) -> str:
        table = [
            ["", "better than a random attribution", "than its flipped signs",
             "spread over seeds"],
            *(
                [f"  {name}", *map(_share, (chance, self.above_flipped[name]), ends),
                 f"{self.seed_spread[name]:.2g}"]
                for (name, chance), ends in zip(
                    self.above_chance.items(), self.intervals.values(), strict=True
                )
            ),
        ]  # fmt: skip
        head = f"{self.metric} ({self.better} is better): % of rows, with 95 % intervals"
        lines = [head, *as_lines(table)]
        lines += [
            f"  ranks under {a} and {b} agree by {r:.2f}" for (a, b), r in self.agreement.items()
        ]
        return "\n".join(lines)


def _share(part: float, ends: Interval) -> str:
    if np.isnan(part):
        return ""
    within = "" if np.isnan(ends[0]) else f" ({100 * ends[0]:.0f} to {100 * ends[1]:.0f})"
    return f"{part:.0%}{within}"


def meta_check(
    model: Any,
    x: Any,
    explanations: Explanation | Mapping[str, Any],
    metric: str | tuple[str, dict[str, Any]],
    *,
    removals: Sequence[Any] = (),
    seeds: int = 3,
    randoms: int = 10,
    explain: Mapping[str, Any] | None = None,
    **common: Any,
) -> MetaCheck:
    """Check a metric on these explanations, before its numbers are believed.

    Tomsett et al. 2020 and Hedström et al. 2023 (MetaQuantus) found metrics that tell nothing from
    chance, or that rank explanations otherwise under another removal.

    Parameters
    ----------
    explanations : as for `evaluate`
    metric : its name, or (name, options)
    removals : two or more, to see whether they rank alike; the first serves for the rest
    seeds : how often it is repeated with other random numbers
    randoms : random attributions to be told from, in each row as large as the first explanation
    explain, **common : as for `evaluate`

    Raises
    ------
    ValueError
        `seeds` or `randoms` that is no positive integer.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([3.0, 1.0, 2.0])
    >>> x = np.random.default_rng(0).normal(size=(8, 3))
    >>> e = xai.explain(f, x, "exact_shapley", removal="baseline")
    >>> meta_check(f, x, e, "abpc").above_flipped
    {'exact_shapley': 1.0}
    """
    checks.count("seeds", seeds)
    checks.count("randoms", randoms)
    if isinstance(removals, str) or not isinstance(removals, Sequence):
        raise TypeError(f"removals must be a list, such as [{removals!r}]")
    split("meta_check", [], common)
    named = named_explanations(explanations, common.get("target"), x)
    explain = by_name(explain, named)
    ((label, asked),) = asked_metrics(model, [metric], named, explain).items()
    seed = seed_of(common)
    common = common | {"seed": seed}
    if removals and common.get("removal") is None:
        common["removal"] = removals[0]
    better = asked.record.better
    sign = 1 if better == "higher" else -1
    checked = _Checked(asked, named, explain)
    with scene_of_all(model, x, named, common) as scene:
        own = {n: sign * v for n, v in checked.scores(scene).items()}
        signed = named if checked.signed else {}
        against = {n: sign * checked.scored(scene, flipped(e)) for n, e in signed.items()}
        chance = [sign * checked.of_chance(scene, seed + i) for i in range(randoms)]
        tables: dict[str, Floats] = {}
        for removal in removals:
            again = scene_of_all(model, x, named, common | {"removal": removal})
            # most often the first is the scene's, whose values are known
            with nullcontext(scene) if removal is common["removal"] else again as other:
                table = checked.table(other, seed)
                tables[_untaken(repr(other.setting.recipe.removal), tables)] = table
    means = {n: [sign * mean(v)] for n, v in own.items()}
    for further in range(1, seeds):
        with scene_of_all(model, x, named, common | {"seed": seed + further}) as scene:
            for n, values in checked.scores(scene).items():
                means[n].append(mean(values))
    by_row = {
        n: (_better(v, np.stack(chance)), _better(v, against.get(n, np.full_like(v, np.nan))[None]))
        for n, v in own.items()
    }
    return MetaCheck(
        label,
        better,
        {n: shares[0][0] for n, shares in by_row.items()},
        {n: shares[1][0] for n, shares in by_row.items()},
        {n: float(np.std(v, ddof=1)) if seeds > 1 else np.nan for n, v in means.items()},
        {(a, b): _agreement(tables[a], tables[b]) for a, b in combinations(tables, 2)},
        {n: (shares[0][1], shares[1][1]) for n, shares in by_row.items()},
    )  # fmt: skip


@dataclass(frozen=True)
class _Checked:
    """A metric that is checked, and the explanations on which it is."""

    metric: Asked
    named: dict[str, Any]
    explain: dict[str, Any]

    @property
    def signed(self) -> bool:
        """Whether signs count."""
        return self.metric.record.category in SIGNED

    def scored(self, scene: Scene, attribution: Any, again: Any = None) -> Floats:
        return self.metric.score(Case(scene, attribution), again).values

    def scores(self, scene: Scene) -> dict[str, Floats]:
        """Of the explanations themselves."""
        return {n: self.scored(scene, e, self.explain.get(n)) for n, e in self.named.items()}

    def of_chance(self, scene: Scene, seed: int) -> Floats:
        """Of a random attribution, as large as the first explanation."""
        like = next(iter(self.named.values()))
        again = RandomExplain(seed, Case(scene, like).flat)
        return self.scored(scene, random_of(like, seed), again)

    def table(self, scene: Scene, seed: int) -> Floats:
        """Of the explanations, of their negatives, and of a random one: (2 E + 1, n)."""
        first, *_ = self.named.values()
        flat = Case(scene, first).flat
        rows = [*self.scores(scene).values()]
        for e in self.named.values():
            opposite = flipped(e) if self.signed else replaced(e, np.negative)
            rows.append(self.scored(scene, opposite, RandomExplain(seed, flat)))
        return np.stack([*rows, self.of_chance(scene, seed)])


def _untaken(name: str, taken: Container[str]) -> str:
    """A name, numbered where others have it: backgrounds are no part of a removal's."""
    numbered = (f"{name} ({i})" for i in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)


def _better(values: Floats, others: Floats) -> tuple[float, Interval]:
    """Share of pairs in which `values` (n,) are above `others` (m, n), with its interval over rows.

    Near ties are half.
    """
    known = ~(np.isnan(values) | np.isnan(others))
    places = levels(np.concatenate([values[None], others]))
    wins = (places[0] > places[1:]) + 0.5 * (places[0] == places[1:])
    if not known.any():
        return float("nan"), (float("nan"), float("nan"))
    of_rows = ratio(np.where(known, wins, 0).sum(axis=0), known.sum(axis=0))
    return float(wins[known].mean()), of_shares(of_rows[~np.isnan(of_rows)])


def _agreement(a: Floats, b: Floats) -> float:
    """Mean rank correlation of explanations (E, n), row by row; rows without one left out."""
    known = ~(np.isnan(a) | np.isnan(b)).any(axis=0)
    ranks = [rankdata(levels(t[:, known]), axis=0).T for t in (a, b)]
    r = pearson(*ranks) if known.any() else np.array([np.nan])
    return mean(r)
