"""The public contract: targets, outputs, players, options and the shapes that come back."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pytest

import xai
from xai import metrics
from xai.players import Columns, Groups
from xai.plots.choose import KINDS
from xai.removal import Baseline, Marginal
from xai.suggest import PEERS
from xai.summary import LinearFit, Shapley

ZERO = Baseline(0.0)


def occlude(model, x, **keywords):
    return xai.explain(model, x, "occlusion", removal=ZERO, **keywords)


def by_hand(value, x):
    columns = np.arange(x.shape[1])
    return np.stack([value(x) - value(np.where(columns == i, 0.0, x)) for i in columns], axis=1)


# -------------------------------------------------------------------------------------- targets


def test_the_predicted_class_is_explained_by_default(trees):
    chosen = trees.model.predict_proba(trees.x).argmax(axis=1)
    assert sorted(chosen) == [0, 1, 2]
    per_row = occlude(trees.model, trees.x, target=chosen)
    for explanation in (
        occlude(trees.model, trees.x),
        occlude(trees.model, trees.x, target="predicted"),
    ):
        np.testing.assert_array_equal(explanation.values, per_row.values)
        assert explanation.values.shape == (3, 4)
        assert explanation.base_values.shape == explanation.predictions.shape == (3,)


def test_the_predicted_class_is_fixed_before_anything_is_removed(trees):
    """At the baseline another class wins, and still the row's own class is explained."""
    own = trees.model.predict_proba(trees.x).argmax(axis=1)
    there = trees.model.predict_proba(np.zeros((1, 4)))[0]
    explanation = occlude(trees.model, trees.x)
    assert (own != there.argmax()).any()
    np.testing.assert_allclose(explanation.base_values, there[own], rtol=1e-12)


def test_all_keeps_a_last_axis_of_outputs(trees):
    explanation = occlude(trees.model, trees.x, target="all")
    assert explanation.values.shape == (3, 4, 3)
    assert explanation.base_values.shape == explanation.predictions.shape == (3, 3)
    for target in range(3):
        one = occlude(trees.model, trees.x, target=target)
        np.testing.assert_allclose(explanation.values[..., target], one.values, atol=1e-15)


@pytest.mark.parametrize("target", [1, np.int64(1), "birch", xai.Label("birch"), [1, 1, 1]])
def test_one_class_by_index_label_or_row(trees, target):
    explanation = occlude(trees.model, trees.x, target=target)

    def birch(x):
        return trees.model.predict_proba(x)[:, 1]

    np.testing.assert_allclose(explanation.values, by_hand(birch, trees.x), atol=1e-14)


def test_a_class_labelled_all_goes_through_label(trees):
    explanation = occlude(trees.model, trees.x, target=xai.Label("all"))
    np.testing.assert_array_equal(
        explanation.values, occlude(trees.model, trees.x, target=0).values
    )


@pytest.mark.parametrize("rows", [list, tuple, np.array])
def test_one_target_per_row(trees, rows):
    explanation = occlude(trees.model, trees.x, target=rows([2, 0, 1]))
    every = occlude(trees.model, trees.x, target="all")
    expected = every.values[np.arange(3), :, [2, 0, 1]]
    np.testing.assert_allclose(explanation.values, expected, atol=1e-15)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_explains_the_likeliest_of_each_row(trees, k):
    explanation = occlude(trees.model, trees.x, target=xai.Top(k))
    p = trees.model.predict_proba(trees.x)
    order = np.argsort(-p, axis=1)[:, :k]
    assert explanation.values.shape == (3, 4, k)
    assert explanation.predictions.shape == (3, k)
    np.testing.assert_allclose(explanation.predictions, np.take_along_axis(p, order, axis=1))
    every = occlude(trees.model, trees.x, target="all").values
    for i in range(3):
        np.testing.assert_allclose(explanation.values[i], every[i][:, order[i]], atol=1e-15)


def test_an_int_is_an_index_and_never_a_label():
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(X, np.array([2, 0, 1])[y] + 10)
    x = X[:2]
    by_index = occlude(model, x, target=2)
    by_label = occlude(model, x, target=xai.Label(12))
    np.testing.assert_array_equal(by_index.values, by_label.values)
    np.testing.assert_allclose(by_index.predictions, model.predict_proba(x)[:, 2])
    with pytest.raises(ValueError, match="12"):
        occlude(model, x, target=12)


def test_a_label_may_be_taken_from_an_array_of_bools():
    from sklearn.linear_model import LogisticRegression

    X = np.random.default_rng(0).normal(size=(40, 2))
    y = X[:, 0] > 0
    model = LogisticRegression().fit(X, y)
    for label in y[:2]:
        by_label = occlude(model, X[:2], target=xai.Label(label))
        by_index = occlude(model, X[:2], target=int(label))
        np.testing.assert_array_equal(by_label.values, by_index.values)


