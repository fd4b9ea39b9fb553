"""Axioms measured on attributions that have them, and on such that do not; simplicity's ends."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.ensemble import VotingClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import xai
from xai import metrics
from xai.removal import Baseline, Marginal, ProductOfMarginals, Uniform


def product(x):
    """Columns 0 and 1 are symmetric where they are equal, column 3 is a dummy."""
    return x[:, 0] * x[:, 1] * (1 + x[:, 2]) + x[:, 0] + x[:, 1] + x[:, 2] + 0 * x[:, 3]


@pytest.fixture
def rows():
    x = np.random.default_rng(0).normal(size=(4, 4)) + 2
    x[:2, 1] = x[:2, 0]  # at a baseline of zero, 0 and 1 are symmetric in the first two rows
    return x


ZERO = Baseline(0.0)


def test_shapley_values_keep_the_axioms(rows):
    e = xai.explain(product, rows, "exact_shapley", removal=ZERO)
    assert_allclose(metrics.completeness_gap(product, rows, e).values, 0, atol=1e-12)
    assert_allclose(metrics.dummy_mass(product, rows, e).values, 0)
    gap = metrics.symmetry_gap(product, rows, e)
    assert_allclose(gap.values[:2], 0, atol=1e-12)
    assert np.isnan(gap.values[2:]).all()
    assert_allclose(metrics.linearity_gap(product, rows, e).values, 0, atol=1e-12)
    shifted = xai.explain(product, rows, "exact_shapley", data=rows[::-1] * 0.5)
    assert_allclose(metrics.input_invariance(product, rows, shifted).values, 0, atol=1e-12)


@pytest.mark.parametrize("axis", [1, 3])
def test_an_images_numbers_have_one_sum_in_whatever_shape_they_come(axis):
    """Of each colour of each pixel, of each pixel, of each patch."""
    rng = np.random.default_rng(0)
    x, weights = rng.random((2, 6, 6, 3)), rng.random((6, 6, 3))
    a = x * weights
    patches = a.reshape(2, 3, 2, 3, 2, 3).sum(axis=(2, 4, 5)).reshape(2, 9)
    if axis == 1:
        x, weights, a = (np.moveaxis(each, -1, -3) for each in (x, weights, a))
    f = lambda x: (x * weights).sum(axis=(1, 2, 3))  # noqa: E731
    given = {"removal": ZERO, "players": xai.players.Patches(2), "channel_axis": axis}
    for shaped in (a, a.sum(axis=axis), patches):
        assert_allclose(metrics.completeness_gap(f, x, shaped, **given).values, 0, atol=1e-12)


def test_dummies_and_silent_players_are_counted_where_they_differ(rows):
    """Nguyen & Martínez's set difference: the last of four players has no effect."""
    a = np.array([[1.0, 3, 2, 2], [0, 3, 2, 0], [0, 0, 0, 5], [1, 1, -1, 1e-9]])
    score = metrics.dummy_mass(product, rows[:4], a, removal=ZERO)
    np.testing.assert_array_equal(score.info["count"], [1, 1, 4, 0])


def test_others_do_not(rows):
    a = np.array([[1.0, 3.0, 2.0, 2.0]] * 4)
    ends = product(rows) - product(0 * rows)
    gap = metrics.completeness_gap(product, rows, a, removal=ZERO)
    assert_allclose(gap.values, np.abs(8 - ends))
    part = metrics.completeness_gap(product, rows, a, removal=ZERO, relative=True)
    assert_allclose(part.values, np.abs(8 - ends) / np.abs(ends))
    assert_allclose(metrics.dummy_mass(product, rows, a, removal=ZERO).values, 2 / 8)
    assert_allclose(metrics.symmetry_gap(product, rows, a, removal=ZERO).values[:2], 2 / 2)
    fixed = xai.explain(product, rows, "exact_shapley", removal=ZERO)
    moved = lambda x: product(x - 0.5)  # noqa: E731
    there = xai.explain(moved, rows + 0.5, "exact_shapley", removal=ZERO).values
    off = np.linalg.norm(there - fixed.values, axis=1) / np.linalg.norm(fixed.values, axis=1)
    invariance = metrics.input_invariance(product, rows, fixed, shift=0.5)
    assert_allclose(invariance.values, off)
    assert (metrics.input_invariance(product, rows, fixed).values > 0.1).all()
    squared = lambda model, x, target: np.asarray(model(x)) ** 2 * np.ones(4)  # noqa: E731
    wrong = metrics.linearity_gap(product, rows, a, explain=squared)
    f, both = product(rows) ** 2, (product(rows) / 2 + product(rows) ** 2 / 2) ** 2
    assert_allclose(wrong.values, np.abs(both - f / 2 - f**2 / 2) / both)


