"""One table of all metrics; every law runs over it."""

from __future__ import annotations

import gc
import inspect
import re
import weakref
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

import xai
from xai import metrics
from xai.metrics.registry import RECORDS
from xai.progress import Progress
from xai.removal import Baseline, Noise


@dataclass(frozen=True)
class Case:
    """What a metric needs beside an explanation, and which laws do not apply to it."""

    options: dict[str, Any] = field(default_factory=dict)
    torch: bool = False
    images: bool = True
    of_all_rows: bool = False  # a row's score depends on the others by definition
    zero: float | None = None  # of an all-zero attribution: NaN, or this; None: not asked


NAN = float("nan")
CASES = {
    "deletion": Case(),
    "insertion": Case(),
    "comprehensiveness": Case(),
    "sufficiency": Case(),
    "pixel_flipping": Case(),
    "region_perturbation": Case(),
    "irof": Case(),
    "abpc": Case(),
    "road": Case(),
    "selectivity": Case(),
    "monotonicity": Case(),
    "pgi": Case(),
    "pgu": Case(),
    "faithfulness_correlation": Case(zero=NAN),
    "faithfulness_estimate": Case(zero=NAN),
    "sensitivity_n": Case(zero=NAN),
    "infidelity": Case(),
    "mu_fidelity": Case(zero=NAN),
    "lfa_error": Case(),
    "monotonicity_correlation": Case(zero=NAN),
    "max_sensitivity": Case(zero=NAN),
    "avg_sensitivity": Case(zero=NAN),
    "local_lipschitz": Case(),
    "relative_input_stability": Case(zero=NAN),
    "relative_output_stability": Case(zero=NAN),
    "relative_representation_stability": Case({"layer": "0"}, torch=True, zero=NAN),
    "shift_consistency": Case({"among": 3.0}, zero=NAN),
    "worst_case_bound": Case(images=False),
    "distance_attack": Case({"steps": 2}),
    "top_k_attack": Case({"steps": 2, "radius": 0.5}),
    "consistency": Case(of_all_rows=True, images=False),
    "complexity": Case(zero=NAN),
    "sparseness": Case(zero=NAN),
    "effective_complexity": Case(zero=NAN),
    "completeness_gap": Case(),
    "dummy_mass": Case(zero=NAN),
    "symmetry_gap": Case(images=False),
    "input_invariance": Case(zero=NAN),
    "linearity_gap": Case(),
    "parameter_randomization": Case(torch=True, zero=NAN),
    "efficient_parameter_randomization": Case(torch=True),
    "random_logit": Case(zero=NAN),
}
NAMES = [record.name for record in RECORDS if record.name in CASES]
FLAT = [name for name in NAMES if not CASES[name].torch]
UNSCORED = ("relative_representation_stability", "parameter_randomization",
            "efficient_parameter_randomization", "grid_pointing", "simulatability")  # fmt: skip
"""Of torch, of images, of many rows: the same attributions are read there."""
W = np.array([[2.0, -1.0], [0.5, 1.5], [-1.0, 0.3], [0.7, -2.0], [1.1, 0.2]])


def model(x):
    """Two outputs; only + and *, which round alike in every batch."""
    x = np.asarray(x)
    out = np.zeros((len(x), 2)) + 3
    for i in range(5):
        out = out + x[:, i, None] * W[i] + 0.1 * (x[:, i] * x[:, (i + 1) % 5])[:, None]
    return out


def gradient_x_input(model, x, target):
    x = np.asarray(x)
    return x * W.T[np.asarray(target)]


@pytest.fixture
def rows():
    x = np.random.default_rng(0).normal(size=(6, 5)) + 1
    x.setflags(write=False)
    return x


@pytest.fixture
def attribution(rows):
    a = rows * W.T[model(rows).argmax(axis=1)] + 0.1 * np.arange(5)
    a.setflags(write=False)
    return a


def scored(name, f, x, a, explain=gradient_x_input, **given):
    metric = getattr(metrics, name)
    options = dict(CASES[name].options)
    if "among" in options:
        options["among"] = np.full((2, *np.shape(x)[1:]), options["among"])
    if "explain" in metric.options:
        options["explain"] = explain
    return metric(f, x, a, **(options | {"removal": Baseline(0.0)} | given))


def test_the_table_names_every_metric():
    """A metric is a row of the registry, a function of that name, and a case or a test here."""
    assert {record.name for record in RECORDS} == {*CASES, *ELSEWHERE}
    for name, file in ELSEWHERE.items():
        assert name in (Path(__file__).parent / file).read_text()
    for record in RECORDS:
        function = getattr(import_module(f"xai.metrics.{record.home}"), record.name)
        assert getattr(metrics, record.name) is function
        assert record.name in dir(metrics)
        assert record.better in ("higher", "lower") and record.says and record.paper
        first = list(inspect.signature(function).parameters)[:3]
        assert first == ["model", "x", "explanation"]
        for keyword in inspect.signature(function).parameters:
            if keyword not in function.options or keyword == "explain":
                assert re.search(rf"^(\w+, )*{keyword}(, \w+)* :", function.__doc__, re.M), keyword
        assert function.__doc__.index("Other Parameters") < function.__doc__.index("Examples")
        assert ("explain" in record.needs) == ("explain" in function.options)
    assert str(len(RECORDS)) and "faithfulness" in repr(metrics.names())


ELSEWHERE = {"simulatability": "test_tasks.py"} | dict.fromkeys(
    (record.name for record in RECORDS if record.home in ("localisation", "reference")),
    "test_ground_truth.py",
)
"""Metrics that need a truth, or many rows."""


@pytest.mark.parametrize("name", FLAT)
def test_neither_batch_size_nor_other_rows_change_a_score(name, rows, attribution, counting):
    whole_model = counting(model)
    whole = scored(name, whole_model, rows, attribution)
    assert whole.values.shape == (6,)
    assert whole.evaluations <= whole_model.rows  # explain= here calls no model
    for batch_size in (1, 7):
        small_model = counting(model)
        small = scored(name, small_model, rows, attribution, batch_size=batch_size)
        assert_array_equal(small.values, whole.values)
        assert small.evaluations == whole.evaluations
        assert small_model.rows == whole_model.rows
    parallel = scored(name, model, rows, attribution, n_jobs=2)
    assert_array_equal(parallel.values, whole.values)
    assert parallel.evaluations == whole.evaluations
    if not CASES[name].of_all_rows:
        one = scored(name, model, rows[2:3], attribution[2:3])
        assert_allclose(one.values, whole.values[2:3], rtol=1e-12)