@pytest.mark.parametrize("shape", ["(n,)", "(n, 1)"])
def test_one_output_is_explained_as_it_stands(shape):
    x = np.array([[1.0, 2.0], [3.0, -1.0]])

    def model(rows):
        out = rows[:, 0] * rows[:, 1]
        return out if shape == "(n,)" else out[:, None]

    expected = by_hand(lambda rows: rows[:, 0] * rows[:, 1], x)
    for target in ("predicted", 0):
        explanation = occlude(model, x, target=target)
        np.testing.assert_allclose(explanation.values, expected)
        assert explanation.predictions.shape == (2,)
    every = occlude(model, x, target="all")
    assert every.values.shape == (2, 2, 1)
    assert every.base_values.shape == every.predictions.shape == (2, 1)
    np.testing.assert_allclose(every.values[..., 0], expected)
    with pytest.raises(ValueError, match="1"):
        occlude(model, x, target=1)


def test_several_regression_outputs_ask_for_a_target():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3))
    W = rng.normal(size=(3, 2))
    model = LinearRegression().fit(X, X @ W)
    with pytest.raises(ValueError, match="target"):
        occlude(model, X[:2])
    explanation = occlude(model, X[:2], target="all")
    np.testing.assert_allclose(explanation.values, X[:2, :, None] * W, atol=1e-10)


# -------------------------------------------------------------------------------------- outputs


@pytest.fixture(scope="module")
def binary():
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    X = (bunch.data[:, :4] - bunch.data[:, :4].mean(axis=0)) / bunch.data[:, :4].std(axis=0)
    return X, bunch.target


def test_a_binary_decision_function_becomes_two_outputs(binary):
    from sklearn.svm import LinearSVC

    X, y = binary
    model = LinearSVC().fit(X, y)
    explanation = occlude(model, X[:3], target="all")
    s = model.decision_function(X[:3])
    np.testing.assert_allclose(explanation.predictions, np.stack([-s, s], axis=1))
    w = model.coef_[0]
    np.testing.assert_allclose(explanation.values[..., 1], X[:3] * w, atol=1e-12)
    np.testing.assert_allclose(explanation.values[..., 0], -X[:3] * w, atol=1e-12)


def test_a_decision_function_of_three_classes(trees):
    from sklearn.svm import LinearSVC

    model = LinearSVC().fit(trees.all_x, trees.all_y)
    explanation = occlude(model, trees.x, target="cedar")
    np.testing.assert_allclose(explanation.values, trees.x * model.coef_[2], atol=1e-12)


def test_a_classifier_that_only_predicts_gives_indicators(trees):
    from sklearn.linear_model import Perceptron
    from sklearn.multiclass import OutputCodeClassifier

    model = OutputCodeClassifier(Perceptron(), random_state=0).fit(trees.all_x, trees.all_y)
    assert not hasattr(model, "predict_proba") and not hasattr(model, "decision_function")
    explanation = occlude(model, trees.x, target="all")
    expected = model.predict(trees.x)[:, None] == model.classes_
    np.testing.assert_array_equal(explanation.predictions, expected)
    assert set(np.unique(explanation.values)) <= {-1.0, 0.0, 1.0}


def test_a_regressor_has_one_output(line):
    explanation = occlude(line.model, line.x[:3])
    np.testing.assert_allclose(explanation.values, line.x[:3] * line.w, atol=1e-12)


def test_an_outlier_detector_is_a_model_too(binary):
    """decision_function without classes_: −s of an outlier, s of an inlier, as predict has them."""
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline

    X, _ = binary
    model = make_pipeline(IsolationForest(n_estimators=5, random_state=0)).fit(X)
    explanation = occlude(model, X[:2], target="all")
    np.testing.assert_allclose(explanation.predictions[:, -1], model.decision_function(X[:2]))
    assert explanation.output_names == ["-1", "1"]
    odd = X[:4] * [[1], [9], [1], [9]]
    predicted = occlude(model, odd)
    assert [predicted.output_names[i] for i in predicted.target] == [*map(str, model.predict(odd))]
    of_outlier = occlude(model, odd, target=xai.Label(-1))
    np.testing.assert_allclose(of_outlier.predictions, -model.decision_function(odd))