def test_completeness_is_of_the_explanations_own_game():
    """Images lose their mean colour in metrics, and integrate from 0: that is no gap."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 4), torch.nn.Tanh(),
                              torch.nn.Linear(4, 2)).double()  # fmt: skip
    x = torch.rand(3, 1, 6, 6).double() + 1
    e = xai.explain(net, x, "integrated_gradients", steps=200)
    own = metrics.completeness_gap(net, x, e)
    assert_allclose(own.values, 0, atol=1e-9)
    assert own.removal == e.removal and own.output == e.behavior and own.evaluations == 0
    for given in ({"removal": "blur"}, {"removal": ZERO, "target": 1 - e.target}):
        other = metrics.completeness_gap(net, x, e, **given)
        assert (other.values > 1e-3).all()
        assert other.evaluations > 0
    array = metrics.completeness_gap(net, x, e.values, target=e.target, removal=ZERO)
    assert_allclose(array.values, 0, atol=1e-9)
    slope = xai.explain(net, x, "gradient")  # has no empty state of its own
    assert (metrics.completeness_gap(net, x, slope).values > 1e-3).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_relative_gap_is_a_part_of_the_change_whichever_way_it_goes(rows, sign):
    f = lambda x: sign * (x[:, 0] + 2)  # noqa: E731
    score = metrics.completeness_gap(f, rows, 0 * rows, removal=ZERO, relative=True)
    assert_allclose(score.values, 1)


@pytest.mark.parametrize("own", [False, True])
def test_a_background_is_shifted_by_its_columns_names(own):
    """In whatever order its columns come; a category stays."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(6, 2)), columns=list("ab")).assign(c=list("uvuvuv"))
    f = lambda x: np.asarray(x["a"] * x["b"] ** 2 + (x["c"] == "u"), float)  # noqa: E731
    data = frame[3:][["c", "b", "a"]]
    game = {"removal": Marginal(data)} if own else {"data": data}
    e = xai.explain(f, frame[:3], "exact_shapley", **game)
    score = metrics.input_invariance(f, frame[:3], e, shift=[1.0, -2.0, 0.0])
    assert_allclose(score.values, 0, atol=1e-12)
    halved = lambda model, x, target: x[["a", "b", "c"]].assign(c=0.0) / 2  # noqa: E731
    listed, named = (
        metrics.input_invariance(f, frame[:3], e, shift=shift, explain=halved).values
        for shift in ([1.0, -2.0, 0.0], pandas.Series({"c": 0.0, "b": -2.0, "a": 1.0}))
    )
    assert_allclose(named, listed)
    with pytest.raises(ValueError, match="shift="):
        metrics.input_invariance(f, frame[:3], e, shift=pandas.Series({"a": 1.0, "z": 2.0}))


