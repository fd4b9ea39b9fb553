"""What is refused tells what was wrong, and what to do: one row for each message."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import xai
from xai import metrics
from xai.behavior import DatasetLoss, Margin, PredictionLoss
from xai.metrics import Score, tasks
from xai.players import Columns, Tokens, Windows
from xai.removal import Baseline, Marginal, Noise
from xai.summary import Attribution, Gradient, LinearFit, Summary

ZERO = Baseline(0.0)
X = np.random.default_rng(0).normal(size=(6, 4))
IMAGES = np.random.default_rng(1).normal(size=(2, 1, 8, 8))
SERIES = np.ones((2, 3, 4))
W = np.array([3.0, 1.0, -2.0, 0.5])
SPARSE = sparse.csr_array(X)
A = np.ones((6, 4))


def linear(x):
    return x @ W


def of_images(x):
    return x.sum(axis=(1, 2, 3))


def lengths(texts):
    return np.array([float(len(text)) for text in texts])


def certain(x):
    """The first of two classes, without a doubt."""
    return np.tile([1.0, 0.0], (len(x), 1))


def scored(name, *args, **given):
    return getattr(metrics, name)(*args, **{"removal": ZERO} | given)


def dataset():
    return xai.explain(linear, X, "sage", y=X[:, 0], data=X)


REFUSED = {
    # what is explained
    "columns of a series": (
        lambda: xai.explain(np.sum, SERIES, "occlusion", removal=ZERO, players=Columns({"a": [0]})),
        ValueError, "for tables (2-D batches); use an array of group ids",
    ),
    "words of a table": (
        lambda: xai.explain(linear, X, "occlusion", removal=ZERO, players=Tokens()),
        ValueError, "Tokens() are for lists of strings",
    ),
    "a category": (
        lambda: xai.explain(linear, X, "occlusion", removal=ZERO, categorical=1.5),
        TypeError, "categorical must be a list of columns, not 1.5",
    ),
    "a group that is none": (
        lambda: xai.explain(linear, X, "occlusion", removal=ZERO, players=[[0, 1], None, [2, 3]]),
        TypeError, "players: group 1 must be a column or a list of columns, not None",
    ),
    "categories of images": (
        lambda: xai.explain(of_images, IMAGES, "occlusion", removal=ZERO, categorical=[0]),
        ValueError, "categorical= names columns of a table",
    ),
    "complex numbers": (
        lambda: xai.explain(linear, X + 1j, "occlusion", removal=ZERO),
        TypeError, "complex128: expected numbers, strings or categories",
    ),
    "objects with three axes": (
        lambda: xai.explain(linear, np.full((2, 2, 2), "a", object), "occlusion", removal=ZERO),
        TypeError, "x has dtype object and 3 dimensions: expected a table",
    ),
    # what is put in its place
    "a baseline of no kind": (
        lambda: xai.explain(linear, X, "occlusion", removal=Baseline(object())),
        TypeError, "expected a number, an array or a word",
    ),
    "a baseline row for texts": (
        lambda: xai.explain(lengths, ["a b"], "occlusion", removal=Marginal(X)),
        ValueError, "texts",
    ),
    "slopes of series": (
        lambda: xai.explain(np.sum, SERIES, "c_lime", removal=Noise(0.1, displacements=True)),
        ValueError, "slopes are fitted to tables, not to rows of shape (3, 4)",
    ),
    # what is explained of the model
    "a loss by an unknown mean": (
        lambda: xai.explain(linear, X, "sage", y=X[:, 0], data=X,
                            behavior=DatasetLoss(average="median")),
        ValueError, "unknown average 'median'; did you mean 'prediction'? Known: loss",
    ),
    "a cross entropy without an end": (
        lambda: xai.explain(certain, X, "occlusion", y=[1] * 6, removal=ZERO,
                            behavior=PredictionLoss("cross_entropy")),
        ValueError, "row 0 probability 0 for its true class; pass clip=1e-6",
    ),
    # how it is summed up
    "a map of a data set": (lambda: dataset().map(), ValueError, "of all rows at once"),
    "a fit to an unknown loss": (
        lambda: xai.explain(linear, X, removal=ZERO, summary=LinearFit(loss="gradients")),
        ValueError, "unknown loss 'gradients'; did you mean 'gradient'?",
    ),
    "a penalty on Shapley's kernel": (
        lambda: xai.explain(linear, X, "kernel_shap", data=X, regularizer="lasso"),
        ValueError, "would break efficiency: pass regularizer=None",
    ),
    "a budget of half a row": (
        lambda: xai.summary.Shapley()(None, 3.5),
        TypeError, "budget must be an integer number of model rows, not 3.5",
    ),
    # metrics
    "places without an order": (
        lambda: scored("deletion", linear, X[:2], [[1, 1, 1, 1], [1, np.nan, 1, 1]]),
        ValueError, "NaN in row 1 (0-based): there is no order",
    ),
    "a metric of a data set": (
        lambda: scored("deletion", linear, X, A, y=X[:, 0], behavior=DatasetLoss("squared")),
        ValueError, "scores rows one by one, but the behavior is of a data set",
    ),
    "sizes and steps": (
        lambda: scored("comprehensiveness", linear, X, A, k=2, steps=3),
        ValueError, "pass k= or steps=, not both",
    ),
    "an unknown kind of attribution": (
        lambda: scored("lfa_error", linear, X, A, kind="sum"),
        ValueError, "kind='sum': expected 'effect' or 'slope'",
    ),
    "slopes of texts": (
        lambda: scored("lfa_error", lengths, ["a b", "c d"], np.ones((2, 2)), kind="slope"),
        ValueError, "nobody can tell where x holds texts: score effects",
    ),
    "slopes of words": (
        lambda: scored("lfa_error", lambda x: np.ones(len(x)), np.array([["a", 1.0]], object),
                       np.ones((1, 2)), kind="slope", removal=Marginal([["b", 0.0]])),
        ValueError, "nobody can tell where x holds words or categories in the columns ['0']",
    ),
    "a name that is an array": (
        lambda: scored("distance_attack", linear, X, A, norm=np.ones(2),
                       explain=lambda model, x, target: A),
        ValueError, "norm=array([1., 1.]): expected 'l2' or 'linf'",
    ),
    "a distance of attributions": (
        lambda: scored("worst_case_bound", linear, X, A, distance=np.ones(2),
                       explain=lambda model, x, target: A),
        ValueError, "expected norm='l2' or 'linf', and distance='euclidean' or 'cosine'",
    ),
    "a radius that is a flag": (
        lambda: scored("max_sensitivity", linear, X, A, radius=True,
                       explain=lambda model, x, target: A),
        ValueError, "radius=True: expected a positive number",
    ),
    "a student by name": (
        lambda: scored("simulatability", lambda x: np.stack([x[:, 0], x[:, 1]], axis=1), X, A,
                       folds=2, student="forest"),
        TypeError, "student must be an estimator as scikit-learn's, an object and not its class: "
        "'forest'",
    ),
    "metrics that are no list": (
        lambda: metrics.evaluate(linear, X, {"a": A}, metrics.deletion),
        TypeError, "metrics must be a list of names, such as ['deletion'], not <function deletion",
    ),
    "controls by a word": (
        lambda: metrics.evaluate(linear, X, {"a": A}, ["complexity"], controls="no"),
        ValueError, "controls='no': expected True or False",
    ),
    "several seeds": (
        lambda: metrics.evaluate(linear, X, {"a": A}, ["complexity"], seed=np.arange(2)),
        TypeError, "seed must be an int or a numpy.random.Generator, not array([0, 1])",
    ),
    "several neighbourhoods": (
        lambda: xai.choose(linear, X, data=X, neighbourhood=["absent"]),
        ValueError, "unknown neighbourhood ['absent']",
    ),
    "one feature": (
        lambda: tasks.depends_on(linear, X, data=X, features=0),
        TypeError, "features must be a list of columns or players, not 0",
    ),
    "a feature's letters": (
        lambda: tasks.recourse(linear, X, step=0.1, features="12"),
        TypeError, "features must be a list of columns or players, not '12'",
    ),
    "findings that are none": (
        lambda: tasks.judge(A, A), TypeError, "finding must be what recourse or depends_on found",
    ),
    "a chance by a word": (
        lambda: tasks.least_samples("rare"), ValueError, "p='rare' and miss=0.05: expected prob",
    ),
    "rows and a half": (
        lambda: xai.overview.submodular_pick(xai.explain(linear, X, data=X), 2.5),
        ValueError, "count=2.5: pick 1 to 6 rows",
    ),
    "cohorts by nothing": (
        lambda: xai.overview.cohorts(xai.explain(linear, X, data=X), None),
        TypeError, "by=None: expected labels, a feature or a number of groups",
    ),
    "a page of scores of explanations": (
        lambda: xai.report.scores_page({"a": A}, "scores.html"),
        TypeError, "expected a Report, as xai.metrics.evaluate returns, not dict",
    ),
    "a fragment of an array": (
        lambda: xai.report.fragment(A), TypeError, "expected an Explanation, ours or shap's",
    ),
    "shares of windows": (
        lambda: scored("deletion", of_images, IMAGES[:, 0, ..., None],
                       np.ones((2, 8, 8)), players=Windows(4)),
        ValueError, "cannot be shared out among windows that overlap",
    ),
    "texts a little away": (
        lambda: metrics.local_lipschitz(lengths, ["a b", "c d"], np.ones((2, 2))),
        ValueError, "texts cannot be moved a little",
    ),
    "sparse rows a little away": (
        lambda: metrics.max_sensitivity(linear, SPARSE, A),
        TypeError, "dense x: x.toarray()",
    ),
    "a shift towards nobody": (
        lambda: metrics.shift_consistency(linear, X, A),
        ValueError, "needs other rows: pass among= or data=",
    ),
    "explanations of another size": (
        lambda: metrics.max_sensitivity(linear, X, A, explain=lambda model, x, target: x[:, :2]),
        ValueError, "gave an attribution of shape (60, 2) for 60 rows, where the explanation that "
        "is scored has 4 numbers for each",
    ),
    "two numbers for a row": (
        lambda: Score(np.ones((2, 2)), "gap", "lower", "axioms"),
        ValueError, "one number per row, not an array (2, 2)",
    ),
    "recourse of sparse rows": (
        lambda: tasks.recourse(linear, SPARSE, step=1.0), TypeError, "pass x.toarray()",
    ),
    # pictures and groups
    "groups by a flag": (
        lambda: xai.overview.cohorts(xai.explain(linear, X, data=X), by=True),
        TypeError, "by: expected labels, a feature or a number of groups, not a bool",
    ),
    "groups of images": (
        lambda: xai.overview.cohorts(
            xai.explain(of_images, IMAGES, "occlusion", removal=ZERO, channel_axis=1), by=2
        ),
        ValueError, "no feature is a column without gaps: pass a label for each row",
    ),
    "cohorts of nobody": (lambda: xai.plots.global_bar({}), ValueError, "at least one explanation"),
    "methods on other features": (
        lambda: xai.plots.compare({
            "a": xai.explain(linear, X, data=X),
            "b": xai.explain(linear, X, data=X, feature_names=list("wxyz")),
        }),
        ValueError, "compared on the same features; their names differ",
    ),
    "curves of a report without": (
        lambda: xai.plots.curves(
            metrics.evaluate(linear, X, {"a": A}, ["sparseness"], removal=ZERO)
        ),
        ValueError, "no metric of this report has curves: sparseness",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_told(call, error, words):
    with pytest.raises(error) as told:
        call()
    assert words in str(told.value)


# ---------------------------------------------------------------------- of summaries of one's own


class Slopes(Summary):
    """Written by somebody who does not say that it differentiates."""

    def attribute(self, game, plan):
        every, whole = np.arange(game.n_rows), np.ones((game.n_rows, game.n_players))
        ends = game.value(every, whole > 0)
        return Attribution(game.gradient(every, whole, 0 * every), None, 0 * ends, ends, False)


class Drawn(Summary):
    """Written by somebody who does not say how many rows it draws."""

    def attribute(self, game, plan):
        plan.room(game, None, 1)


def test_a_summary_of_ones_own_without_a_rule_is_told_what_it_lacks():
    with pytest.raises(TypeError, match="pass budget=, or give its class default_budget"):
        xai.explain(linear, X, removal=ZERO, summary=Drawn())


@pytest.mark.parametrize("x", [X, SPARSE], ids=["function", "sparse rows"])
def test_a_summary_of_ones_own_is_told_what_gradients_need(net, x):
    words = "gradients need a torch module" if x is X else "gradients need x as an array"
    with pytest.raises(TypeError, match=words):
        xai.explain(linear if x is X else net, x, removal=ZERO, summary=Slopes())
    e = xai.explain(net, X, removal=ZERO, summary=Slopes(), target=0)
    expected = xai.explain(net, X, "gradient_x_input", target=0)
    np.testing.assert_allclose(e.values, expected.values, rtol=1e-12)


# ------------------------------------------------------------------------------------ of networks


@pytest.fixture(scope="module")
def net():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    return torch.nn.Sequential(*layers).double().eval()


OF_NETWORKS = {
    "a gradient of steps": (
        lambda net: xai.explain(net, X, "gradient", y=[0] * 6, behavior=PredictionLoss("0-1")),
        ValueError, "the 0-1 loss has no gradient: use loss='cross_entropy' or 'squared'",
    ),
    "a gradient of a data set": (
        lambda net: xai.explain(net, X, "sage", y=[0] * 6, data=X, summary=Gradient()),
        ValueError, "Gradient explains row by row, not a data set",
    ),
    "a path of a margin to several baselines": (
        lambda net: xai.explain(net, X, "integrated_gradients", removal=Marginal(X),
                                behavior=Margin()),
        ValueError, "take one baseline",
    ),
    "no gradient of the coalitions' measure": (
        lambda net: xai.explain(net, X, removal=ZERO, summary=LinearFit(
            loss="gradient", at="removed", measure="uniform_size")),
        ValueError, "measure and sampling have no effect with loss='gradient'",
    ),
    "layers that cannot be drawn anew": (
        lambda net: metrics.parameter_randomization(net[1], X, A, target=0,
                                                    explain=lambda model, x, target: x),
        ValueError, "no layer of the module has reset_parameters",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), OF_NETWORKS.values(), ids=OF_NETWORKS)
def test_what_is_refused_of_a_network_is_told(net, call, error, words):
    with pytest.raises(error) as told:
        call(net)
    assert words in str(told.value)


def test_maps_of_a_layer_without_places_are_refused():
    torch = pytest.importorskip("torch")
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).double().eval()
    with pytest.raises(ValueError, match="layer '1' has no feature maps to lay over an image"):
        xai.explain(flat, IMAGES, "score_cam", layer="1")


OF_FUNCTIONS = {
    "an array": (lambda x: x.detach().numpy().sum(axis=1), TypeError, "expected a tensor"),
    "numbers of other rows": (
        lambda x: x[:2].sum(1) if x.requires_grad else x.sum(1),
        ValueError, "returned a tensor of shape (2,) for 6 rows; expected (6,) or (6, k)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "error", "words"), OF_FUNCTIONS.values(), ids=OF_FUNCTIONS)
def test_what_a_function_of_tensors_must_give_is_told(function, error, words):
    torch = pytest.importorskip("torch")
    with pytest.raises(error) as told:
        xai.explain(function, torch.as_tensor(X), "gradient", wrt="mask", removal=ZERO)
    assert words in str(told.value)


def test_a_tensor_that_is_one_number_is_no_batch(net):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x is a single number; pass a batch of rows"):
        xai.explain(net, torch.tensor(1.0), "occlusion")
