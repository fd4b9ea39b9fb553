"""Which method to choose: the one that is nearest to the model where you ask about it.

Every attribution is a linear surrogate of the model (Han, Srinivas & Lakkaraju 2022). No method
is nearest in every neighbourhood, so the question comes first: what if features were absent, what
if they were measured a little differently, what on the way from the baseline?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtri

from xai import streams
from xai.metrics.agreement import kind_of
from xai.metrics.attributed import target_of
from xai.metrics.case import Case, Scene
from xai.metrics.evaluation import _named, explained_by
from xai.metrics.numerics import ratio
from xai.metrics.perturb import fixed, moved, numbers
from xai.metrics.score import Floats
from xai.metrics.subsets import of_halves

METHODS = ("occlusion", "shapley", "lime", "banzhaf")
GRADIENTS = ("gradient_x_input", "integrated_gradients")
"""For torch modules, too."""
SCALE = 0.1
"""Standard deviation of the noise of "nearby", in standard deviations of each column."""
QUESTIONS = {
    "absent": "features are absent, each with chance ½",
    "nearby": "features change a little, by Gaussian noise",
    "path": "features move together from the baseline to x",
}


@dataclass(frozen=True, eq=False, repr=False)
class Choice:
    """What `choose` found.

    Attributes
    ----------
    best : str
        The method with the least mean squared error in the neighbourhood asked about.
    neighbourhood : str
    errors, r2, worst : {method: {neighbourhood: number}}
        Mean squared error; R² = 1 − error / variance of f, pooled over rows; largest |error|.
    recovery : {method: number}
        R² in the neighbourhood where the model is a linear one that was fitted to it: 1 for a
        method that recovers what it can express.
    warnings : list of str
    explanations : {method: Explanation}
    evaluations : int
        Model rows per explained row that the errors cost, whatever the number of methods.
    """

    best: str
    neighbourhood: str
    errors: dict[str, dict[str, float]]
    r2: dict[str, dict[str, float]]
    worst: dict[str, dict[str, float]]
    recovery: dict[str, float]
    warnings: list[str]
    explanations: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 0

    def __repr__(self) -> str:
        areas = list(next(iter(self.errors.values())))
        head = ["R² (worst error)", *areas, "recovers a linear model"]
        body = [
            [("→ " if m == self.best else "  ") + m]
            + [f"{self.r2[m][a]:.3f} ({self.worst[m][a]:.2g})" for a in areas]
            + [f"{self.recovery[m]:.3f}" if m in self.recovery else ""]
            for m in self.errors
        ]
        widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in [head, *body]
        ]
        asked = f"asked: {self.neighbourhood} ({QUESTIONS[self.neighbourhood]}); best: {self.best}"
        return "\n".join([*lines, asked, *(f"warning: {w}" for w in self.warnings)])


def choose(
    model: Any,
    x: Any,
    *,
    data: Any,
    neighbourhood: str = "absent",
    methods: Sequence[Any] | Mapping[str, Any] | None = None,
    explanations: Mapping[str, Any] | None = None,
    scale: float = SCALE,
    samples: int = 200,
    self_test: bool = True,
    **keywords: Any,
) -> Choice:
    """Find the method that is nearest to the model where the user asks about it.

    Parameters
    ----------
    data : (m, …) background rows
        Absent features take their values; their mean is the baseline b, their spread the unit of
        `scale`.
    neighbourhood : "absent", "nearby" or "path"
        The question; errors in the other two are reported, too.
    methods : names, `Method` objects, or label -> keywords of `explain`
        None: occlusion, Shapley values, LIME, Banzhaf values; a module's gradients, too.
    explanations : name -> Explanation
        Made before, in place of `methods`.
    samples : int
        Perturbations of each row in each neighbourhood, the same for all methods.
    self_test : bool
        Explain a linear model fitted to this one, too: does each method recover it?
    **keywords : of `xai.explain`

    Notes
    -----
    Effects φ say ``g(x∖S) = f(x) − Σ_{i∈S} φ_i``, slopes γ ``g(x + δ) = f(x) + γᵀδ``;
    one is turned into the other by ``φ = γ ⊙ (x − b)``.

    Examples
    --------
    >>> import numpy as np, xai
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(20, 3))
    >>> choice = xai.choose(lambda z: z @ np.array([1.0, 2.0, 3.0]), X[:4], data=X[4:])
    >>> round(choice.r2["shapley"]["nearby"], 6)
    1.0
    """
    if neighbourhood not in QUESTIONS:
        from xai.suggest import unknown

        raise ValueError(unknown("neighbourhood", neighbourhood, list(QUESTIONS)))
    if explanations is None:
        labelled = _labelled(model, methods)
        named: dict[str, Any] = dict(explained_by(model, x, labelled, keywords | {"data": data}))
    else:
        labelled, named = {}, _named(explanations, keywords.get("target"))
    common = {n: keywords[n] for n in ("target", "seed", "categorical", "behavior")
              if keywords.get(n) is not None}  # fmt: skip
    if "target" not in common:
        common["target"] = target_of(next(iter(named.values())))
    with Scene(model, x, data=data, players="elements", **common) as scene:
        areas = _areas(scene, data, scale, samples)
        gone = numbers(scene.seen.inputs) - areas.baseline
        surrogates = {name: _both(Case(scene, e), gone) for name, e in named.items()}
        spent = -(-scene.spent // scene.n)
        tables = {name: areas.errors(*both) for name, both in surrogates.items()}
        warnings = _warnings(scene, tables, neighbourhood)
        recovery = {}
        if self_test and labelled:
            recovery = _recovery(scene, labelled, keywords, data, areas, neighbourhood)
    errors, r2, worst = (
        {name: {area: found[area][i] for area in found} for name, found in tables.items()}
        for i in range(3)
    )
    best = min(errors, key=lambda name: errors[name][neighbourhood])
    poor = [name for name, value in recovery.items() if value < 0.9]
    if poor:
        warnings.append(f"{', '.join(poor)}: does not even recover a linear model here")
    return Choice(best, neighbourhood, errors, r2, worst, recovery, warnings, named, spent)


def _labelled(model: Any, methods: Any) -> dict[str, Any]:
    if methods is None:
        from xai.model import is_module

        methods = METHODS + GRADIENTS if is_module(model) else METHODS
    if isinstance(methods, Mapping):
        return dict(methods)
    return {m if isinstance(m, str) else m.name: m for m in methods}


@dataclass(frozen=True, eq=False)
class _Areas:
    """Perturbed inputs of each neighbourhood, and what the model says of them.

    Attributes
    ----------
    kept : (C, d) bool, gone : change of f (n, C) where the others are absent
    steps : (N, d) "nearby", step : change of f (n, N)
    shares : (P,) ξ of b + ξ(x − b), walked : change of f (n, P)
    baseline : (d,)
    """

    kept: Any
    gone: Floats
    steps: Floats
    step: Floats
    shares: Floats
    walked: Floats
    baseline: Floats

    def errors(self, phi: Floats, gamma: Floats) -> dict[str, tuple[float, float, float]]:
        """Mean squared error, R² and largest error of a surrogate in each neighbourhood."""
        total = phi.sum(axis=1, keepdims=True)
        said = {
            "absent": (-phi @ ~self.kept.T, self.gone),
            "nearby": (gamma @ self.steps.T, self.step),
            "path": ((self.shares - 1)[None] * total, self.walked),
        }
        return {area: _errors(guess, true) for area, (guess, true) in said.items()}


def _errors(said: Floats, done: Floats) -> tuple[float, float, float]:
    error = said - done
    variance = done.var(axis=1).mean()
    r2 = float(ratio(np.float64(1.0) * (error**2).mean(), variance))
    return float((error**2).mean()), 1 - r2, float(np.abs(error).max())


def _areas(scene: Scene, data: Any, scale: float, samples: int) -> _Areas:
    inputs, n = scene.setting.inputs, scene.n
    d = int(np.prod(inputs.shape))
    background = inputs.encode(data, "data")
    background = background.detach().cpu() if hasattr(background, "detach") else background
    background = np.asarray(background, np.float64).reshape(len(background), d)
    still = fixed(inputs).reshape(-1)
    e = ndtri(streams.uniforms(scene.seed, streams.MOVE, np.arange(samples), d) + 2.0**-54)
    steps = np.where(still, 0.0, scale * background.std(axis=0) * e)
    shares = (np.arange(samples) + 0.5) / samples
    b = background.mean(axis=0)
    x = numbers(inputs)
    kept = ~of_halves(d, samples, scene.seed)
    absent = np.empty((n, len(kept)))
    for rows, game in scene.games:
        absent[rows] = game.grid(np.arange(len(rows)), kept, None)[:, :, 0]
    own = scene.predictions[:, None]
    there = values_at(scene, np.tile(steps, (n, 1)).reshape(n, samples, d)) - own
    way = np.where(still, 0.0, x - b)[:, None] * (shares - 1)[None, :, None]
    return _Areas(kept, absent - own, steps, there, shares, values_at(scene, way) - own, b)


def values_at(scene: Scene, by: Floats) -> Floats:
    """The explained output of each row moved `by` (n, N, d): (n, N)."""
    inputs = scene.seen.inputs
    n, count, _ = by.shape
    index = np.repeat(np.arange(n), count)
    x = moved(inputs, index, by.reshape(n * count, *inputs.shape))
    target = scene.seen.resolved.index[index, 0]
    with Scene(
        scene.model, x, target=target, behavior=scene.behavior, batch_size=scene.batch_size,
        categorical=scene.categorical, channel_axis=scene.channel_axis,
    ) as other:  # fmt: skip
        seen = other.seen
        values = seen.values.output(np.arange(n * count), seen.outputs)
        if seen.values.reduce is not None:
            values = seen.values.reduce(np.arange(n * count), values)
        scene.spent_elsewhere += other.spent
    return np.asarray(values[:, 0], np.float64).reshape(n, count)


def _both(case: Case, gone: Floats) -> tuple[Floats, Floats]:
    """An attribution as effects φ and as slopes γ, (n, d) each; γ is 0 where x = b."""
    a = case.values
    if kind_of(case.explanation) == "slope":
        return a * gone, a
    return a, np.nan_to_num(ratio(a, gone))


def _warnings(scene: Scene, tables: Any, asked: str) -> list[str]:
    out = []
    if all(found[asked][1] < 0 for found in tables.values()):
        out.append(
            f"in the neighbourhood {asked!r} every method is worse than a constant (R² < 0): no "
            "linear explanation holds there; ask about a smaller neighbourhood"
        )
    nearest = {area: min((tables[m][area][0], m) for m in tables)[1] for area in QUESTIONS}
    if len(set(nearest.values())) > 1:
        says = ", ".join(f"{name} for {area!r}" for area, name in nearest.items())
        out.append(f"no free lunch: the nearest is {says}; the question decides")
    if fixed(scene.seen.inputs).any():
        out.append(
            "some columns are categories: they stay fixed in 'nearby' and 'path', and no slope "
            "speaks of them (Han et al. 2022)"
        )
    return out


def _recovery(
    scene: Scene, labelled: dict[str, Any], keywords: dict[str, Any], data: Any,
    areas: _Areas, asked: str,
) -> dict[str, float]:  # fmt: skip
    """R² of each method where the model is linear: weights that fit the steps nearby."""
    inputs = scene.seen.inputs
    if fixed(inputs).any() or not isinstance(scene.x, np.ndarray):
        return {}
    w = np.linalg.lstsq(areas.steps, areas.step.mean(axis=0), rcond=None)[0]
    if not w.any():
        return {}

    def linear(rows: Any) -> Floats:
        flat: Floats = np.asarray(rows, np.float64).reshape(len(rows), -1)
        return np.asarray(flat @ w)

    labelled = {k: v for k, v in labelled.items() if not (isinstance(v, str) and v in GRADIENTS)}
    given = {k: v for k, v in keywords.items() if k not in ("target", "y", "behavior")}
    made = explained_by(linear, scene.x, labelled, given | {"data": data})
    gone = numbers(inputs) - areas.baseline
    with Scene(linear, scene.x, data=data, players="elements", seed=scene.seed) as other:
        exact = _Areas(
            areas.kept, -(gone * w) @ ~areas.kept.T, areas.steps,
            np.tile(areas.steps @ w, (scene.n, 1)), areas.shares,
            (areas.shares - 1)[None] * (gone @ w)[:, None], areas.baseline,
        )  # fmt: skip
        return {
            name: exact.errors(*_both(Case(other, e), gone))[asked][1] for name, e in made.items()
        }


__all__ = ["Choice", "choose", "values_at"]