@pytest.mark.parametrize("name", FLAT)
def test_a_model_that_takes_few_rows_is_scored_as_it_was_explained(name, rows, counting):
    f = counting(model)
    e = xai.explain(f, rows, "shapley", removal=Baseline(0.0), batch_size=4)
    scored(name, f, rows, e)
    assert f.largest <= 4


@pytest.mark.parametrize("name", [n for n in FLAT if "explain" in getattr(metrics, n).options])
def test_what_explains_again_calls_the_model_with_no_more_rows_than_asked(name, rows, counting):
    f = counting(model)
    e = xai.explain(model, rows, "shapley", removal=Baseline(0.0))
    whole = scored(name, model, rows, e, explain=None)
    small = scored(name, f, rows, e, explain=None, batch_size=4)
    assert f.largest <= 4
    assert_array_equal(small.values, whole.values)
    assert small.evaluations == whole.evaluations


@pytest.mark.parametrize("name", NAMES)
def test_nothing_waits_for_a_collection(name, rows):
    """Model, rows and explanation are gone with the score: they may fill a device."""
    torch = pytest.importorskip("torch")

    def once():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
        e = xai.explain(net, rows, "gradient")
        scored(name, net, rows, e, explain=None)
        return [weakref.ref(net), weakref.ref(net[0].weight), weakref.ref(e)]

    once()  # imports, what is made once
    gc.collect()
    gc.disable()
    try:
        assert not [ref() for ref in once() if ref() is not None]
    finally:
        gc.enable()