def test_a_change_that_is_rounding_has_no_parts():
    """0.1 + 0.2 − 0.3 is not 0, and an attribution of 1 was a gap of 10¹⁶ parts of that."""
    f = lambda x: x[:, 0] + x[:, 1]  # noqa: E731
    x, background = np.array([[0.1, 0.2], [1.0, 2.0]]), np.array([[0.3, 0.0]])
    a = np.array([[1.0, 0.0], [2.7, 0.0]])
    game = {"data": background, "relative": True}
    assert_allclose(metrics.completeness_gap(f, x, a, **game).values, [np.nan, 0], atol=1e-12)
    e = replace(xai.explain(f, x, "occlusion", data=background), values=a)
    assert_allclose(metrics.completeness_gap(f, x, e, relative=True).values, [np.nan, 0], atol=1e-9)
    whole = metrics.completeness_gap(f, x, a, data=background)
    assert_allclose(whole.values, [1, 0], atol=1e-12)


def test_completeness_is_of_the_players_and_labels_that_are_given(rows):
    """Attributions of one column add up to its own effect alone; a loss is of its labels."""
    e = xai.explain(product, rows, "exact_shapley", removal=ZERO)
    alone = metrics.completeness_gap(product, rows, e, players=np.array([0, -1, -1, -1]))
    effect = product(rows) - product(rows * [0, 1, 1, 1])
    assert_allclose(alone.values, np.abs(e.values[:, 0] - effect))
    assert (alone.values > 0.1).all()

    y = np.zeros(len(rows))
    loss = {"behavior": xai.behavior.PredictionLoss("squared"), "y": y}
    e = xai.explain(product, rows, "exact_shapley", removal=ZERO, **loss)
    assert_allclose(metrics.completeness_gap(product, rows, e, y=y).values, 0, atol=1e-9)
    want = metrics.completeness_gap(
        product, rows, e.values, removal=ZERO, **loss | {"y": y + 1}
    ).values
    assert (want > 0.1).any()
    assert_allclose(metrics.completeness_gap(product, rows, e, y=y + 1).values, want)


@pytest.mark.parametrize("kind", [np.array, "pandas", "torch"])
def test_a_background_that_is_told_again_is_no_other_one(kind):
    """LIME's own game is of a neighbourhood, which a copy of the same rows does not change."""
    table, data = np.random.default_rng(0).normal(size=(20, 4)), slice(5, 20)
    if kind == "pandas":
        table = pytest.importorskip("pandas").DataFrame(table, columns=list("abcd"))
    if kind == "torch":
        table = pytest.importorskip("torch").tensor(table)
    f = lambda x: product(np.asarray(x))  # noqa: E731
    e = xai.explain(f, table[:3], "lime", data=table[data])
    own = metrics.completeness_gap(f, table[:3], e)
    again = metrics.completeness_gap(f, table[:3], e, data=table[data])
    assert_allclose(again.values, own.values)
    assert again.removal == own.removal == e.removal and again.evaluations == 0
    other = metrics.completeness_gap(f, table[:3], e, data=table[5:19])
    assert other.removal != own.removal and (other.values != own.values).all()


@pytest.mark.parametrize("method", ["integrated_gradients", "deeplift", "exact_shapley"])
def test_complete_methods_leave_no_gap(method):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.ReLU(), torch.nn.Linear(9, 2))
    net, x = net.double(), torch.randn(5, 4).double()
    options = {"steps": 512} if method == "integrated_gradients" else {}
    e = xai.explain(net, x, method, removal=ZERO, **options)
    most = 1e-3 if method == "integrated_gradients" else 1e-9  # kinks cost the quadrature
    assert (metrics.completeness_gap(net, x, e).values < most).all()
    assert (metrics.completeness_gap(net, x, e, removal=Baseline(0)).values < most).all()


def test_shifted_rows_keep_their_precision():
    """A function that takes float32 alone, as networks do."""

    def strict(x):
        assert x.dtype == np.float32
        return x[:, 0] * x[:, 1] + x[:, 2]

    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    e = xai.explain(strict, x, "exact_shapley", data=x)
    assert_allclose(metrics.input_invariance(strict, x, e).values, 0, atol=1e-5)