@pytest.mark.parametrize("piped", [False, True])
def test_a_clusterer_is_explained_by_its_clusters_and_not_by_their_numbers(binary, piped):
    from sklearn.cluster import KMeans
    from sklearn.pipeline import make_pipeline

    X, _ = binary
    model = KMeans(3, n_init=1, random_state=0).fit(X)
    explanation = occlude(make_pipeline(model) if piped else model, X[:4], target="all")
    expected = model.predict(X[:4])[:, None] == np.arange(3)
    np.testing.assert_array_equal(explanation.predictions, expected)
    assert explanation.output_names == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["MiniBatchKMeans", "Birch", "Birch without labels"])
def test_clusters_are_all_that_there_are_and_not_those_of_the_rows_fitted_last(binary, kind):
    from sklearn import cluster

    X, _ = binary
    if kind == "Birch without labels":
        model = cluster.Birch(n_clusters=4, compute_labels=False).fit(X)
    else:
        options = {"random_state": 0} if kind == "MiniBatchKMeans" else {}
        model = getattr(cluster, kind)(n_clusters=4, **options)
        for rows in (X[:60], X[:2]):
            model.partial_fit(rows)
        assert len(set(model.labels_)) < 4
    explanation = occlude(model, X[:20], target="all")
    expected = model.predict(X[:20])[:, None] == np.arange(4)
    np.testing.assert_array_equal(explanation.predictions, expected)


def test_predictions_that_are_none_of_the_classes_are_refused():
    class Scores:
        """As CatBoost's own class: `predict` gives scores, though it knows classes."""

        def __init__(self):
            self.classes_ = np.array(["no", "yes"])

        def predict(self, x):
            return x[:, 0]

    x = np.array([[0.25, 1.0], [0.75, 0.0]])
    with pytest.raises(ValueError, match=r"predict gave 0.25, .*classes, \['no', 'yes'\]: pass"):
        occlude(Scores(), x)
    occlude(Scores().predict, x)


# -------------------------------------------------------------------------------------- players


def image_model(x):
    """(n, H, W, C) -> (n,): the first pixel's channels, and the last pixel's."""
    return x[:, 0, 0] @ np.arange(1.0, x.shape[3] + 1) + 7 * x[:, -1, -1].sum(axis=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((2, 5, 6, 3)) + 0.1


def test_elements_of_a_table(line):
    default = occlude(line.model, line.x[:2])
    named = occlude(line.model, line.x[:2], players="elements")
    assert default.values.shape == (2, 4)
    np.testing.assert_array_equal(default.values, named.values)


def test_the_pixels_of_an_image_take_all_channels_together(images):
    explanation = occlude(image_model, images)
    assert explanation.values.shape == (2, 5, 6)
    expected = np.zeros((2, 5, 6))
    expected[:, 0, 0] = images[:, 0, 0] @ [1, 2, 3]
    expected[:, -1, -1] = 7 * images[:, -1, -1].sum(axis=1)
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)
    assert explanation.map().shape == images.shape
    np.testing.assert_allclose(explanation.map(), np.repeat(expected[..., None], 3, axis=3))


def test_the_elements_of_an_image(images):
    explanation = occlude(image_model, images, players="elements")
    assert explanation.values.shape == images.shape
    np.testing.assert_allclose(explanation.values[:, 0, 0], images[:, 0, 0] * [1, 2, 3])


def test_every_output_of_an_image(images):
    def two(x):
        return np.stack([image_model(x), -image_model(x)], axis=1)

    explanation = occlude(two, images, target="all")
    assert explanation.values.shape == (2, 5, 6, 2)
    assert explanation.map().shape == (2, 5, 6, 3, 2)
    np.testing.assert_allclose(explanation.values[..., 0], -explanation.values[..., 1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_channel_axis_is_the_one_of_size_1_3_or_4(channels):
    last = np.random.default_rng(0).random((2, 5, 6, channels))
    one = occlude(image_model, last)
    assert one.values.shape == (2, 5, 6)

    def channels_first(x):
        return image_model(np.moveaxis(x, 1, 3))

    other = occlude(channels_first, np.moveaxis(last, 3, 1))
    assert other.values.shape == (2, 5, 6)
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 5, 6, 7), (1, 3, 3, 3)])
def test_an_ambiguous_channel_axis_is_asked_for(shape):
    x = np.random.default_rng(0).random(shape)
    with pytest.raises(ValueError, match="channel_axis"):
        occlude(image_model, x)
    explanation = occlude(image_model, x, channel_axis=3)
    assert explanation.values.shape == shape[:3]
    assert occlude(image_model, x, channel_axis=-1).values.shape == shape[:3]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_patches_are_players(images, size):
    explanation = occlude(image_model, images, players=xai.players.Patches(size))
    rows, columns = -(-5 // size), -(-6 // size)
    assert explanation.values.shape == (2, rows * columns)
    corners = images[:, 0, 0] @ [1, 2, 3], 7 * images[:, -1, -1].sum(axis=1)
    np.testing.assert_allclose(explanation.values[:, 0], corners[0])
    np.testing.assert_allclose(explanation.values[:, -1], corners[1])
    mapped = explanation.map()
    assert mapped.shape == images.shape
    patch = mapped[:, :size, :size].reshape(2, -1)
    np.testing.assert_allclose(patch, np.tile(corners[0][:, None], (1, patch.shape[1])))


def test_ids_are_players_in_ascending_order(line):
    x = line.x[:3]
    explanation = occlude(line.model, x, players=np.array([7, 2, 7, 4]))
    share = x * line.w
    expected = np.stack([share[:, 1], share[:, 3], share[:, 0] + share[:, 2]], axis=1)
    assert explanation.values.shape == (3, 3)
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)
    np.testing.assert_allclose(explanation.map(), expected[:, [2, 0, 2, 1]], atol=1e-12)