@pytest.mark.parametrize("name", FLAT)
def test_evaluations_are_what_a_counter_counts(name, rows, attribution, counting):
    f = counting(model)
    score = scored(name, f, rows, attribution)
    calls_model_in_explain = name in ("linearity_gap", "input_invariance")
    if not calls_model_in_explain:
        assert score.evaluations == -(-f.rows // 6)


@pytest.mark.parametrize("name", FLAT)
def test_x_is_predicted_once(name, rows, attribution):
    met = []
    scored(name, lambda x: met.append(np.array(x)) or model(x), rows, attribution)
    own = (np.concatenate([*met, rows]) == rows[1]).all(axis=1).sum() - 1
    assert own <= (2 if name in ("linearity_gap", "input_invariance") else 1)  # of other models


@pytest.mark.parametrize(
    ("name", "removal"),
    [("deletion", "blur"), ("region_perturbation", "baseline"), ("selectivity", "blur"),
     ("irof", "baseline"), ("road", None), ("infidelity", xai.removal.Noise(0.1))],
)  # fmt: skip
def test_images_are_predicted_once_whatever_their_players_become(name, removal):
    torch, met = pytest.importorskip("torch"), []
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 2))
    net.register_forward_pre_hook(lambda _, given: met.append(given[0].clone()))
    x = torch.rand(2, 3, 8, 8)
    score = getattr(metrics, name)(net, x, x.mean(dim=1), removal=removal)
    rows = torch.cat(met)
    assert [(rows == one).flatten(1).all(dim=1).sum() for one in x] == [1, 1]
    assert score.evaluations == -(-len(rows) // 2)


UNLOOKED = ("complexity", "sparseness", "effective_complexity")
"""Metrics of the attributions alone."""


class Members:
    """The same model as an ensemble: its first call takes x and what is asked for first."""

    estimators_, classes_ = (1, 2), (0, 1)

    def __init__(self, model):
        self.decision_function = model


@pytest.mark.parametrize("background", [{}, {"removal": None, "data": np.eye(5)}])
@pytest.mark.parametrize("name", FLAT)
def test_an_ensemble_is_called_once_less(name, background, rows, attribution, counting):
    apart, together = counting(model), counting(model)
    plain = scored(name, apart, rows, attribution, **background)
    score = scored(name, Members(together), rows, attribution, **background)
    assert_array_equal(score.values, plain.values)
    assert (score.evaluations, together.rows) == (plain.evaluations, apart.rows)
    assert together.calls == apart.calls - bool(score.removal)
    few = scored(name, Members(model), rows, attribution, batch_size=7, **background)
    assert_array_equal(few.values, score.values)


def test_an_ensembles_first_call_is_as_small_as_its_classes_are_many(counting):
    def many(x):
        return np.broadcast_to(np.linspace(0, 1, 4000), (len(x), 4000))

    x, apart, together = np.ones((20, 20)), counting(many), counting(many)
    ensemble = Members(together)
    ensemble.classes_ = range(4000)
    for f in (apart, ensemble):
        metrics.deletion(f, x, x, data=np.zeros((30, 20)))
    assert together.largest <= apart.largest


@pytest.mark.parametrize("name", [n for n in FLAT if n not in UNLOOKED])
def test_what_waits_for_another_call_is_refused_all_the_same(name, rows, attribution, counting):
    for chosen, told in ((2, "target 2 is out of range"), ("third", "unknown label 'third'")):
        f = counting(model)
        with pytest.raises(ValueError, match=told):
            scored(name, Members(f), rows, attribution, target=chosen)
        assert f.calls == 1
    broken = Members(lambda x: np.where(x[:, :1] == rows[2, 0], np.nan, model(x)))
    with pytest.raises(ValueError, match="the model returns NaN or inf for row 2"):
        scored(name, broken, rows, attribution)


@pytest.mark.parametrize("target", ["all", xai.Top(2)])
def test_several_outputs_at_a_time_are_refused_before_anything_is_evaluated(
    target, rows, attribution, counting
):
    f = counting(model)
    with pytest.raises(ValueError, match="one output at a time: pass target=an index"):
        scored("deletion", f, rows, attribution, target=target)
    assert f.calls == 0


@pytest.mark.parametrize("name", ["deletion", "pgi", "sensitivity_n", "infidelity", "dummy_mass"])
def test_infinite_values_of_x_cost_no_more_than_x(name, rows, attribution, counting):
    odds = xai.behavior.Prediction("log_odds")
    f = counting(lambda x: np.where((x == rows[2]).all(axis=1), 1.0, 0.5))
    for again in (partial(scored, name, f, rows, attribution), partial(xai.explain, f, rows)):
        f.rows = 0
        with pytest.raises(ValueError, match="inf while explaining row 2 "):
            again(removal=Baseline(0.0), behavior=odds)
        assert f.rows == len(rows)


@pytest.mark.parametrize("name", FLAT)
def test_what_fits_in_memory_at_once_changes_no_score(name, rows, attribution, monkeypatch):
    background = {"data": rows[3:] + 1, "removal": None}
    whole = scored(name, model, rows, attribution, **background)
    monkeypatch.setattr("xai.game.BLOCK", 7)
    parts = scored(name, model, rows, attribution, **background)
    assert_allclose(parts.values, whole.values, rtol=1e-9, atol=1e-12)
    assert parts.evaluations == whole.evaluations


@pytest.mark.parametrize("f", [model, Members(model)])
@pytest.mark.parametrize("name", FLAT)
def test_a_bar_expects_what_is_spent(name, f, rows, attribution, monkeypatch):
    told = []
    monkeypatch.setattr(
        Progress, "close", lambda bar: told.append((bar.label, bar.total, bar.done))
    )
    score = scored(name, f, rows, attribution)
    ((label, total, done),) = told
    assert label == name and 6 * score.evaluations - 6 < done + 6
    if total is not None:  # coalitions whose values are known before are expected, too
        assert total / 2 < done <= total


AGAIN = [name for name in NAMES if "explain" in getattr(metrics, name).options]
"""Metrics that explain again."""


@pytest.mark.parametrize("by", ["recipe", "function", "integrated_gradients"])
@pytest.mark.parametrize("name", AGAIN)
def test_explanations_made_again_count_what_they_cost(name, by, rows):
    """In all, not by row: v(∅) is shared by all rows, so that a row's cost is no integer.

    Of gradients, which some of these metrics differentiate: the forwards.
    """
    torch, spent = pytest.importorskip("torch"), []
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    net.register_forward_pre_hook(lambda _, inputs: spent.append(len(inputs[0])))
    x = torch.tensor(rows, dtype=torch.float32)

    def again(f, x, target):
        if by == "integrated_gradients":
            return xai.explain(f, x, by, removal=Baseline(0.0), target=target, steps=10)
        return xai.explain(f, x, "shapley", removal=Baseline(0.0), target=target, budget=20)

    e = again(net, x, np.argmax(model(rows), axis=1))
    assert e.spent == sum(spent) < e.evaluations * len(e)
    assert e[:3].spent is None and e[:3].total_evaluations() == 3 * e.evaluations
    spent.clear()
    options = dict(CASES[name].options) | ({"among": x[:2]} if name == "shift_consistency" else {})
    explain = again if by == "function" else None
    score = getattr(metrics, name)(net, x, e, explain=explain, removal=Baseline(0.0), **options)
    assert sum(spent) > 6
    assert score.evaluations == -(-sum(spent) // 6)


@pytest.mark.parametrize("name", FLAT)
def test_scores_are_repeated_by_their_seed_without_global_state(name, rows, attribution):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (scored(name, model, rows, attribution, seed=5) for _ in range(2))
    assert_array_equal(one.values, two.values)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@dataclass(frozen=True)
class Noted(xai.removal.Removal):
    """Noise without an end that writes down which of its draws are asked for."""

    asked: set[int] = field(default_factory=set, repr=False)

    def bind(self, context):
        draws = Noise(0.5, n_draws=4).bind(context)

        def source(rows, draw):
            self.asked.update(np.asarray(draw).tolist())
            return draws.source(rows, draw)

        return replace(draws, source=source)


@pytest.mark.parametrize("name", FLAT)
def test_an_explanation_is_scored_by_draws_that_it_was_not_made_of(name, rows):
    """As a model on rows that it was not fitted to: with its own it would look too good."""
    removal = Noted()
    e = xai.explain(model, rows, "occlusion", removal=removal, target=0)
    own = set(removal.asked)
    removal.asked.clear()
    scored(name, model, rows, e, removal=removal)
    metrics.evaluate(model, rows, {"a": e, "b": e}, ["deletion"], removal=removal)
    assert own == {0, 1, 2, 3} and removal.asked and not own & removal.asked


@pytest.mark.parametrize("name", FLAT)
def test_sklearn_models_and_frames_are_scored_as_arrays_are(name, cancer):
    pandas = pytest.importorskip("pandas")
    x, a = cancer.x[:3], np.random.default_rng(1).normal(size=(3, 8))
    explain = lambda model, x, target: np.asarray(x) * 2.0  # noqa: E731
    score = scored(name, cancer.forest, x, a, explain=explain)
    assert (score.values.shape == (3,) and np.isfinite(score.mean())) or score.undefined
    frame = pandas.DataFrame(x, columns=cancer.names)
    given = {"among": frame} if name == "shift_consistency" else {}
    want = scored(name, cancer.forest, x, a, explain=explain, **(given and {"among": x}))
    framed = scored(name, cancer.forest.predict_proba, frame, a, explain=explain, **given)
    assert_allclose(framed.values, want.values, rtol=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_numbers_for_columns_go_by_name(library, rows, attribution):
    """Attributions, masks and references as DataFrames: by place they told of other columns."""
    frame, names = pytest.importorskip(library).DataFrame, list("abcde")
    x, a = (frame(dict(zip(names, of.T, strict=True))) for of in (rows, attribution))
    turned = a[names[::-1]]
    f = lambda z: model(z.to_numpy())  # noqa: E731
    removal = {"removal": Baseline(0.0)}
    for metric, given in {
        "deletion": {},
        "relevance_mass": {"mask": frame({n: [n in "ab"] * 6 for n in "ecabd"})},
        "rank_correlation": {"reference": frame({n: a[n] ** 2 for n in "bdeca"})},
        "avg_sensitivity": {"explain": lambda f, z, target: z[names[::-1]], "samples": 3},
    }.items():
        by_place = given | {n: g[names].to_numpy() for n, g in given.items() if hasattr(g, "shape")}
        if "explain" in given:
            by_place["explain"] = lambda f, z, target: z.to_numpy()
        want = getattr(metrics, metric)(f, x, attribution, **by_place, **removal).values
        found = getattr(metrics, metric)(f, x, turned, **given, **removal).values
        assert_array_equal(found, want)
    own, other = (metrics.evaluate(f, x, e, ["abpc"], **removal) for e in ({"a": a}, {"a": turned}))
    assert_array_equal(own["abpc", "a"].values, other["abpc", "a"].values)
    assert_array_equal(own["abpc", "a (flipped)"].values, other["abpc", "a (flipped)"].values)
    again = metrics.meta_check(f, x, {"a": turned}, "abpc", **removal)
    assert again == metrics.meta_check(f, x, {"a": attribution}, "abpc", **removal)


@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n].images])
def test_modules_and_images_whose_side_no_patch_divides(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("skimage")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(3 * 9 * 11, 3),
    )  # fmt: skip
    net.train()
    x = torch.rand(2, 2, 11, 13) + 0.2
    a = torch.randn(2, 2, 11, 13)
    kept, said, weights = x.clone(), a.clone(), [p.clone() for p in net.parameters()]

    def explain(model, x, target):
        x = x.clone().requires_grad_()
        out = model(x)[torch.arange(len(x)), torch.as_tensor(target)].sum()
        return x.detach() * torch.autograd.grad(out, x)[0]

    score = scored(name, net, x, a, explain=explain)
    assert score.values.shape == (2,) and np.isfinite(score.values).all()
    assert torch.equal(x, kept) and torch.equal(a, said)
    assert net.training and all(part.training for part in net.modules())
    assert all(torch.equal(p, w) for p, w in zip(net.parameters(), weights, strict=True))
    assert not x.requires_grad