@pytest.mark.parametrize("part", [Marginal, ProductOfMarginals, Uniform])
def test_a_background_is_shifted_wherever_it_was_given(rows, part):
    data = rows[::-1] * 0.5
    removal = part(data=data)
    for e in (
        xai.explain(product, rows, "exact_shapley", removal=removal),
        xai.explain(product, rows, xai.Method(removal=removal)),
        xai.explain(product, rows, "exact_shapley", removal=part(), data=data),
    ):
        assert_allclose(metrics.input_invariance(product, rows, e).values, 0, atol=1e-12)


def product3(x):
    return np.asarray(x, np.float64).prod(axis=1)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("shift", [1.0, 0.5])
def test_rows_of_integers_are_shifted_as_floats(dtype, shift):
    """A byte has no 256, and an integer no half."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    data = torch.tensor([[0, 255, 3], [1, 1, 5]]).to(getattr(torch, dtype))
    for x in (torch.tensor([[1.0, 2, 3], [4, 250, 6]]), torch.tensor([[1, 2, 3], [4, 250, 6]])):
        e = xai.explain(net, x, "shapley", data=data)
        assert_allclose(metrics.input_invariance(net, x, e, shift=shift).values, 0, atol=1e-4)
    rows, background = x.numpy(), data.numpy()
    e = xai.explain(product3, rows, "shapley", data=background)
    score = metrics.input_invariance(product3, rows, e, shift=shift)
    assert_allclose(score.values, 0, atol=1e-9)


def test_sampled_contexts_find_symmetric_players():
    x = np.full((2, 12), 2.0)
    f = lambda z: z[:, :6].prod(axis=1) + z[:, 6:].sum(axis=1)  # noqa: E731
    a = np.r_[np.ones(6), np.arange(6.0)][None].repeat(2, axis=0)
    score = metrics.symmetry_gap(f, x, a, removal=ZERO)
    pairs = np.abs(np.arange(6.0)[:, None] - np.arange(6.0)).sum()
    # at most: sparse contexts cannot tell a product of six from a sum
    assert (score.values > 0).all()
    assert pairs > 0
    e = xai.explain(f, x, "exact_shapley", removal=ZERO)
    assert_allclose(metrics.symmetry_gap(f, x, e, samples=200).values, 0, atol=1e-9)
    below = metrics.symmetry_gap(lambda z: -f(z) - 9, x, -a, removal=ZERO)
    assert_allclose(below.values, score.values)
    with pytest.raises(ValueError, match="Patches"):
        metrics.symmetry_gap(
            lambda z: z[:, 0], np.ones((1, 5000)), np.ones((1, 5000)), removal=ZERO
        )


def test_a_module_is_shifted_and_mixed_as_a_module():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Dropout(), torch.nn.Tanh(),
                              torch.nn.Linear(5, 2)).double()  # fmt: skip
    net[1].eval()
    modes = [part.training for part in net.modules()]
    x = torch.randn(4, 3).double()
    zero = xai.explain(net, x, "integrated_gradients", removal=ZERO, steps=20)
    assert (metrics.input_invariance(net, x, zero).values > 1e-3).all()
    data = xai.explain(net, x, "integrated_gradients", removal="marginal", data=x[:2], steps=20)
    assert_allclose(metrics.input_invariance(net, x, data).values, 0, atol=1e-9)
    assert_allclose(metrics.linearity_gap(net, x, zero).values, 0, atol=1e-9)
    assert [part.training for part in net.modules()] == modes


def test_estimators_are_mixed_as_their_probabilities(cancer):
    e = xai.explain(cancer.forest, cancer.x[:2], "exact_shapley", data=cancer.x[:5])
    assert_allclose(metrics.linearity_gap(cancer.forest, cancer.x[:2], e).values, 0, atol=1e-9)
    assert_allclose(metrics.input_invariance(cancer.forest, cancer.x[:2], e).values, 0, atol=1e-6)


@pytest.mark.parametrize("labels", [["no", "yes"], [1, 2]])
@pytest.mark.parametrize("kind", ["predict_proba", "decision_function", "predict"])
def test_classifiers_are_shifted_and_mixed_with_their_labels(labels, kind):
    """No label is the index of a class, as a function has them, though it may look like one."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    rows = pandas.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    y = np.array(labels)[(rows["a"] * rows["b"] > 0).to_numpy().astype(int)]
    model = {
        "predict_proba": GaussianNB(),
        "decision_function": SVC(),
        "predict": VotingClassifier([("trees", DecisionTreeClassifier(max_depth=4))]),
    }[kind].fit(rows, y)
    x, data, y = rows[:6].to_numpy(), rows[6:9].to_numpy(), np.full(6, labels[0])
    behavior = xai.behavior.PredictionLoss("squared" if kind == "predict_proba" else "0-1")
    e = xai.explain(model, x, "exact_shapley", data=data, y=y, behavior=behavior)
    assert np.abs(e.values).max() > 0.01
    shifted = metrics.input_invariance(model, x, e)
    mixed = metrics.linearity_gap(model, x, e, weight=1.0)  # 1·f + 0·f²
    for score in (shifted, mixed):  # NaN where all attributions are 0
        assert_allclose(np.nan_to_num(score.values), 0, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_of_classes_are_mixed_and_shifted_as_outputs(classes):
    """A decision function has one number for both of two: −s, and s."""
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = np.argsort(np.argsort(X[:, 0] + X[:, 1])) * classes // 40
    model, x = LinearSVC().fit(X, y), X[:12]
    e = xai.explain(model, x, "shapley", data=X)
    assert {*e.target} == {*range(classes)}
    assert_allclose(metrics.linearity_gap(model, x, e).values, 0, atol=1e-9)
    assert_allclose(metrics.input_invariance(model, x, e).values, 0, atol=1e-9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_shifted_and_mixed_and_may_be_parts_of_others():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    x, compiled = torch.randn(3, 4), torch.jit.script(net)
    for f, like in ((compiled, net), (torch.nn.Sequential(compiled, torch.nn.Tanh()), None)):
        e = xai.explain(f, x, "gradient_x_input")
        assert_allclose(metrics.linearity_gap(f, x, e).values, 0, atol=1e-5)
        shifted = metrics.input_invariance(f, x, e).values
        if like is not None:
            want = metrics.input_invariance(like, x, xai.explain(like, x, "gradient_x_input"))
            assert_allclose(shifted, want.values, rtol=1e-5)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("shift", [0.5, [2.0, 0.5, 1.0]])
def test_numbers_of_a_frame_are_shifted_and_its_words_are_not(library, shift):
    frames = pytest.importorskip(library)
    rng, given = np.random.default_rng(0), []
    size, count = rng.normal(size=30), rng.integers(0, 5, 30)
    table = frames.DataFrame({"size": size, "word": ["x", "y", "y"] * 10, "count": count})

    def f(rows):
        given.extend(np.asarray(rows["word"]))
        x = np.asarray(rows["word"]) == "x"
        return np.asarray(rows["size"]) * np.asarray(rows["count"], float) + 2.0 * x

    for removal in ("marginal", Baseline([0.25, "y", 0])):
        data = table[5:] if removal == "marginal" else None
        e = xai.explain(f, table[:5], "exact_shapley", data=data, removal=removal)
        found = metrics.input_invariance(f, table[:5], e, shift=shift).values
        assert (found < 1e-12).all() if removal == "marginal" else (found > 0.01).all()
    assert set(given) == {"x", "y"}


def test_words_are_not_shifted():
    x = np.array([[1.0, "u"], [2.0, "v"]], object)
    f = lambda rows: rows[:, 0].astype(float)  # noqa: E731
    e = xai.explain(f, x, "exact_shapley", data=x)
    with pytest.raises(TypeError, match="shifts numbers, and these rows hold words"):
        metrics.input_invariance(f, x, e)
    numbers = np.array([[1.0, 2], [2.0, 5]], object)
    e = xai.explain(f, numbers, "exact_shapley", data=numbers)
    assert_allclose(metrics.input_invariance(f, numbers, e).values, 0, atol=1e-9)


@pytest.mark.parametrize("kind", [list, np.array])
def test_models_of_texts_are_mixed_too(kind):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["good film and fun", "bad film", "not good at all", "fun fun fun"]
    f = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 0, 1])
    e = xai.explain(f, kind(texts), "exact_shapley")
    score = metrics.linearity_gap(f, kind(texts), e)
    assert_allclose(score.values, 0, atol=1e-12)
    assert metrics.linearity_gap(f.predict_proba, texts, e).undefined == 0