def test_an_id_of_minus_one_is_never_removed(line, counting):
    x = line.x[:2]
    model = counting(line.model.predict)
    explanation = xai.explain(
        model, x, "exact_shapley", removal=ZERO, players=np.array([0, -1, 1, 1])
    )
    assert explanation.values.shape == (2, 2)
    assert set(np.concatenate(model.seen)[:, 1]) == set(x[:, 1])
    kept = x[:, 1] * line.w[1] + line.model.intercept_
    np.testing.assert_allclose(explanation.base_values, kept, atol=1e-12)


def test_ids_may_differ_from_row_to_row(line):
    x = line.x[:3]
    ids = np.array([[0, 0, 0, 0], [3, 1, 3, 1], [4, 5, -1, 9]])
    explanation = occlude(line.model, x, players=ids)
    share = x * line.w
    assert explanation.values.shape == (3, 3)
    expected = np.full((3, 3), np.nan)
    expected[0, 0] = share[0].sum()
    expected[1, :2] = share[1, 1] + share[1, 3], share[1, 0] + share[1, 2]
    expected[2] = share[2, [0, 1, 3]]
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)
    np.testing.assert_allclose(explanation.map()[1], expected[1, [1, 0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "banzhaf", "mean_when_included"])
@pytest.mark.parametrize("budget", [None, 150])
@pytest.mark.parametrize("background", [1, 6])
def test_rows_with_other_numbers_of_players_are_explained_alone(method, budget, background):
    """Padding with NaN changes no row's answer, sampled or not."""
    x, data = np.split(np.random.default_rng(0).normal(size=(2 + background, 8)), [2])
    ids = np.array([[0, 0, 1, 1, 2, 2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7]])

    def model(rows):
        return rows[:, 0] * rows[:, 2] * rows[:, 4] + rows[:, 7] * rows[:, 1]

    keywords = {"data": data, "budget": budget}
    together = xai.explain(model, x, method, players=ids, **keywords)
    assert np.isnan(together.values[0, 3:]).all()
    for i, d in enumerate((3, 8)):
        alone = xai.explain(model, x[i : i + 1], method, players=ids[i : i + 1], **keywords)
        np.testing.assert_allclose(together.values[i, :d], alone.values[0, :d], atol=1e-12)


def test_ids_over_an_image(images):
    ids = np.zeros((5, 6, 3), dtype=int)
    ids[2:] = 1
    explanation = occlude(image_model, images, players=ids)
    assert explanation.values.shape == (2, 2)
    np.testing.assert_allclose(explanation.values[:, 0], images[:, 0, 0] @ [1, 2, 3])


class Halves(xai.players.Players):
    """Players of a caller's own class, which is no dataclass."""

    def encode(self, inputs, channel_axis):
        d = inputs.shape[0]
        owner = (np.arange(d) >= d // 2).astype(int)[None]
        return xai.players.Partition(owner, np.full(inputs.n, 2), ["left", "right"], (2,), "Halves")


def test_players_of_a_class_of_ones_own_are_as_good_as_groups(line):
    given = {"data": line.data, "seed": 3, "budget": 400}
    own = xai.explain(line.model, line.x[:2], "shapley", players=Halves(), **given)
    groups = xai.explain(line.model, line.x[:2], "shapley", players=[[0, 1], [2, 3]], **given)
    np.testing.assert_array_equal(own.values, groups.values)
    with pytest.raises(TypeError, match="did you mean 'budget'"):
        xai.explain(line.model, line.x[:2], "shapley", players=Halves(), bugdet=4, **given)


@pytest.mark.parametrize(
    "players", [[[0, 3], [1], [2]], [["a", "d"], ["b"], ["c"]], [("a", 3), "b", np.int64(2)]]
)
def test_groups_of_columns_by_index_or_name(line, players):
    pd = pytest.importorskip("pandas")
    x = line.x[:3]
    share = x * line.w
    expected = np.stack([share[:, 0] + share[:, 3], share[:, 1], share[:, 2]], axis=1)
    given = pd.DataFrame(x, columns=list("abcd"))
    explanation = occlude(lambda rows: line.model.predict(np.asarray(rows)), given, players=players)
    assert explanation.values.shape == (3, 3)
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)


def test_three_axes_that_are_no_image_are_elements():
    """(n, time, channels): no pixels, every element a player."""
    x = np.random.default_rng(0).random((2, 3, 2))
    explanation = occlude(lambda rows: rows[:, 1, 0] * 2, x)
    assert explanation.values.shape == (2, 3, 2)
    expected = np.zeros_like(x)
    expected[:, 1, 0] = 2 * x[:, 1, 0]
    np.testing.assert_allclose(explanation.values, expected)


# ----------------------------------------------------------------------------- names of features


def test_names_come_from_the_columns_or_from_the_caller(line):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(line.x[:2], columns=["w", "x", "y", "z"])

    def model(rows):
        return line.model.predict(np.asarray(rows))

    assert list(occlude(model, frame).feature_names) == ["w", "x", "y", "z"]
    named = occlude(model, line.x[:2], feature_names=["one", "two", "three", "four"])
    assert list(named.feature_names) == ["one", "two", "three", "four"]
    assert len(occlude(model, line.x[:2]).feature_names) == 4
    with pytest.raises(ValueError, match="feature_names"):
        occlude(model, line.x[:2], feature_names=["one", "two"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [(list("wxyz"), ["w + z", "x + y"]), (["ends", "rest"], ["ends", "rest"])],
)
def test_names_are_of_columns_or_of_groups_of_them(line, names, expected):
    named = occlude(line.model, line.x[:2], players=[[0, 3], [1, 2]], feature_names=names)
    assert list(named.feature_names) == expected


def test_a_dict_of_groups_names_its_players(mixed, tmp_path):
    """A list of the same groups has the same numbers."""
    groups = {"who": ["age", "grade"], "where": "town", "what": ["income"]}
    given = {"data": mixed.data, "target": 1, "seed": 0}
    listed = xai.explain(mixed.pipeline, mixed.x, "shapley", players=list(groups.values()), **given)
    named = xai.explain(
        mixed.pipeline, mixed.x, "shapley", players=MappingProxyType(groups), **given
    )
    np.testing.assert_array_equal(named.values, listed.values)
    assert named.feature_names == list(groups)
    assert named.players == (
        "Columns({'who': ['age', 'grade'], 'where': ['town'], 'what': ['income']})"
    )
    named.save(tmp_path / "e.npz")
    for shown in (named, xai.load(tmp_path / "e.npz")):
        assert set(shown.to_frame().feature) == set(shown.feature_names) == {"who", "where", "what"}
        ticks = {label.get_text().split(" = ")[0] for label in shown[0].plot().get_yticklabels()}
        assert ticks == {"who", "where", "what"}
        plt.close("all")


def test_metrics_and_comparisons_take_a_dict_of_groups(line):
    groups = {"ends": [0, 3], "rest": [1, 2]}
    given = {"data": line.data, "players": groups}
    e = xai.explain(line.model, line.x[:2], "shapley", **given)
    alone = xai.metrics.deletion(line.model, line.x[:2], e.values, **given)
    own = xai.metrics.deletion(line.model, line.x[:2], e)
    np.testing.assert_array_equal(alone.values, own.values)
    assert alone.curve.shape == (2, 3)
    report = xai.compare(line.model, line.x[:2], ["shapley"], ["deletion"], **given)
    assert np.isfinite(report.to_frame()["mean"]).all()


@pytest.mark.parametrize("groups", [{"ends": [0, 3], "rest": [1, 2]}, [[0, 3], [1, 2]]], ids=str)
def test_groups_may_be_changed_once_they_are_explained(line, groups):
    e = xai.explain(line.model, line.x[:2], "shapley", data=line.data, players=groups)
    score = xai.metrics.max_sensitivity(line.model, line.x[:2], e)
    groups["ends" if isinstance(groups, dict) else 0].remove(3)
    again = xai.metrics.max_sensitivity(line.model, line.x[:2], e)
    np.testing.assert_array_equal(again.values, score.values)


def test_names_of_outputs_are_the_labels_or_the_callers(trees):
    explanation = occlude(trees.model, trees.x, target="all")
    assert list(explanation.output_names) == ["all", "birch", "cedar"]
    named = occlude(
        trees.model.predict_proba, trees.x, target="beech", output_names=["ash", "beech", "oak"]
    )
    np.testing.assert_allclose(named.predictions, trees.model.predict_proba(trees.x)[:, 1])
    with pytest.raises(ValueError, match="output_names"):
        occlude(trees.model, trees.x, output_names=["one"])


# -------------------------------------------------------------------- options, budgets, tolerance


def test_an_unknown_method_names_the_nearest(line):
    with pytest.raises(ValueError, match="kernel_shap"):
        xai.explain(line.model, line.x[:1], "kernel_shapp", data=line.data)
    with pytest.raises(ValueError, match="shapley"):
        xai.explain(line.model, line.x[:1], "Shaply", data=line.data)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("bugdet", "budget"), ("batchsize", "batch_size"), ("n_job", "n_jobs"), ("sed", "seed"),
     ("feature_name", "feature_names"), ("targets", "target")],
)  # fmt: skip
@pytest.mark.parametrize("method", ["occlusion", "shapley", "lime"])
def test_an_unknown_option_names_the_nearest(line, method, wrong, right):
    with pytest.raises(TypeError, match=rf"\b{right}\b"):
        xai.explain(line.model, line.x[:1], method, data=line.data, **{wrong: 3})