IMAGES = [n for n in FLAT if CASES[n].images]


@pytest.mark.parametrize("name", IMAGES)
def test_neither_batch_size_nor_other_images_change_a_score(name):
    """By the default removals: mean colours, patches, superpixels, imputed pixels."""
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    x, w = rng.random((3, 9, 11, 3)), rng.normal(size=(9, 11, 3))
    a = rng.normal(size=x.shape)
    for given in (x, w, a):
        given.setflags(write=False)

    def f(rows):
        s = (np.asarray(rows) * w).sum(axis=(1, 2, 3))
        return np.stack([s, 2 - s * s], axis=1)

    explain = lambda model, rows, target: np.asarray(rows) ** 2 * w  # noqa: E731
    given = {"explain": explain, "removal": None}
    whole = scored(name, f, x, a, **given)
    assert np.isfinite(whole.values).all()
    for batch_size in (1, 7):
        small = scored(name, f, x, a, batch_size=batch_size, **given)
        assert_allclose(small.values, whole.values, rtol=1e-9, atol=1e-12)
        assert small.evaluations == whole.evaluations
    one = scored(name, f, x[1:2], a[1:2], **given)
    assert_allclose(one.values, whole.values[1:2], rtol=1e-9, atol=1e-12)


OF_MODULES = [name for name in NAMES if CASES[name].torch]


@pytest.mark.parametrize("name", OF_MODULES)
def test_neither_batch_size_nor_other_rows_change_a_score_of_a_module(name, rows):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2))
    net, x = net.double(), torch.as_tensor(rows.copy())
    e = xai.explain(net, x, "gradient_x_input")
    a, target = e.values.copy(), e.target
    a.setflags(write=False)
    explain = lambda model, x, target: xai.explain(  # noqa: E731
        model, x, "gradient_x_input", target=target
    )
    whole = scored(name, net, x, a, explain=explain, target=target)
    assert np.isfinite(whole.values).all()
    for batch_size in (1, 4):
        small = scored(name, net, x, a, explain=explain, target=target, batch_size=batch_size)
        assert_allclose(small.values, whole.values, rtol=1e-9)
        assert small.evaluations == whole.evaluations
    one = scored(name, net, x[2:3], a[2:3], explain=explain, target=target[2:3])
    assert_allclose(one.values, whole.values[2:3], rtol=1e-9)
    assert_array_equal(x, rows)


@pytest.mark.parametrize("name", [n for n in NAMES if not CASES[n].torch])
def test_units_of_a_layer_are_the_players_of_what_follows_it(name, rows):
    """What removes them is of the rest of the network; what moves rows moves x."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    net, x = net.double(), torch.as_tensor(rows.copy())
    given = {"removal": Baseline(0.0), "target": np.arange(6) % 2}
    e = xai.explain(net, x, "shapley", players=xai.players.Units("1"), **given)
    metric, options = getattr(metrics, name), dict(CASES[name].options)
    moves = "explain" in metric.options
    if "among" in options:
        options["among"] = x.numpy()[::-1].copy() + 1
    score = metric(net, x, e, **options)
    if moves:
        again = lambda model, z, target: xai.explain(  # noqa: E731
            model, z, "shapley", players=xai.players.Units("1"), **(given | {"target": target})
        )
        want = metric(net, x, e.values, target=e.target, explain=again, **options)
    else:
        with torch.no_grad():
            hidden = net[:2](x)
        want = metric(net[2:], hidden, e.values, **given, **options)
    assert_allclose(score.values, want.values, rtol=1e-6, atol=1e-12)
    if moves and name not in ("random_logit", "linearity_gap"):
        assert (np.nan_to_num(score.values) != 0).any()


@pytest.mark.parametrize(
    "name", ["deletion", "infidelity", "max_sensitivity", "random_logit", "recourse", "depends_on"]
)
def test_what_units_cost_is_what_the_rest_of_the_network_runs(name, rows):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    net, x, seen = net.double(), torch.as_tensor(rows.copy()), []
    units, zero = {"players": xai.players.Units("1")}, {"removal": Baseline(0.0)}
    e = xai.explain(net, x, "shapley", **units, **zero)
    net[2].register_forward_hook(lambda layer, given, out: seen.append(len(out)))
    if name in ("recourse", "depends_on"):
        given = {"step": 0.1, "samples": 5} if name == "recourse" else zero
        spent = getattr(metrics.tasks, name)(net, x, **units, **given).evaluations
    else:
        spent = getattr(metrics, name)(net, x, e).evaluations
    assert spent == -(-sum(seen) // 6)


@pytest.mark.parametrize("name", ["dummy_mass", "monotonicity", "monotonicity_correlation"])
def test_single_precision_is_no_effect(name):
    """Columns without weight, of which a batch of another size has other last digits."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(24, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.ReLU(),
        torch.nn.Linear(64, 1),
    )  # fmt: skip
    x, a = 8 * torch.randn(200, 24), np.random.default_rng(0).random((200, 24))
    with torch.no_grad():
        net[0].weight[:, :12] = 0
        net[4].bias -= net(x).mean()  # some predictions are near 0, what they are made of is not
        if name == "monotonicity":
            x = x.abs() / 8
            for part in (net[0], net[2], net[4]):
                part.weight.abs_()
    want = scored(name, net.double(), x.double(), a).values
    if name == "monotonicity":
        assert_array_equal(want, 1)
    if name == "dummy_mass":
        assert_allclose(want, a[:, :12].sum(axis=1) / a.sum(axis=1))
    for batch_size in (None, 1, 7, 16):
        found = scored(name, net.float(), x, a, batch_size=batch_size).values
        assert_allclose(found, want, rtol=1e-6)


