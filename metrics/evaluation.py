"""Several explanations, several metrics, one table: with controls, over shared games."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np

from xai.explain import composed, explain, rehearse
from xai.explanation import Explanation
from xai.foreign import converted
from xai.inputs import read
from xai.methods import Method
from xai.methods import Record as MethodRecord
from xai.metrics import checks
from xai.metrics.attributed import (
    Named,
    asked_for,
    by_place,
    numbers_of,
    own_keywords,
    refuse_data_set,
)
from xai.metrics.case import SCENE_OPTIONS, Case, Scene, one_output, predicted, score, split
from xai.metrics.controls import (
    RANDOM,
    RandomExplain,
    flipped,
    random_of,
)
from xai.metrics.registry import Record, find
from xai.metrics.report import Report
from xai.metrics.score import Score
from xai.model import Rehearsed, is_module, reads_codes, takes_texts, wrap
from xai.setting import Setting
from xai.streams import as_seed
from xai.suggest import unknown
from xai.targets import Top

DEFAULT = (
    "deletion", "insertion", "abpc", "faithfulness_correlation", "max_sensitivity", "complexity",
    "completeness_gap",
)  # fmt: skip
"""What is measured where nothing else is asked for; re-explaining only where all can."""
SIGNED = ("faithfulness by removal", "faithfulness by agreement")
"""Categories whose metrics the sign-flipped control is scored by."""


def evaluate(
    model: Any,
    x: Any,
    explanations: Explanation | Mapping[str, Any],
    metrics: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    controls: bool = True,
    explain: Mapping[str, Any] | None = None,
    **common: Any,
) -> Report:
    """Score explanations of the same rows by several metrics, beside controls.

    All metrics of removal share one game: what is left of a row with some of its players removed is
    evaluated once, whichever explanations and metrics ask.

    Parameters
    ----------
    model, x : as for `xai.explain`
    explanations : name -> Explanation (ours or shap's) or array; or one Explanation
    metrics : names, pairs (name, options), or label -> either
        A function of `xai.metrics`, or a row of its `names()`, is a name, too. None: deletion,
        insertion, abpc, faithfulness_correlation, max_sensitivity (where all can be explained
        again, and x is of numbers, not sparse or codes), complexity, completeness_gap.
    controls : bool
        Add a random attribution, in each row as large as the first explanation, and each
        explanation with its signs flipped (where signs count).
    explain : name -> (model, x, target) -> array
        How to explain again, where an explanation is an array.
    **common : data, removal, behavior, players, target, seed, …, as for every metric
        What is not given is the first explanation's own; where explanations have different
        players, every element (pixel) is one, but to simplicity, which is of each one's own; where
        methods explain different behaviors, but were asked for none, the prediction is scored.

    Raises
    ------
    TypeError
        An unknown keyword, or an option of one of the metrics: it goes with that one's name.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f, x = lambda x: x @ np.array([3.0, 1.0, 2.0]), np.ones((4, 3))
    >>> e = xai.explain(f, x, "exact_shapley", removal="baseline")
    >>> report = evaluate(f, x, {"shapley": e}, ["deletion", "complexity"])
    >>> report.names, round(report["deletion", "shapley"].mean(), 2)
    (('shapley', 'shapley (flipped)', 'random'), 2.33)
    """
    checks.flag("controls", controls)
    with _met(model, x, explanations, metrics, explain, common) as met:
        return met.report(controls)


@dataclass(frozen=True)
class Asked:
    """A metric that was asked for: its line of the table, its function, and options of its own."""

    record: Record
    core: Callable[..., Any]
    options: dict[str, Any]

    def explaining(self, again: Any) -> dict[str, Any]:
        """The options, with what explains again where they name none; noise has none but its."""
        given = {"explain": again} if "explain" in self.record.needs else {}
        return self.options | given if isinstance(again, RandomExplain) else given | self.options

    def score(self, case: Case, again: Any, told: str = "") -> Score:
        """The score of a case, which is explained `again` so, where it has to be."""
        return score(self.record.name, case, self.core, self.explaining(again), told)


@dataclass(frozen=True)
class _Met:
    """What `evaluate` scores: cases in one scene, by metrics, and how to explain each again."""

    scene: Scene
    cases: dict[str, Case]
    asked: dict[str, Asked]
    explain: dict[str, Any]

    def rehearse(self) -> None:
        """Refuse what one metric refuses before another is measured: only x is evaluated."""
        with self.scene.rehearsal() as other:
            for label, metric in self.asked.items():
                for name, case in self.cases.items():
                    again = metric.explaining(self.explain.get(name))
                    with noted(f"{label} of {name!r} was to be measured"), suppress(Rehearsed):
                        metric.core(Case(other, case.explanation), **again)

    def report(self, controls: bool, *, rehearsed: bool = False) -> Report:
        """Scores of all cases, and of the controls where they are wanted, by all metrics."""
        scene, cases, (first, *_) = self.scene, self.cases, self.cases.values()
        several = len(self.asked) > 1 and any(m.record.cost != "0" for m in self.asked.values())
        if several and not rehearsed and not scene.inside:  # a single one refuses in time
            self.rehearse()
        again = self.explain | {RANDOM: RandomExplain(scene.seed, first.flat)}
        extra: dict[str, Case] = {}
        if controls:
            extra = {f"{n} (flipped)": Case(scene, flipped(c.explanation))
                     for n, c in cases.items()}  # fmt: skip
            extra[RANDOM] = Case(scene, random_of(first.explanation, scene.seed))
        scores: dict[tuple[str, str], Score] = {}
        for label, metric in self.asked.items():
            for name, case in (cases | extra).items():
                if name.endswith(" (flipped)") and metric.record.category not in SIGNED:
                    continue
                told = f"{label} of {name!r}"
                with noted(f"{told} was to be measured"):
                    scores[label, name] = metric.score(case, again.get(name), told)
        evaluations = -(-scene.spent // scene.n) if scene.spent else 0
        named = {name: case.explanation for name, case in cases.items()}
        return Report(
            scores, tuple(self.asked), (*cases, *extra), tuple(extra), evaluations, named,
            scene.seed,
        )  # fmt: skip


@contextmanager
def _met(
    model: Any,
    x: Any,
    explanations: Any,
    metrics: Any,
    explain: Any,
    common: dict[str, Any],
    like: Setting | None = None,
) -> Iterator[_Met]:
    """Explanations and metrics as they were asked for, in an open scene.

    Parameters
    ----------
    model, x, explanations, … : as for `evaluate`
    like : x's own predictions, where they are known
    """
    named = named_explanations(explanations, common.get("target"), x)
    explain = by_name(explain, named)
    if metrics is None:
        metrics = _default(model, x, named, explain)
    asked = asked_metrics(model, metrics, named, explain)
    for record in (metric.record for metric in asked.values()):
        for own in set(_public(record).options).intersection(common):
            pair = f"({record.name!r}, {{{own!r}: …}})"
            raise TypeError(f"{own}= is an option of {record.name}: ask for {pair} in metrics=")
    seed = seed_of(common)
    with scene_of_all(model, x, named, common | {"seed": seed}) as scene:
        scene.take(like)
        cases = {name: Case(scene, explanation) for name, explanation in named.items()}
        yield _Met(scene, cases, asked, explain)


def seed_of(common: Mapping[str, Any]) -> int:
    """The seed that was asked for; 0 where none was."""
    given = common.get("seed")
    return 0 if given is None else as_seed(given)


def named_explanations(explanations: Any, target: Any, x: Any) -> dict[str, Any]:
    """Explanations by name, of one output each."""
    explanations = converted(explanations)
    if isinstance(explanations, Explanation):
        explanations = {explanations.method: explanations}
    if not isinstance(explanations, Mapping) or not explanations:
        raise TypeError("explanations must be an Explanation, or a dict from names to such")
    refuse_controls(explanations)
    named = {str(name): one_output(value, target, x) for name, value in explanations.items()}
    if len(named) < len(explanations):
        raise ValueError(f"two explanations have the same name, of {list(explanations)}")
    rows = {}
    for name, e in named.items():
        with noted(f"explanations[{name!r}]"):
            if isinstance(e, Explanation):
                refuse_data_set(e)
            rows[name] = len(e if isinstance(e, Explanation) else numbers_of(e))
    first, *others = rows
    for name in others:
        if rows[name] != rows[first]:
            raise ValueError(f"{name!r} has {rows[name]} rows, and {first!r} has {rows[first]}")
    return named


def refuse_controls(names: Iterable[Any]) -> None:
    """Refuse names that the report's controls have."""
    for name in names:
        if name == RANDOM or str(name).endswith(" (flipped)"):
            raise ValueError(f"{name!r} is the name of a control: choose another")


def by_name(explain: Any, named: dict[str, Any]) -> dict[str, Any]:
    """How to explain again, by the explanations' names."""
    if explain is None:
        return {}
    if not isinstance(explain, Mapping):
        raise TypeError(
            f"explain must be a dict such as {{{next(iter(named))!r}: function}}, not {explain!r}"
        )
    for name in explain:
        if str(name) not in named:
            raise ValueError(unknown("explanation", name, named))
    return {str(name): function for name, function in explain.items()}


def asked_metrics(
    model: Any, metrics: Any, named: dict[str, Any], explain: Mapping[str, Any]
) -> dict[str, Asked]:
    """The metric of each label; what cannot be measured is refused at once."""
    fixed = _unrepeatable(named, explain)
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        name = _name(metrics)
        such = [name] if isinstance(name, str) else ["deletion"]
        raise TypeError(f"metrics must be a list of names, such as {such}, not {metrics!r:.80}")
    pairs = list(metrics.items()) if isinstance(metrics, Mapping) else [(None, m) for m in metrics]
    asked: dict[str, Asked] = {}
    for label, given in pairs:
        name, options = _with_options(given)
        record = find(name)
        public = _public(record)
        own, shared = split(name, public.options, options)
        if shared:
            raise TypeError(
                f"{name}: {', '.join(shared)} are for all metrics: pass them to evaluate itself"
            )
        for needed in public.needed:
            if needed not in own:
                raise TypeError(f"{name} needs {needed}=: ask for ({name!r}, {{{needed!r}: …}})")
        if "torch" in record.needs and not is_module(model):
            raise TypeError(
                f"{name} looks into a torch module, and the model is a {type(model).__name__}"
            )
        if fixed and "explain" in record.needs and "explain" not in own:
            raise ValueError(
                f"{name} explains again, and {fixed[0]!r} is an array: pass "
                f"explain={{{fixed[0]!r}: function}}, or leave the metric out"
            )
        label = name if label is None else str(label)
        if label in asked:
            raise ValueError(f"{label!r} is asked for twice: pass metrics as a dict with labels")
        asked[label] = Asked(record, public.core, own)
    return asked


def _public(record: Record) -> Any:
    """A metric's public function."""
    return getattr(import_module(f"xai.metrics.{record.home}"), record.name)


def _with_options(given: Any) -> tuple[str, dict[str, Any]]:
    """A metric's name and options."""
    alone = not isinstance(given, Sequence) or isinstance(given, str)
    pair = (given, {}) if alone else tuple(given)
    if len(pair) == 2 and isinstance(pair[1], Mapping):
        name = _name(pair[0])
        if isinstance(name, str):
            return name, dict(pair[1])
    raise TypeError(f"a metric is a name or a pair (name, options), not {given!r:.80}")


def _name(metric: Any) -> Any:
    """The name of a metric that is given as its function, or as its row of `names()`."""
    if isinstance(metric, Record):
        return metric.name
    return metric.__name__ if callable(metric) and hasattr(metric, "core") else metric


def _default(model: Any, x: Any, named: dict[str, Any], explain: Mapping[str, Any]) -> list[str]:
    """The default metrics, but those that explain x again where it cannot be, or be moved."""
    again = not _unrepeatable(named, explain)
    moves = again and not hasattr(x, "tocsr") and _of_numbers(model, x)
    return [name for name in DEFAULT if moves or "explain" not in find(name).needs]


def _of_numbers(model: Any, x: Any) -> bool:
    """Whether rows are neither texts nor codes for a module's embedding."""
    inputs = read(x, texts=takes_texts(model))
    codes = is_module(model) and reads_codes(wrap(model, inputs), inputs)
    return not (inputs.is_text or codes)


def _unrepeatable(named: dict[str, Any], explain: Mapping[str, Any]) -> list[str]:
    held = {n for n, e in named.items() if isinstance(e, Explanation) and e.recipe is not None}
    return [name for name in named if name not in held.union(explain)]


def scene_of_all(model: Any, x: Any, named: dict[str, Any], common: dict[str, Any]) -> Scene:
    """One scene for all: what is not given is the first explanation's, where all agree."""
    _, rest = split("evaluate", [], common)
    given = {name: value for name, value in rest.items() if value is not None}
    ours = [e for e in named.values() if isinstance(e, Explanation)]
    own = [own_keywords(e, given, x) for e in ours]
    if "target" in given:
        given["target"] = reduce(by_place, ours, given["target"])
    merged: dict[str, Any] = {}
    for keywords in own:
        merged = keywords | merged
    for name in ("target", "behavior", "players"):
        if name in given or all(_same(k.get(name), own[0].get(name)) for k in own):
            continue
        told = name == "behavior" and any(
            isinstance(k.get(name), Named) or asked_for(e.recipe or {}, name) is not None
            for e, k in zip(ours, own, strict=True)
        )
        if name == "target" or told:
            raise ValueError(f"the explanations differ in {name}: pass {name}= to score them by")
        merged.pop(name, None)
    scene = Scene(model, x, **(merged | given))
    scene.shares = scene.apart = True
    return scene


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(repr(a) == repr(b))


def compare(
    model: Any,
    x: Any,
    methods: Sequence[Any] | Mapping[str, Any],
    metrics: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    controls: bool = True,
    removal: Any = None,
    **keywords: Any,
) -> Report:
    """Explain rows by several methods, and score them side by side.

    Parameters
    ----------
    methods : names or `Method` objects, or label -> name, Method or dict of `explain`'s keywords
    metrics, controls, removal : as for `xai.metrics.evaluate`; `removal` is the metrics' alone
    **keywords : of `xai.explain`, for all methods: data, target, players, seed, …

    Returns
    -------
    Report
        ``report.explanations`` has the Explanations.

    Raises
    ------
    TypeError
        `methods` is neither a list of names nor a dict.
    ValueError
        Two methods have the same name; an unknown metric; a target of several outputs.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f, x = lambda x: x.prod(axis=1), np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    >>> report = xai.compare(f, x, ["occlusion", "shapley"], ["deletion"], data=np.zeros((1, 3)))
    >>> report.names
    ('occlusion', 'shapley', 'occlusion (flipped)', 'shapley (flipped)', 'random')
    """
    checks.flag("controls", controls)
    labelled = labelled_methods(methods)
    refuse_controls(labelled)
    target = keywords.get("target")
    if isinstance(target, Top) or (isinstance(target, str) and target == "all"):
        raise ValueError(f"target={target!r}: metrics score one output; pass an index, or a name")
    if metrics is not None:
        asked_metrics(model, metrics, {}, {})  # before anything is spent
    shared = {n: keywords[n] for n in SHARED if keywords.get(n) is not None}
    if removal is not None:
        composed(model, x, read_by(keywords) | {"method": "shapley", "removal": removal})
        shared["removal"] = removal
    own = "removal= is the metrics' here; of a method: {label: {'method': …, 'removal': …}}"
    with nullcontext() if removal is None else noted(own):
        asked = asked_methods(model, x, labelled, keywords)
        made_up, like = made_up_by(model, x, asked, keywords)
        if made_up:
            # a Generator goes on at each use
            with _met(model, x, made_up, metrics, None, shared | {"seed": 0}, like) as met:
                met.rehearse()
        explanations = explained_by(model, x, asked)
    with _met(model, x, explanations, metrics, None, shared, like) as met:
        return met.report(controls, rehearsed=like is not None)


def labelled_methods(methods: Any) -> dict[str, Any]:
    """A label for each method: its name, or what a dict calls it."""
    if isinstance(methods, Mapping) and methods:
        return dict(methods)
    listed = isinstance(methods, Sequence) and not isinstance(methods, str)
    if (
        not listed
        or not methods
        or not all(isinstance(m, str | Method | MethodRecord) for m in methods)
    ):
        raise TypeError(
            "methods must be a list of names or Methods, or a dict from labels to methods, not "
            f"{methods!r:.80}"
        )
    labelled = {m if isinstance(m, str) else m.name: m for m in methods}
    if len(labelled) < len(methods):
        raise ValueError("two methods have the same name: pass methods as a dict with labels")
    return labelled


SHARED = [name for name in SCENE_OPTIONS if name != "removal"]
"""Keywords that `explain` and all metrics have."""


def read_by(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Those keywords of `explain` that say how rows are read and divided."""
    names = ("data", "players", "categorical", "feature_names", "channel_axis")
    return {name: keywords[name] for name in names if name in keywords}


def asked_methods(
    model: Any, x: Any, labelled: Mapping[str, Any], keywords: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Keywords of `explain` for each label: of a method, or a dict of some."""
    asked = {}
    for label, method in labelled.items():  # names of all of them, before anything is spent
        own = dict(method) if isinstance(method, Mapping) else {"method": method}
        if "method" not in own:
            raise ValueError(f"methods[{label!r}] names no method=; it has {sorted(own)}")
        asked[label] = keywords | own
        with _explaining(label):
            composed(model, x, asked[label])
    return asked


def made_up_by(
    model: Any, x: Any, asked: Mapping[str, dict[str, Any]], keywords: Mapping[str, Any]
) -> tuple[dict[str, Explanation], Setting | None]:
    """Rehearsed explanations, which tell nothing, and x's own predictions.

    What one of the methods refuses is so told before another is run. Neither where not all of them
    can be rehearsed.
    """
    made_up = {}
    with predicted(model, x, keywords) as like:
        for label, own in asked.items():
            with _explaining(label):
                made_up[label] = rehearse(model, x, own, like)
    found = {label: e for label, e in made_up.items() if e is not None}
    return (found, like) if len(found) == len(asked) else ({}, None)


def explained_by(model: Any, x: Any, asked: Mapping[str, dict[str, Any]]) -> dict[str, Explanation]:
    """An Explanation for each label, by its keywords of `explain`."""
    out = {}
    for label, keywords in asked.items():
        with _explaining(label):
            out[label] = explain(model, x, **keywords)
    return out


def _explaining(label: str) -> AbstractContextManager[None]:
    return noted(f"methods[{label!r}] was to explain")


@contextmanager
def noted(what: str) -> Iterator[None]:
    """Add to an error what it was of, where there are several."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


__all__ = ["compare", "evaluate", "explained_by"]