@pytest.mark.parametrize(
    ("method", "option", "having"),
    [("kernel_shap", "order", "shapley, exact_shapley, permutation_shap, banzhaf, .* have it"),
     ("shapley", "steps", "integrated_gradients, blur_integrated_gradients, .* have it"),
     ("shapley", "threshold", "mir has it")],
)  # fmt: skip
def test_an_option_of_other_methods_names_these(line, method, option, having):
    """It is spelled right: no other word was meant."""
    with pytest.raises(TypeError, match=f"option '{option}' for method '{method}': {having}. K"):
        xai.explain(line.model, line.x[:1], method, data=line.data, **{option: 2})


@pytest.mark.parametrize(
    ("method", "option", "part"),
    [("shapley", "order", {"summary": LinearFit()}),
     ("lime", "discretise", {"removal": Marginal()}),
     ("loss_shap", "clip", {"behavior": "margin"})],
)  # fmt: skip
def test_an_option_of_a_part_that_was_replaced_says_so(line, method, option, part):
    """A list of methods that have it would begin with this one."""
    ((what, given),) = part.items()
    name = "Margin" if given == "margin" else type(given).__name__
    told = f"'{method}': its own {what} has it, and {name} took the place of that. Known: "
    with pytest.raises(TypeError, match=re.escape(told)):
        xai.explain(line.model, line.x[:1], method, data=line.data, **part, **{option: 2})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("class_names", "output_names"), ("num_samples", "samples"), ("kernel_width", "width"),
     ("background", "data"), ("masker", "data"), ("baselines", "removal"), ("link", "output"),
     ("feature_mask", "players"), ("max_evals", "budget"), ("top_labels", "target")],
)  # fmt: skip
def test_an_option_of_a_peers_is_answered_by_ours(line, theirs, ours):
    with pytest.raises(TypeError, match=f"unknown option '{theirs}' .*; did you mean '{ours}'"):
        xai.explain(line.model, line.x[:1], "lime", data=line.data, **{theirs: 3})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("TreeExplainer", "shapley"), ("saliency", "gradient"), ("ig", "integrated_gradients"),
     ("InputXGradient", "gradient_x_input"), ("feature_ablation", "occlusion"),
     ("GradientShap", "expected_gradients"), ("DeepLiftShap", "deeplift"),
     ("permutation_importance", "permutation_test")],
)  # fmt: skip
def test_a_method_of_a_peers_is_answered_by_ours(line, theirs, ours):
    with pytest.raises(ValueError, match=f"unknown method '{theirs}'; did you mean '{ours}'"):
        xai.explain(line.model, line.x[:1], theirs, data=line.data)