def test_what_the_laws_of_images_leave_out_works_where_no_patch_divides_the_side():
    """Pairs of pixels, derivatives by each, and rows with the same explanation."""
    x, a = np.random.default_rng(0).random((2, 2, 7, 5, 1))
    f = lambda rows: np.asarray(rows).sum(axis=(1, 2, 3))  # noqa: E731
    gap = metrics.symmetry_gap(f, np.ones_like(x), a, removal=Baseline(0))
    flat = a.reshape(2, 35)
    pairs = np.abs(flat[:, :, None] - flat[:, None]).sum(axis=(1, 2)) / (35 * 34)
    assert_allclose(gap.values, pairs / flat.mean(axis=1))
    own = lambda model, rows, target: 3 * np.asarray(rows)  # noqa: E731
    bound = metrics.worst_case_bound(f, x, 3 * x, explain=own, radius=0.5)
    assert_allclose(bound.values, 1.5, rtol=1e-6)
    two = lambda rows: np.stack([f(rows), -f(rows)], axis=1)  # noqa: E731
    same = metrics.consistency(two, np.concatenate([x, x]), np.concatenate([a, a]))
    assert_array_equal(same.values, 1)


@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n].zero is not None])
def test_what_is_undefined_is_nan_and_said(name, rows):
    if CASES[name].torch:
        torch = pytest.importorskip("torch")
        f, x = torch.nn.Sequential(torch.nn.Linear(5, 2)).double(), torch.as_tensor(rows.copy())
    else:
        f, x = model, rows
    zero = np.zeros((6, 5))
    score = scored(name, f, x, zero)
    assert np.isnan(score.values).all() and np.isnan(score.mean())
    assert "undefined (NaN) for 6" in repr(score)


@pytest.mark.parametrize("name", FLAT)
def test_a_constant_model_ends(name, rows, attribution):
    flat = lambda x: np.ones((len(x), 2))  # noqa: E731
    assert scored(name, flat, rows, attribution).values.shape == (6,)


@pytest.mark.parametrize("name", FLAT)
def test_a_single_column_ends(name, rows, attribution):
    """With a number, or NaN where one column says nothing: a correlation, a symmetry."""
    f = lambda x: np.concatenate([x, 1 - 2 * x], axis=1)  # noqa: E731
    explain = lambda model, x, target: np.asarray(x) ** 2  # noqa: E731
    score = scored(name, f, rows[:, :1], rows[:, :1] ** 2, explain=explain)
    assert score.values.shape == (6,) and not np.isinf(score.values).any()


@pytest.mark.parametrize("name", FLAT)
def test_unknown_options_are_refused_with_the_nearest(name, rows, attribution):
    with pytest.raises(TypeError, match="did you mean 'removal'"):
        getattr(metrics, name)(model, rows, attribution, remval="baseline")


def test_bad_attributions_are_refused(rows, attribution):
    for wrong, match in [(attribution[:3], "3 rows"), (attribution[:, :4], "shape")]:
        with pytest.raises(ValueError, match=match):
            metrics.deletion(model, rows, wrong, removal="baseline")
    hole = attribution.copy()
    hole[1, 2] = np.nan
    with pytest.raises(ValueError, match="row 1"):
        metrics.deletion(model, rows, hole, removal="baseline")
    with pytest.raises(ValueError, match="background"):
        metrics.deletion(model, rows, attribution)
    both = xai.explain(model, rows, "occlusion", removal="baseline", target="all")
    with pytest.raises(ValueError, match="outputs"):
        metrics.deletion(model, rows, both)
    with pytest.raises(ValueError, match="steps"):
        metrics.deletion(model, rows, attribution, removal="baseline", steps=0)
    with pytest.raises(ValueError, match="k="):
        metrics.pgi(model, rows, attribution, removal="baseline", k=6)
    with pytest.raises(AttributeError):
        metrics.no_such_metric  # noqa: B018
    with pytest.raises(ValueError, match="did you mean 'deletion'"):
        metrics.evaluate(model, rows, {"a": attribution}, ["deletio"])


@pytest.mark.parametrize("name", [r.name for r in RECORDS if r.name not in UNSCORED])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_refused_by_row(name, wrong, rows, attribution):
    """Padding stands behind a row's last player; a hole before it is none."""
    hole = attribution.copy()
    hole[1, 2] = wrong
    mask = np.arange(5) < 2
    given = {"mask": {"mask": mask}, "reference": {"reference": attribution}}
    options = given.get(next(r for r in RECORDS if r.name == name).needs, {})
    metric = partial(scored, name) if name in CASES else partial(getattr(metrics, name), **options)
    with pytest.raises(ValueError, match=r"row 1 \(0-based\)"):
        metric(model, rows, hole)


@pytest.mark.parametrize("target", ["all", xai.Top(1)])
def test_the_only_explained_output_need_not_be_named(rows, target):
    f = model if target != "all" else lambda x: model(x)[:, :1]
    several = xai.explain(f, rows, "occlusion", removal="baseline", target=target)
    assert several.values.shape == (6, 5, 1)
    one = xai.explain(f, rows, "occlusion", removal="baseline")
    for name in ("deletion", "max_sensitivity", "complexity"):
        metric = getattr(metrics, name)
        assert_array_equal(metric(f, rows, several).values, metric(f, rows, one).values)
    report = metrics.evaluate(f, rows, {"all": several}, ["deletion"], controls=False)
    assert_array_equal(report["deletion", "all"].values, metrics.deletion(f, rows, one).values)


def test_an_output_is_named_as_the_explanation_names_it(rows):
    """By the caller's names, which the model does not know, and by the model's labels."""
    names = ["left", "right"]
    several, one = (
        xai.explain(model, rows, "occlusion", removal="baseline", target=t, output_names=names)
        for t in ("all", 1)
    )
    for name in ("deletion", "max_sensitivity", "complexity"):
        metric = getattr(metrics, name)
        for e in (several, one):
            assert_array_equal(metric(model, rows, e, target="right").values,
                               metric(model, rows, one).values)  # fmt: skip
    asked = {"data": np.zeros((1, 5)), "target": "right", "output_names": names}
    report = xai.compare(model, rows, ["occlusion"], ["deletion"], **asked)
    alone = metrics.deletion(model, rows, one).values
    assert_allclose(report["deletion", "occlusion"].values, alone)
    labelled = LogisticRegression().fit(rows, [3, 5, 7, 3, 5, 7])
    several, one = (
        xai.explain(labelled, rows, "occlusion", data=rows, target=t) for t in ("all", xai.Label(5))
    )
    found = metrics.deletion(labelled, rows, several, target=xai.Label(5))
    assert_array_equal(found.values, metrics.deletion(labelled, rows, one).values)
    with pytest.raises(ValueError, match="unknown label '4'"):
        metrics.deletion(labelled, rows, several, target=xai.Label(4))