class Pipeline:
    """Of transformers: labels with their scores for each text."""

    task = "text-classification"
    model = SimpleNamespace(config=SimpleNamespace(id2label={0: "bad", 1: "good"}))

    def __call__(self, texts, **_):
        good = [expit(t.count("good") + t.count("film") * t.count("fun")) for t in texts]
        return [[{"label": "good", "score": p}, {"label": "bad", "score": 1 - p}] for p in good]


def test_a_pipelines_scores_are_mixed_and_not_which_is_largest():
    texts, pipeline = ["good film and fun", "good film", "good fun"], Pipeline()

    def scores(rows):
        return np.array([[bad["score"], good["score"]] for good, bad in pipeline(rows)])

    def squared(model, x, target):
        return np.nan_to_num(xai.explain(model, x, "occlusion", target=target).values) ** 2

    def gaps(model):
        e = xai.explain(model, texts, "exact_shapley", target=1)
        assert_allclose(metrics.linearity_gap(model, texts, e).values, 0, atol=1e-12)
        a = squared(model, texts, 1)
        return metrics.linearity_gap(model, texts, a, explain=squared, target=1).values

    assert gaps(pipeline).min() > 0.01
    assert_allclose(gaps(pipeline), gaps(scores))


@pytest.mark.parametrize(
    ("name", "option"),
    [("effective_complexity", {"share": s}) for s in (0, -0.5, 1.5)]
    + [("input_invariance", {"shift": [1.0, np.nan, 1.0, 1.0]})],
)
def test_options_that_are_none_are_refused(name, option, rows):
    ((key, _),) = option.items()
    with pytest.raises(ValueError, match=f"{key}=.*expected a"):
        getattr(metrics, name)(product, rows, rows, **option)