@pytest.mark.parametrize(("theirs", "ours"), [
    ("TreeExplainer", "explain"), ("explian", "explain"), ("plot", "plots"), ("Load", "load"),
])  # fmt: skip
def test_a_name_that_the_package_lacks_is_answered_by_the_nearest(theirs, ours):
    told = f"module 'xai' has no attribute '{theirs}'; did you mean '{ours}'"
    with pytest.raises(AttributeError, match=re.escape(told)):
        getattr(xai, theirs)


@pytest.mark.parametrize(("theirs", "ours"), [
    ("MPRT", "parameter_randomization"), ("PointingGame", "pointing_game"), ("AUC", "roc_auc"),
    ("FaithfulnessCorrelation", "faithfulness_correlation"), ("evaluat", "evaluate"),
])  # fmt: skip
def test_a_metric_of_a_peers_is_answered_by_ours(line, theirs, ours):
    told = f"module 'xai.metrics' has no attribute '{theirs}'; did you mean '{ours}'"
    with pytest.raises(AttributeError, match=re.escape(told)):
        getattr(metrics, theirs)
    for lacking in (xai, metrics):
        with pytest.raises(AttributeError, match=r"no attribute '_repr_mimebundle_'$"):
            lacking._repr_mimebundle_  # noqa: B018