@pytest.mark.parametrize("wrong", [None, "occlusion", 3.0, [], np.ones((6, 5)) * 1j])
def test_what_is_no_attribution_is_refused(wrong, rows):
    for metric in (metrics.deletion, metrics.complexity):
        with pytest.raises(TypeError, match="an Explanation or an array of real numbers"):
            metric(model, rows, wrong, removal="baseline")
    with pytest.raises(TypeError, match="that explain= gave must be"):
        metrics.max_sensitivity(model, rows, rows, explain=lambda model, x, target: wrong)


def test_a_list_of_explanations_is_no_attribution(rows):
    e = xai.explain(model, rows, "occlusion", removal="baseline")
    with pytest.raises(TypeError, match=r"an array of real numbers.*not \[Explanation"):
        metrics.deletion(model, rows, [e], removal="baseline")


@pytest.mark.parametrize("name", FLAT)
def test_attributions_of_other_rows_than_xs_are_refused(name, rows, attribution):
    if name not in ("complexity", "sparseness", "effective_complexity"):  # these see no rows
        with pytest.raises(ValueError, match="the attribution has 6 rows, and x has 4"):
            scored(name, model, rows[:4], attribution)
        e = xai.explain(model, rows, "occlusion", removal="baseline")
        with pytest.raises(ValueError, match="the explanation has 6 rows, and x has 4"):
            scored(name, model, rows[:4], e)
    with pytest.raises(ValueError, match="'b' has 4 rows, and 'a' has 6"):
        metrics.evaluate(model, rows, {"a": attribution, "b": attribution[:4]}, [name])


def test_a_reference_is_called_one(rows, attribution):
    with pytest.raises(ValueError, match="the reference is NaN in row 1"):
        metrics.rank_correlation(
            None, None, attribution, reference=np.where(rows == rows[1, 2], np.nan, rows)
        )


@pytest.mark.parametrize("name", AGAIN)
def test_what_cannot_be_explained_again_costs_no_more_than_x(name, rows, attribution, counting):
    f = counting(model)
    told = (
        "torch module" if CASES[name].torch else "explains again, and the explanation is an array"
    )
    with pytest.raises((ValueError, TypeError), match=told):
        scored(name, f, rows, attribution, explain=None)
    assert f.rows <= len(rows)


@pytest.mark.parametrize("explain", [None, "lime"])
@pytest.mark.parametrize("name", AGAIN)
def test_nor_does_what_cannot_be_explained_of_a_module(name, explain, rows, attribution):
    torch, spent = pytest.importorskip("torch"), []
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 2)).double()
    net.register_forward_pre_hook(lambda _, inputs: spent.append(len(inputs[0])))
    told = "explains again, and" if explain is None else "explain must be a function"
    with pytest.raises((ValueError, TypeError), match=told):
        scored(name, net, rows, attribution, explain)
    assert sum(spent) <= len(rows)


def test_explain_is_a_function_and_gives_numbers(rows):
    with pytest.raises(TypeError, match=r"explain must be a function .* not 'lime'"):
        metrics.max_sensitivity(model, rows, rows, explain="lime")
    with pytest.raises(ValueError, match="explain= gave is NaN"):
        metrics.max_sensitivity(model, rows, rows, explain=lambda model, x, target: x * np.nan)


@pytest.mark.parametrize(
    "radius",
    [0, -1.0, np.nan, np.inf, "a", [1.0, 2.0, 3.0], [1, 1, np.nan, 1, 1], [1, 1, -1, 1, 1]],
)
@pytest.mark.parametrize("name", [n for n in FLAT if "radius" in getattr(metrics, n).options])
def test_a_radius_is_a_positive_number(name, radius, rows, attribution):
    with pytest.raises(ValueError, match=r"radius=.*expected a positive number"):
        scored(name, model, rows, attribution, radius=radius)


COUNTS = ("steps", "samples", "directions", "k", "subset_size", "size", "segments")
SIZES = ("tolerance", "weight", "step", "shift", "share")
"""Options that are whole numbers, and such that are numbers."""
WRONG = [
    (name, option, wrong)
    for name in [r.name for r in RECORDS if r.name not in UNSCORED]
    for option in getattr(metrics, name).options
    for wrong in ([-1, 1.5, float("nan"), True, "a", []] if option in COUNTS else
                  [float("nan"), "a", [1.0, 2.0]] if option in SIZES else [])
]  # fmt: skip


@pytest.mark.parametrize(("name", "option", "wrong"), WRONG)
def test_options_that_are_no_numbers_cost_x_at_most(
    name, option, wrong, rows, attribution, counting
):
    f = counting(model)
    given = {"mask": {"mask": np.arange(5) < 2}, "reference": {"reference": attribution}}
    options = given.get(next(r for r in RECORDS if r.name == name).needs, {})
    metric = partial(scored, name) if name in CASES else partial(getattr(metrics, name), **options)
    with pytest.raises(ValueError, match=rf"{option}=.*expected|{option} is empty"):
        metric(f, rows, attribution, **{option: wrong})
    assert f.rows <= len(rows)


@pytest.mark.parametrize(("name", "flag"), [("infidelity", "normalise"),
                                            ("completeness_gap", "relative")])  # fmt: skip
def test_flags_are_true_or_false(name, flag, rows, attribution, counting):
    f = counting(model)
    with pytest.raises(ValueError, match=f"{flag}='no': expected True or False"):
        scored(name, f, rows, attribution, **{flag: "no"})
    assert f.rows <= len(rows)
    scored(name, f, rows, attribution, **{flag: np.False_})


def test_a_number_of_players_may_be_numpys(rows, attribution):
    want = scored("pgi", model, rows, attribution, k=2)
    for k in (np.int64(2), np.array(2), np.array([2])):
        assert_array_equal(scored("pgi", model, rows, attribution, k=k).values, want.values)


@pytest.mark.parametrize(
    ("common", "kind", "match"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be positive, not 0"),
        ({"batch_size": "a"}, TypeError, "batch_size must be an integer, not 'a'"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be positive, not 0"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs must be an integer, not 1.5"),
    ],
)
def test_sizes_of_batches_are_those_of_explain(common, kind, match, rows, attribution, counting):
    f = counting(model)
    for name in ("deletion", "complexity"):
        with pytest.raises(kind, match=match):
            getattr(metrics, name)(f, rows, attribution, removal="baseline", **common)
    assert f.rows == 0


