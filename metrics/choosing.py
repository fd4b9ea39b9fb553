"""Which method to choose: the one that is nearest to the model where you ask about it.

Every attribution is a linear surrogate of the model (Han, Srinivas & Lakkaraju 2022). No method
is nearest in every neighbourhood, so the question comes first: what if features were absent, what
if they were measured a little differently, what on the way from the baseline?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xai.explain import composed
from xai.explanation import Explanation
from xai.inputs import as_texts, on_host
from xai.metrics import checks
from xai.metrics.axioms import completeness_gap
from xai.metrics.case import Case, Scene
from xai.metrics.evaluation import (
    SHARED,
    asked_methods,
    explained_by,
    labelled_methods,
    made_up_by,
    named_explanations,
    read_by,
    scene_of_all,
)
from xai.metrics.neighbourhoods import Areas, areas_of, as_surrogate, refuse_gaps
from xai.metrics.perturb import fixed, flattened, numbers, refuse_codes
from xai.metrics.robustness import max_sensitivity
from xai.metrics.score import mean
from xai.model import is_module
from xai.records import as_lines
from xai.removal import Baseline
from xai.suggest import unknown
from xai.targets import keeps_axis

METHODS = ("occlusion", "shapley", "lime", "banzhaf")
GRADIENTS = ("gradient_x_input", "integrated_gradients")
"""For torch modules, too: from the mean of `data`, as the other methods."""
SCALE = 0.1
"""Standard deviation of the noise of "nearby", in standard deviations of each column."""
SAME = 1e-9
"""R² that differ by less are the same but for rounding."""
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
        The method with the least mean squared error in the neighbourhood asked about; the first
        of those that differ by rounding.
    neighbourhood : str
    errors, r2, worst : {method: {neighbourhood: number}}
        Mean squared error; R² = 1 − error / variance of f, pooled over rows; largest |error|.
    recovery : {method: number}
        R² in the neighbourhood where the model is a linear one that was fitted to it: 1 for a
        method that recovers what it can express.
    gaps : {method: number}
        Mean ``|Σ φ − (f(x) − v(∅))|`` in the explanation's own game; NaN where it has no v(∅).
    sensitivity : {method: number}
        Mean `max_sensitivity` over copies moved by at most `scale` standard deviations of each
        column; NaN where an explanation cannot be repeated. {} without `copies`.
    costs : {method: int}
        Model rows per explained row that the explanation cost.
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
    gaps: dict[str, float]
    costs: dict[str, int]
    warnings: list[str]
    explanations: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 0
    sensitivity: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        areas = list(next(iter(self.errors.values())))
        moved = ["sensitivity"] if self.sensitivity else []
        head = ["R² (worst error)", *areas, "recovers a linear model", "gap", *moved, "model rows"]
        body = [
            [("→ " if m == self.best else "  ") + m]
            + [f"{self.r2[m][a]:.3f} ({self.worst[m][a]:.2g})" for a in areas]
            + [f"{self.recovery[m]:.3f}" if m in self.recovery else ""]
            + [_figure(self.gaps[m]), *(_figure(self.sensitivity[m]) for _ in moved)]
            + [f"{self.costs.get(m, '')}"]
            for m in self.errors
        ]
        asked = f"asked: {self.neighbourhood} ({QUESTIONS[self.neighbourhood]}); best: {self.best}"
        return "\n".join(
            [*as_lines([head, *body]), asked, *(f"warning: {w}" for w in self.warnings)]
        )


def _figure(number: float) -> str:
    return "" if np.isnan(number) else f"{number:.2g}"


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
    copies: int = 0,
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
        The question; errors in the other two are reported, too. Features of images are pixels,
        whose channels are absent, and change, together. Columns that hold NaN are for "absent":
        in the other two they stay.
    methods : names, `Method` objects, or label -> keywords of `explain`
        None: occlusion, Shapley values, LIME, Banzhaf values; a module's gradients, too, where no
        columns are `categorical`.
    explanations : name -> Explanation
        Made before, in place of `methods`.
    samples : int
        Perturbations of each row in each neighbourhood, the same for all methods: together they
        cost ``samples · (m + 2)`` model rows per explained row, so pass few background rows.
    copies : int
        Of each row, that every method explains again for the column of sensitivity; 0: none. Each
        costs as much as the explanation.
    self_test : bool
        Explain a linear model fitted to this one, too: does each method recover it? A logistic
        model would be the same test, as its log odds are linear; its probabilities are not, and
        no linear explanation recovers them.
    **keywords : of `xai.explain`

    Raises
    ------
    ValueError
        An unknown neighbourhood; NaN in another than "absent"; a `scale`, `samples` or `copies`
        that is no such number; both `methods` and `explanations`.
    TypeError
        `data` is None.

    Notes
    -----
    Effects φ say ``g(x∖S) = f(x) − Σ_{i∈S} φ_i``, slopes γ ``g(x + δ) = f(x) + γᵀδ``;
    one is turned into the other by ``φ = γ ⊙ (x − b)``, and effects of another baseline by way of
    slopes.

    Examples
    --------
    >>> import numpy as np, xai
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(20, 3))
    >>> choice = xai.choose(lambda z: z @ np.array([1.0, 2.0, 3.0]), X[:4], data=X[4:])
    >>> round(choice.r2["shapley"]["nearby"], 6)
    1.0
    """
    if not isinstance(neighbourhood, str) or neighbourhood not in QUESTIONS:
        raise ValueError(unknown("neighbourhood", neighbourhood, list(QUESTIONS)))
    if as_texts(x, texts=False) is not None:
        raise TypeError("choose asks about rows of numbers, and x holds texts: use xai.compare")
    if hasattr(x, "tocsr"):
        raise TypeError("choose needs dense x, whose numbers it moves: pass x.toarray()")
    if data is None:
        raise TypeError("data=None: choose needs rows whose values absent features take")
    checks.positive("scale", scale)
    # of one sample the spread is 0, whatever the model
    samples = checks.count("samples", samples, least=2)
    copies = checks.count("copies", copies, least=0)
    checks.flag("self_test", self_test)
    if "target" in keywords and keeps_axis(keywords["target"]):
        raise ValueError("choose asks about one output at a time: pass target=an index")
    parts = composed(model, x, read_by(keywords) | {"data": data})
    refuse_codes(parts)
    refuse_gaps(parts.inputs, data, neighbourhood)
    common = {n: keywords[n] for n in SHARED if n in keywords}
    common |= {"data": data, "players": "elements"}
    labelled: dict[str, Any] = {}
    like = None
    if explanations is None:
        labelled = _labelled(model, x, data, methods, keywords.get("categorical"))
        asked = asked_methods(model, x, labelled, keywords | {"data": data})
        made_up, like = made_up_by(model, x, asked, keywords)
        if made_up:
            scene_of_all(model, x, named_explanations(made_up, keywords.get("target"), x), common)
        named: dict[str, Any] = dict(explained_by(model, x, asked))
    else:
        named = _made_before(explanations, methods, keywords, x)
    scene = scene_of_all(model, x, named, common)
    scene.take(like)
    with scene, scene.bar.of("choose"):
        areas = areas_of(scene, data, scale, samples)
        cases = {name: Case(scene, e) for name, e in named.items()}
        surrogates = {name: as_surrogate(c, areas.baseline) for name, c in cases.items()}
        gaps = {name: _gap(c) for name, c in cases.items()}
        spent = -(-scene.spent // scene.n)
        sensitivity = {n: _sensitivity(c, areas.reach, copies) for n, c in cases.items() if copies}
        tables = {name: areas.errors(*both) for name, both in surrogates.items()}
        warnings = _warnings(scene, tables, neighbourhood, areas.free)
        recovery: dict[str, float] = {}
        if self_test and labelled:
            recovery, why = _recovery(scene, labelled, keywords, data, areas, neighbourhood)
            warnings += [*why, *_poor(recovery)]
    errors, r2, worst = (
        {name: {area: found[area][i] for area in found} for name, found in tables.items()}
        for i in range(3)
    )
    best = _nearest({name: found[neighbourhood] for name, found in tables.items()})[0]
    costs = {name: e.evaluations for name, e in named.items() if isinstance(e, Explanation)}
    return Choice(
        best, neighbourhood, errors, r2, worst, recovery, gaps, costs, warnings, named, spent,
        sensitivity,
    )  # fmt: skip


def _made_before(
    explanations: Mapping[str, Any], methods: Any, keywords: dict[str, Any], x: Any
) -> dict[str, Any]:
    """Explanations by name; what is for making them is refused beside them."""
    if methods is not None:
        raise ValueError("pass methods= or explanations=, not both")
    unused = [name for name in keywords if name not in SHARED]
    if unused:
        raise TypeError(f"{unused[0]}= is for methods=: explanations= are made already")
    return named_explanations(explanations, keywords.get("target"), x)


def _gap(case: Case) -> float:
    """Mean completeness gap in the explanation's own game; NaN where it has no empty state."""
    e = case.explanation
    if not isinstance(e, Explanation) or np.isnan(e.base_values).any():
        return float("nan")
    return float(np.mean(completeness_gap(None, None, e).values))


def _sensitivity(case: Case, reach: Any, copies: int) -> float:
    """Mean `max_sensitivity` within `reach`; NaN where nothing moves, or nobody can repeat it."""
    e = case.explanation
    if not isinstance(e, Explanation) or e.recipe is None or not reach.any():
        return float("nan")
    core = max_sensitivity.core  # type: ignore[attr-defined] # shares the scene
    return mean(core(case, radius=reach, samples=copies))


def _labelled(model: Any, x: Any, data: Any, methods: Any, categorical: Any) -> dict[str, Any]:
    if methods is None:
        own = {name: name for name in METHODS}
        if not is_module(model) or categorical is not None:  # there are no gradients in codes
            return own
        # of a frame by its columns' names
        table = hasattr(data, "columns")
        mean = Baseline("mean" if table else np.asarray(on_host(data)).mean(axis=0))
        return own | {name: {"method": name, "removal": mean} for name in GRADIENTS}
    return labelled_methods(methods)


def _warnings(scene: Scene, tables: Any, asked: str, free: Any) -> list[str]:
    out = []
    if all(np.isnan(found[asked][1]) for found in tables.values()):
        out.append(
            f"the model does not change in the neighbourhood {asked!r}: R² is undefined, and the "
            "question has no answer"
        )
    if all(found[asked][1] < 0 for found in tables.values()):
        out.append(
            f"in the neighbourhood {asked!r} every method is worse than a constant (R² < 0): none "
            "of them holds there; try others ('nearby' asks for slopes, as c_lime's), or a smaller "
            "neighbourhood"
        )
    nearest = {
        area: [] if all(found[area][1] < 0 for found in tables.values())  # there none holds
        else _nearest({m: tables[m][area] for m in tables})
        for area in QUESTIONS
    }  # fmt: skip
    decided = [set(names) for names in nearest.values() if names]
    if decided and not set.intersection(*decided):
        says = ", ".join(
            f"{' and '.join(names) or 'none'} for {area!r}" for area, names in nearest.items()
        )
        out.append(f"no free lunch: the nearest is {says}; the question decides")
    kinds = fixed(scene.seen.inputs).reshape(-1)
    if (~free & ~kinds).any():
        out.append(
            "some columns hold NaN: they stay fixed in 'nearby' and 'path', and no slope speaks of "
            "them; fill them to have them moved"
        )
    if kinds.any():
        out.append(
            "some columns are categories: they stay fixed in 'nearby' and 'path', and no slope "
            "speaks of them (Han et al. 2022)"
        )
    return out


def _nearest(found: dict[str, tuple[float, float, float]]) -> list[str]:
    """Methods of least error, but for rounding."""
    least, r2, _ = min(found.values())
    return [m for m, (error, own, _) in found.items() if error == least or r2 - own <= SAME]


def _recovery(
    scene: Scene, labelled: dict[str, Any], keywords: dict[str, Any], data: Any,
    areas: Areas, asked: str,
) -> tuple[dict[str, float], list[str]]:  # fmt: skip
    """R² of each method where the model is linear, with weights that fit the steps nearby.

    And why there is none, where there is none.
    """
    inputs = scene.seen.inputs
    if not areas.free.all():
        what = "categories" if fixed(inputs).any() else "columns that hold NaN"
        return {}, [f"a linear model of {what} has no slopes to recover: no self-test"]
    w = np.linalg.lstsq(areas.steps, areas.step.mean(axis=0), rcond=None)[0]
    if not w.any():
        return {}, ["the model does not change nearby, so that no linear one fits: no self-test"]
    module = is_module(scene.model)
    linear = _module(w) if module else lambda rows: flattened(rows) @ w
    left_out = {"target", "y", "behavior", "output_names"}
    given = {k: v for k, v in keywords.items() if k not in left_out}
    again = asked_methods(linear, scene.x, labelled, given | {"data": data})
    made = explained_by(linear, scene.x, again)
    gone = numbers(inputs) - areas.baseline
    with Scene(linear, scene.x, data=data, players="elements", seed=scene.seed,
               channel_axis=scene.channel_axis, batch_size=scene.batch_size) as other:  # fmt: skip
        exact = replace(
            areas, gone=-(gone * w) @ ~areas.kept.T, step=np.tile(areas.steps @ w, (scene.n, 1)),
            walked=(areas.shares - 1)[None] * (gone @ w)[:, None],
        )  # fmt: skip
        both = {name: as_surrogate(Case(other, e), areas.baseline) for name, e in made.items()}
        return {name: exact.errors(*pair)[asked][1] for name, pair in both.items()}, []


def _poor(recovery: dict[str, float]) -> list[str]:
    poor = [name for name, r2 in recovery.items() if r2 < 0.9]
    do = "does" if len(poor) == 1 else "do"
    return [f"{', '.join(poor)}: {do} not even recover a linear model here"] if poor else []


def _module(w: Any) -> Any:
    """The linear function as a torch module."""
    import torch

    layer = torch.nn.Linear(len(w), 1, bias=False, device="meta")  # draws no weights
    with torch.inference_mode(False):  # it has gradients, whoever asks
        layer.weight = torch.nn.Parameter(torch.tensor(w, device="cpu")[None])
    return torch.nn.Sequential(torch.nn.Flatten(), layer)


__all__ = ["Choice", "choose"]