def test_every_word_of_a_peers_is_answered_by_one_that_there_is():
    known = {record.name for record in xai.methods()} | {*inspect.signature(xai.explain).parameters}
    parts = [*vars(xai.removal).values(), *vars(xai.summary).values(), *vars(xai.behavior).values()]
    known |= {field.name for part in parts if is_dataclass(part) for field in fields(part)}
    known |= {
        option for record in metrics.names() for option in getattr(metrics, record.name).options
    }
    known |= {record.name for record in metrics.names()} | {*xai.__all__, *KINDS}
    assert [ours for ours in PEERS if ours not in known] == []
    one = xai.explain(lambda x: x[:, 0], np.eye(2), data=np.eye(2))
    with pytest.raises(ValueError, match="unknown kind 'summary_plot'; did you mean 'beeswarm'"):
        one.plot("summary_plot")


def test_an_unknown_option_without_a_near_name_reads_well(line):
    with pytest.raises(TypeError, match=r"option 'zzzzz' for method 'lime'\. Known: alpha, "):
        xai.explain(line.model, line.x[:1], "lime", data=line.data, zzzzz=1)


@pytest.mark.parametrize(
    ("method", "flag"),
    [("lime", {"discretise": "no"}), ("c_lime", {"displacements": 1.5}),
     (xai.Method(summary=xai.summary.IncludeIndividual(softmax="no")), {})],
)  # fmt: skip
def test_what_is_neither_true_nor_false_is_refused_where_one_is_asked_for(line, method, flag):
    """Else "no" means yes."""
    with pytest.raises(TypeError, match="must be True or False, not "):
        xai.explain(line.model, line.x[:1], method, data=line.data, **flag)
    xai.explain(line.model, line.x[:1], "lime", data=line.data, discretise=np.False_)


def test_a_name_where_there_are_none_reads_well():
    game = xai.Game.from_function(lambda S: S.all(axis=1), n_players=2)
    with pytest.raises(ValueError, match="player in groups: 'age'; Known: none"):
        xai.summary.Owen([["age"], [1]])(game)


def test_an_option_of_a_part_is_named_too(line):
    with pytest.raises(TypeError, match="regularizer"):
        xai.explain(line.model, line.x[:1], "lime", data=line.data, regulariser="lasso")
    with pytest.raises(TypeError, match="regularizer"):
        xai.explain(line.model, line.x[:1], "shapley", data=line.data, regularizer="lasso")


@pytest.mark.parametrize(
    ("players", "option"), [(Groups(np.array([0, 0, 1])), "ids"), (Columns([[0, 1], 2]), "groups")]
)
def test_no_option_replaces_players_that_were_given(line, players, option):
    with pytest.raises(TypeError, match=f"unknown option '{option}'"):
        xai.explain(
            line.model, line.x[:1], "occlusion", data=line.data, players=players,
            **{option: getattr(players, option)},
        )  # fmt: skip


def test_options_reach_the_methods_parts(line):
    one = xai.explain(line.model, line.x[:2], "mean_when_included", data=line.data, p=0.9)
    other = xai.explain(
        line.model, line.x[:2], "mean_when_included", data=line.data,
        summary=xai.summary.MeanWhenIncluded(p=0.9),
    )  # fmt: skip
    default = xai.explain(line.model, line.x[:2], "mean_when_included", data=line.data)
    np.testing.assert_array_equal(one.values, other.values)
    assert not np.allclose(one.values, default.values)


def test_the_batch_size_is_the_most_rows_in_a_call(line, counting):
    model = counting(line.model.predict)
    xai.explain(model, line.x[:4], "shapley", data=line.data, batch_size=13)
    assert model.largest == 13