def test_a_data_set_explanation_is_of_no_row(cancer):
    e = xai.explain(cancer.forest, cancer.x[:9], "permutation_test", y=cancer.y[:9])
    with pytest.raises(ValueError, match="data set"):
        metrics.deletion(cancer.forest, cancer.x[:9], e)


def test_rows_with_differing_numbers_of_players():
    """Each row's curve is what it would be alone."""
    x = np.arange(1.0, 13.0).reshape(2, 6)
    ids = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5]])
    f = lambda z: z @ np.arange(1.0, 7.0)  # noqa: E731
    e = xai.explain(f, x, "occlusion", removal="baseline", players=ids)
    for name in RAGGED:
        metric = getattr(metrics, name)
        both = metric(f, x, e, removal="baseline")
        alone = [metric(f, x[i : i + 1], e[i], removal="baseline").values[0] for i in range(2)]
        assert_allclose(both.values, alone, err_msg=name)
        assert np.isfinite(both.values).all()


def test_effects_of_a_saturated_probability_are_no_rounding():
    """Near 1 single precision tells numbers apart that differ by 2⁻²¹: these are exact."""
    W = np.array([1, 1, 2, 0], np.float32)
    f = lambda rows: 1 - np.float32(2.0**-21) * (np.asarray(rows, np.float32) @ W)  # noqa: E731
    x = np.ones((2, 4), np.float32)
    given = (f, x, np.tile(W, (2, 1)))
    assert_allclose(metrics.monotonicity_correlation(*given, removal="baseline").values, 1)
    assert_allclose(metrics.faithfulness_estimate(*given, removal="baseline").values, -1)
    for metric in (metrics.faithfulness_correlation, metrics.mu_fidelity, metrics.sensitivity_n):
        assert_allclose(metric(*given, removal="baseline", subset_size=2).values, -1)
    assert_array_equal(metrics.monotonicity(*given, removal="baseline").values, 0)


@pytest.mark.parametrize(
    "name",
    ["faithfulness_correlation", "mu_fidelity", "sensitivity_n", "faithfulness_estimate",
     "monotonicity_correlation"],
)  # fmt: skip
def test_what_removal_does_not_change_has_no_correlation_with_rounding(name):
    """The same row has other last digits in a batch of another size: it was -0.35, or NaN."""
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(3, 60)), rng.normal(size=(60, 5))
    f = lambda rows: np.tanh(rows @ W).sum(axis=1)  # noqa: E731
    for batch_size in (2, 7, None):
        score = getattr(metrics, name)(
            f, x, x, removal=lambda rows, kept: rows, batch_size=batch_size
        )  # fmt: skip
        assert np.isnan(score.values).all()


RAGGED = (
    "deletion", "insertion", "comprehensiveness", "sufficiency", "abpc", "irof", "road",
    "monotonicity", "pgi", "faithfulness_correlation", "infidelity", "sensitivity_n", "lfa_error",
    "dummy_mass", "completeness_gap", "sparseness", "complexity", "max_sensitivity",
    "local_lipschitz", "input_invariance", "linearity_gap", "worst_case_bound",
)  # fmt: skip


@pytest.mark.parametrize("rows", [[0], [2], [0, 2]])
def test_what_is_as_wide_as_the_longest_text_fits_some_of_the_texts(rows):
    """A mask, a reference, what explain= gives; a mask as wide as these texts, too."""
    texts = ["good film", "not a good film at all", "fun"]
    some = [texts[i] for i in rows]
    f = lambda rows: np.array([len(set(text)) + len(text) ** 2 for text in rows])  # noqa: E731
    e, other = (xai.explain(f, texts, name) for name in ("exact_shapley", "occlusion"))
    truth = np.arange(18).reshape(3, 6) % 3 == 0
    whole = metrics.relevance_mass(f, texts, e, mask=truth).values[rows]
    width = max(len(text.split()) for text in some)
    for mask in (truth[rows], truth[rows][:, :width]):
        assert_array_equal(metrics.relevance_mass(f, some, e[rows], mask=mask).values, whole)
    whole = metrics.pairwise_rank_agreement(f, texts, e, reference=other).values[rows]
    few = metrics.pairwise_rank_agreement(f, some, e[rows], reference=other[rows])
    assert_array_equal(few.values, whole)

    def wide(model: Any, x: Any, target: Any) -> Any:
        made = xai.explain(model, x, "exact_shapley", target=target).values
        return np.pad(made, ((0, 0), (0, 6 - made.shape[1])), constant_values=np.nan)

    gap = metrics.linearity_gap(f, some, e[rows], explain=wide)
    assert_allclose(gap.values, 0, atol=1e-12)


WHOLE = ("steps", "samples", "k", "subset_size", "size", "segments", "directions", "smooth", "bins")
"""Options that are numbers of something."""


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint64])
@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers_of_numpys_count_as_pythons(name, kind, rows, attribution):
    """Small ones overflow among others, and differences of unsigned ones are no indices."""
    f, own = model, getattr(metrics, name).options
    if CASES[name].torch:
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        f = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
        f = f.double()
    asked = dict.fromkeys([option for option in own if option in WHOLE], 2)
    if "k" in asked:
        asked.pop("steps", None)  # either
    theirs = {option: kind(number) for option, number in asked.items()}
    ours, same = (scored(name, f, rows, attribution, **given) for given in (asked, theirs))
    assert_array_equal(same.values, ours.values)


def test_some_of_several_texts_are_scored_as_they_are_among_all():
    """A slice keeps the places of the longest of all, where its own texts have no word."""
    texts = ["a b c", "d e", "a a b d e"]
    f = lambda rows: np.array([[t.count("a") ** 2, len(t), t.count("e")] for t in rows]) * 1.0  # noqa: E731
    e = xai.explain(f, texts, "shapley", removal="baseline", target=0)
    other = e.values**2 - np.arange(e.values.shape[1])
    options = {"roc_auc": {"mask": other < 0}, "rank_correlation": {"reference": other}}
    for name in ("deletion", "abpc", "infidelity", "completeness_gap", "dummy_mass", "complexity",
                 "linearity_gap", "random_logit", *options):  # fmt: skip
        metric, own = getattr(metrics, name), options.get(name, {})
        whole = metric(f, texts, e, **own).values
        for rows in ([0], [1], [2], [0, 1]):
            theirs = {key: of_all[rows] for key, of_all in own.items()}
            some = [texts[i] for i in rows]
            few = metric(f, some, e[rows], **theirs).values
            assert_allclose(few, whole[rows], err_msg=name, atol=1e-12)
            if "explain" not in metric.options:
                game = {"removal": "baseline", "target": 0}
                array = metric(f, some, e.values[rows], **theirs, **game).values
                assert_allclose(array, whole[rows], err_msg=name, atol=1e-12)
    with pytest.raises(ValueError, match="pass the x that was explained"):
        metrics.deletion(f, ["a a b"], e[2])
    with pytest.raises(ValueError, match="fits neither"):
        metrics.deletion(f, texts[:2], np.ones((2, 5)))