def test_simplicity_of_uniform_and_of_one_feature():
    a = np.array([[1.0, 1, 1, 1], [0, -5, 0, 0], [3, 4, 0, -3], [0, 0, 0, 0]])
    entropy = metrics.complexity(None, None, a)
    p = np.array([0.3, 0.4, 0.3])
    assert_allclose(entropy.values, [np.log(4), 0, -(p * np.log(p)).sum(), np.nan])
    gini = metrics.sparseness(None, None, a)
    assert_allclose(gini.values[[0, 1]], [0, 3 / 4], atol=1e-15)
    assert_allclose(metrics.sparseness(None, None, -7 * a).values, gini.values)
    assert_allclose(metrics.effective_complexity(None, None, a).values, [4, 1, 3, np.nan])
    some = metrics.effective_complexity(None, None, a, share=0.5)
    assert_allclose(some.values, [2, 1, 2, np.nan])


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e170, 5e307])
def test_neither_huge_nor_tiny_numbers_change_a_share_or_a_ratio(scale):
    a = np.array([[1.0, 2, 3, 0], [1, 1, 1, 1]])
    for name in ("complexity", "sparseness", "effective_complexity"):
        found, want = (getattr(metrics, name)(None, None, values) for values in (scale * a, a))
        assert_allclose(found.values, want.values, rtol=1e-12)
    x = np.ones((2, 4))
    found, want = (
        metrics.avg_sensitivity(
            lambda rows: rows.sum(axis=1), x, by * a, explain=lambda _, rows, __, by=by: by * rows
        )
        for by in (scale / 9, 1.0)
    )
    assert_allclose(found.values, want.values, rtol=1e-9)