def test_method_objects_and_names_are_the_same(line):
    record = next(record for record in xai.methods() if record.name == "shapley")
    keywords = {"data": line.data}
    by_name = xai.explain(line.model, line.x[:2], "shapley", **keywords)
    method = xai.Method(
        removal=xai.removal.Marginal(line.data), behavior=xai.behavior.Prediction(),
        summary=Shapley(),
    )  # fmt: skip
    by_parts = xai.explain(line.model, line.x[:2], method)
    assert record.summary
    np.testing.assert_allclose(by_name.values, by_parts.values, atol=1e-12)


def test_the_explanation_says_how_it_was_made(line):
    explanation = xai.explain(line.model, line.x[:2], "kernel_shap", data=line.data, seed=5)
    assert explanation.method == "kernel_shap"
    assert explanation.seed == 5
    assert "Marginal" in str(explanation.removal)
    assert "Prediction" in str(explanation.behavior)
    assert "LinearFit" in str(explanation.summary)
    np.testing.assert_array_equal(explanation.data, line.x[:2])
    assert len(np.atleast_1d(explanation.target)) in (1, 2)


@pytest.mark.parametrize("n", [1, 3])
def test_progress_writes_to_the_terminal_only_when_asked(line, capsys, n):
    keywords = {"data": line.data, "batch_size": 20}
    xai.explain(line.model, line.x[:n], "shapley", progress=False, **keywords)
    quiet = capsys.readouterr()
    assert quiet.out == quiet.err == ""
    xai.explain(line.model, line.x[:n], "shapley", progress=True, **keywords)
    shown = capsys.readouterr()
    assert shown.err != "" and shown.out == ""


# --------------------------------------------------------------- interactions of the parts' words


def test_game_words_are_exported():
    for name in ("explain", "Explanation", "Game", "Label", "Top", "Method", "methods", "load"):
        assert hasattr(xai, name)
    for name in ("Baseline", "Marginal", "ProductOfMarginals", "Uniform"):
        assert hasattr(xai.removal, name)
    for name in ("Prediction", "Contrast", "Margin", "PredictionLoss", "DatasetLoss"):
        assert hasattr(xai.behavior, name)
    for name in (
        "RemoveIndividual", "IncludeIndividual", "Shapley", "Banzhaf", "MeanWhenIncluded",
        "LinearFit",
    ):  # fmt: skip
        assert hasattr(xai.summary, name)


def arguments(function):
    """Names and defaults, in order; a required one has `Parameter.empty`."""
    given = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in given if p.kind is not p.VAR_KEYWORD}


def test_the_front_doors_arguments_are_the_contracts():
    empty, none = inspect.Parameter.empty, dict.fromkeys(
        ["y", "data", "players", "removal", "behavior", "summary", "budget", "tolerance",
         "batch_size", "n_jobs"]
    )  # fmt: skip
    names = dict.fromkeys(["progress", "feature_names", "output_names", "categorical"])
    expected = {"model": empty, "x": empty, "method": "auto", "target": "predicted"}
    expected |= none | {"seed": 0} | names
    assert list(arguments(xai.explain).items()) == list(expected.items())
    kinds = [p.kind for p in inspect.signature(xai.explain).parameters.values()]
    positional, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    assert kinds[:-1] == [positional] * 3 + [keyword] * (len(expected) - 3)
    assert kinds[-1] is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize(
    ("part", "first"),
    [
        (xai.removal.Baseline, {"value": 0}),
        (xai.removal.Marginal, {"data": None}),
        (xai.removal.ProductOfMarginals, {"data": None}),
        (xai.removal.Uniform, {"low": None, "high": None, "data": None}),
        (xai.removal.Blur, {"sigma": None}),
        (xai.removal.Noise, {"sigma": None}),
        (xai.behavior.Prediction, {"output": "auto"}),
        (xai.behavior.Contrast, {"to": None}),
        (xai.behavior.PredictionLoss, {"loss": "auto"}),
        (xai.behavior.DatasetLoss, {"loss": "auto"}),
        (xai.summary.MeanWhenIncluded, {"p": 0.5}),
        (xai.summary.IntegratedGradient, {"steps": None}),
        (xai.players.Patches, {"size": inspect.Parameter.empty}),
        (xai.players.Superpixels, {"n": None}),
        (xai.players.Channels, {"layer": None}),
        (xai.players.Concepts, {"bank": None}),
        (
            xai.aggregate,
            {"explanations": inspect.Parameter.empty, "method": "mean", "query": None, "k": None,
             "weights": None},
        ),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)  # fmt: skip
def test_the_parts_first_arguments_are_the_contracts(part, first):
    assert list(arguments(part).items())[: len(first)] == list(first.items())
    assert [*arguments(xai.summary.Shapley.__call__)][:5] == [
        "self", "game", "budget", "tolerance", "seed",
    ]  # fmt: skip