@pytest.mark.parametrize("others", [["d e", "a b"], ["a b", "e d"]])
def test_other_texts_than_those_explained_are_refused(others):
    """They were scored by the values of other words."""
    f = lambda rows: np.array([len(text) + text.find("e") for text in rows])  # noqa: E731
    e = xai.explain(f, ["a b", "d e"], "shapley", removal="baseline")
    with pytest.raises(ValueError, match=r"\(0-based\) of x is not the one of the explanation"):
        metrics.deletion(f, others, e)


def test_import_stays_light():
    import subprocess
    import sys

    code = (
        "import sys, xai.metrics, xai.metrics.report, xai.metrics.choosing\n"
        "heavy = ('torch', 'matplotlib.pyplot', 'pandas', 'skimage')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.fixture
def half():
    """A network and its rows in bfloat16, which NumPy does not have."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    return net.bfloat16(), torch.randn(12, 5).bfloat16()


@pytest.mark.parametrize("name", NAMES)
def test_rows_in_bfloat16_are_scored(name, half):
    net, x = half
    e = xai.explain(net, x, "gradient_x_input")
    # an attack by differences takes steps of a hundredth, which must be some in this precision
    far = {"radius": 2.0} if name == "distance_attack" else {}
    score = scored(name, net, x, e, explain=None, **far)
    assert score.values.shape == (12,)
    if name == "infidelity":
        noise = scored(name, net, x, e, removal=xai.removal.Noise(0.5)).values
        assert np.isfinite(noise).all()
    if name == "parameter_randomization":
        assert np.isfinite(scored(name, net, x, e, explain=None, smooth=2).values).all()


def test_rows_in_bfloat16_are_asked_about(half):
    net, x = half
    e = xai.explain(net, x, "gradient_x_input")
    assert metrics.simulatability(net, x, e, folds=2).values.shape == (12,)
    assert metrics.tasks.recourse(net, x, step=0.5, target=0).rate.shape == (12, 5)
    choice = xai.choose(net, x[:4], data=x[4:], samples=8, methods=["occlusion"])
    assert choice.best == "occlusion"
    both = xai.explain(net, x, "occlusion", removal=Baseline(0.5)), e
    found = xai.choose(net, x, data=x, samples=8, explanations=dict(zip("ab", both, strict=True)))
    assert set(found.errors) == {"a", "b"}


def test_numbers_for_each_column_may_be_tensors_that_numpy_does_not_know(rows):
    torch = pytest.importorskip("torch")
    x, known = rows, [0.5, 0.25, 1.0, 0.125, 0.0]
    half = torch.tensor(known).bfloat16()
    e = xai.explain(model, x, "occlusion", removal=Baseline(0.0))
    for given in (known, half):
        moved = metrics.max_sensitivity(model, x, e, radius=given).values
        shifted = metrics.input_invariance(model, x, e, shift=given).values
        rate = metrics.tasks.recourse(model, x, step=given, target=0).rate
        if given is known:
            expected = moved, shifted, rate
    for found, wanted in zip((moved, shifted, rate), expected, strict=True):
        assert_array_equal(found, wanted)
    cells = np.zeros((2, 4, 4))
    cells[:, 0, 3] = 1
    pointed = metrics.grid_pointing(None, None, cells, cell=torch.tensor([1, 0])).values
    assert_array_equal(pointed, [1, 0])


# ------------------------------------------------------------------------- which way is better

GAINS = np.array([3.0, 3, 2, 1, 0])
"""What each column adds to a sum: the first two alike, the last nothing."""


def gains(f, x, target):
    return np.tile(GAINS, (len(x), 1))


def backwards(f, x, target):
    return gains(f, x, target)[:, ::-1] + 3


def unsteady(f, x, target):
    """Neither alike near x nor linear in the model."""
    return (f(x).reshape(len(x), -1)[:, :1] * x) ** 2


def opposed(f, x, target):
    return gains(f, x, target) * (2 * np.asarray(target)[:, None] - 1)


def weights(f, x, target):
    return np.tile(f[0].weight[:1].detach().numpy(), (len(x), 1))


SUM = lambda x: x @ GAINS  # noqa: E731
HINDERED = lambda x: SUM(x) - 4 * x[:, 0] * (1 - x[:, 4])  # noqa: E731
SIGNS = lambda x: np.stack([-x[:, 0] * x[:, 1], x[:, 0] * x[:, 1]], axis=1)  # noqa: E731
SIDES = {
    "consistency": (SIGNS, lambda f, x, target: f(x), backwards),
    "efficient_parameter_randomization": (None, weights, gains),
    "monotonicity": (HINDERED, gains, backwards),
    "parameter_randomization": (None, weights, gains),
    "random_logit": (SIGNS, opposed, gains),
    "simulatability": (SIGNS, lambda f, x, target: f(x), backwards),
}
"""Model (None: a network), right and wrong explanation, of metrics to which a sum says little."""


@pytest.mark.parametrize("record", RECORDS, ids=[record.name for record in RECORDS])
def test_what_is_right_scores_better_than_what_is_wrong(record):
    """On the side that the table names: others call the lower value of a fall the better one."""
    name, metric = record.name, getattr(metrics, record.name)
    again, x = "explain" in metric.options, np.ones((4, 5))
    f, *both = SIDES.get(name, (SUM, gains, unsteady if again else backwards))
    if f is SIGNS:
        x = np.random.default_rng(0).normal(size=(100, 5))
    if f is None or "torch" in record.needs:
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        f = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Linear(3, 2)).double()
        f[0].weight.data[0] = torch.as_tensor(GAINS > 2)
        x = torch.as_tensor(x)
    truth = {"mask": GAINS > 2, "reference": GAINS, "cell": 0}
    options = {key: truth[key] for key in record.needs.split(", ") if key in truth}
    means = []
    for explain in both:
        if name in CASES:
            a = explain(f, x, np.zeros(len(x), int))
            score = scored(name, f, x, a, explain, target=0)
        else:
            a = explain(f, x, None)
            score = metric(f, x, a[:, :4].reshape(-1, 2, 2) if "cell" in options else a, **options)
        means.append(score.mean())
    right, wrong = means if record.better == "higher" else [-mean for mean in means]
    assert right > wrong
