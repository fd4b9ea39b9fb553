"""What of the model is explained: each behavior written out by hand on top of one removal."""

from __future__ import annotations

import inspect
import tracemalloc
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

import xai
from xai.behavior import Contrast, DatasetLoss, Margin, Prediction, PredictionLoss, View, arrays
from xai.behavior.prediction import Output
from xai.removal import Baseline, Marginal, ProductOfMarginals, Uniform
from xai.summary import (
    Banzhaf,
    IncludeIndividual,
    LinearFit,
    MeanWhenIncluded,
    RemoveIndividual,
    Shapley,
)

B = np.array([5.8, 3.0, 3.7, 1.2])  # an iris near the middle


def without(x, i):
    return np.where(np.arange(x.shape[1]) == i, B, x)


def occlude(value, x):
    """Leave one out by hand: value (n, d) -> (n,)."""
    return np.stack([value(x) - value(without(x, i)) for i in range(x.shape[1])], axis=1)


def explain(model, x, behavior, **keywords):
    return xai.explain(model, x, "occlusion", removal=Baseline(B), behavior=behavior, **keywords)


# -------------------------------------------------------------------------------- predictions


def outputs(p):
    return {
        "auto": p,
        "probability": p,
        "logit": np.log(p),
        "log_odds": np.log(p / (1 - p)),
        "raw": p,
    }


@pytest.mark.parametrize("output", outputs(np.ones(1) / 2))
@pytest.mark.parametrize("target", [0, 2])
def test_predictions_of_a_classifier(trees, output, target):
    def value(x):
        return outputs(trees.model.predict_proba(x)[:, target])[output]

    explanation = explain(trees.model, trees.x, Prediction(output), target=target)
    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-10)
    np.testing.assert_allclose(explanation.predictions, value(trees.x), atol=1e-10)


def test_a_prediction_is_the_probability_unless_told_otherwise(trees):
    one = xai.explain(trees.model, trees.x, "occlusion", removal=Baseline(B))
    other = explain(trees.model, trees.x, Prediction("auto"))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_allclose(one.predictions, trees.model.predict_proba(trees.x).max(axis=1))


def test_a_callables_raw_output_is_explained():
    def scores(x):
        return np.stack([3 * x[:, 0], x[:, 1] * x[:, 2] - 4], axis=1)

    x = np.array([[5.0, 3, 1, 0], [1.0, 2, 9, 4]])
    explanation = explain(scores, x, None, target=1)
    np.testing.assert_allclose(explanation.values, occlude(lambda z: scores(z)[:, 1], x))


@pytest.mark.parametrize("output", ["probability", "logit", "log_odds"])
def test_a_callables_probability_must_be_one(output):
    x = np.array([[5.0, 3, 1, 0]])
    with pytest.raises(ValueError, match=r"\[0, 1\]|between 0 and 1|probabilit"):
        explain(lambda z: z[:, :2] * 3, x, Prediction(output), target=0)


@pytest.mark.parametrize("wrong", [-2.0, 2.0])
def test_a_tensors_probability_must_be_one_on_the_way_too(wrong):
    """It is one at both ends of the path, and beside it is an output that always is."""

    def function(z):
        bulge = wrong * 4 * z[:, 0] * (1 - z[:, 0])
        return torch.stack([bulge, 0 * bulge + 0.25], dim=1)

    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"probabilities were asked for.*values from"):
        xai.explain(
            function, torch.ones(1, 4), "integrated_gradients", target=0,
            behavior=Prediction("probability"),
        )  # fmt: skip


def test_a_probability_that_is_above_one_by_rounding_is_told_in_full():
    above = np.nextafter(1.0, 2.0)
    with pytest.raises(ValueError, match=f"values from {above} to {above};"):
        explain(lambda z: np.full(len(z), above), np.ones((1, 4)), Prediction("probability"))


@pytest.mark.parametrize("output", ["probability", "log_odds"])
def test_scores_and_amounts_are_no_probabilities(trees, line, output):
    from sklearn.linear_model import RidgeClassifier

    scores = RidgeClassifier().fit(trees.data, np.arange(len(trees.data)) % 3)
    with pytest.raises(ValueError, match="needs probabilities, which this model's decision_func"):
        explain(scores, trees.x, Prediction(output), target=0)
    with pytest.raises(ValueError, match="needs a classifier; a regressor's is 'raw'"):
        explain(line.model, line.x[:1], Prediction(output))


def test_a_callables_probability_in_range_is_taken():
    def half(x):
        p = 1 / (1 + x[:, 0] ** 2)
        return np.stack([p, 1 - p], axis=1)

    x = np.array([[5.0, 3, 1, 0]])
    explanation = explain(half, x, Prediction("log_odds"), target=0)

    def value(z):
        p = half(z)[:, 0]
        return np.log(p / (1 - p))

    np.testing.assert_allclose(explanation.values, occlude(value, x), atol=1e-12)


def test_an_infinite_log_odds_is_not_silently_clipped(trees):
    def certain(x):
        return np.tile([0.0, 1.0], (len(x), 1))

    with pytest.raises(ValueError, match=r"(?i)inf|finite"):
        explain(certain, trees.x, Prediction("log_odds"), target=1)


@pytest.mark.parametrize("behavior", [Prediction, Contrast, Margin])
@pytest.mark.parametrize("output", ["log_odds", "logit"])
def test_an_infinite_value_says_what_to_do(cancer, behavior, output):
    """A forest gives probabilities of exactly 0 and 1."""
    certain = cancer.forest.predict_proba(cancer.x).max(axis=1) == 1
    x = cancer.x[certain][:1]
    with pytest.raises(ValueError, match=r"row 0 .*exactly 0 or 1: use output='probability'"):
        xai.explain(
            cancer.forest, x, "occlusion", data=cancer.x[:5], behavior=behavior(output=output),
            target=1,
        )  # fmt: skip


@pytest.mark.parametrize("output", get_args(Output))
def test_help_tells_what_each_scale_is(output):
    assert f'"{output}":' in inspect.getdoc(Prediction)


UNITS = [
    (Prediction(), "probability"),
    (Prediction("raw"), "probability"),
    (Prediction("logit"), "log probability"),
    (Prediction("log_odds"), "log odds"),
    (Contrast(to="birch", output="log_odds"), "log odds above 'birch'"),
    (Contrast(), "probability above the runner-up"),
    (Margin("logit"), "log probability above the largest other"),
    (PredictionLoss("squared"), "minus squared loss"),
    (DatasetLoss("0-1"), "minus 0-1 loss"),
    (DatasetLoss("error", average="loss"), "minus 0-1 loss"),
]


@pytest.mark.parametrize(("behavior", "unit"), UNITS, ids=str)
def test_what_is_explained_is_told_in_words(trees, behavior, unit, tmp_path):
    given = {"y": trees.y} if "loss" in unit else {"target": "cedar"}
    e = explain(trees.model, trees.x, behavior, **given)
    assert e.unit == e[:1].unit == unit
    e.save(tmp_path / "e.npz")
    assert xai.load(tmp_path / "e.npz").unit == unit


def test_what_models_give_is_told_where_it_is_known(trees, line):
    from sklearn.svm import LinearSVC

    module, call = network(3)
    x = np.float32(trees.x)
    for behavior, unit in [
        (Prediction(), "raw output"), (Prediction("logit"), "logit"),
        (Prediction("probability"), "probability"),
        (Margin(), "raw output above the largest other"),
    ]:  # fmt: skip
        assert explain(module, x, behavior).unit == unit
    assert explain(call, trees.x, Prediction()).unit == ""
    assert explain(call, trees.x, Prediction("raw")).unit == "raw output"
    assert explain(call, trees.x, Contrast()).unit == "output above the runner-up"
    assert explain(line.model, trees.x, Prediction()).unit == ""
    scores = LinearSVC().fit(trees.all_x, trees.all_y)
    for output in ("auto", "raw", "logit"):
        assert explain(scores, trees.x, Prediction(output)).unit == "decision function"


def test_an_unknown_output_names_the_nearest(trees):
    with pytest.raises(ValueError, match="logit"):
        explain(trees.model, trees.x, Prediction("logits"))


def test_a_prediction_is_averaged_after_its_output(trees):
    """players -> removal -> model -> output -> mean over draws -> reduce."""
    explanation = xai.explain(
        trees.model, trees.x, "occlusion", data=trees.data, behavior=Prediction("log_odds"),
        target=1,
    )  # fmt: skip
    p = trees.model.predict_proba(trees.data)[:, 1]
    np.testing.assert_allclose(explanation.base_values, np.log(p / (1 - p)).mean(), atol=1e-10)


# ----------------------------------------------------------------------- contrasts and margins


@pytest.mark.parametrize("to", [2, "cedar", xai.Label("cedar")])
def test_a_contrast_is_the_gap_to_another_class(trees, to):
    def value(x):
        p = trees.model.predict_proba(x)
        return p[:, 0] - p[:, 2]

    explanation = explain(trees.model, trees.x, Contrast(to=to), target=0)
    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-12)


def test_a_contrast_to_an_unknown_class_is_refused(trees):
    with pytest.raises(ValueError, match="cedar"):
        explain(trees.model, trees.x, Contrast(to="ceder"), target=0)
    with pytest.raises(ValueError, match=r"^to 7 is out of range"):
        explain(trees.model, trees.x, Contrast(to=7), target=0)
    with pytest.raises(TypeError, match=r"^to must be an int, a label or None, not 1\.5"):
        explain(trees.model, trees.x, Contrast(to=1.5), target=0)


@pytest.mark.parametrize("behavior", [Contrast(), "contrast"])
@pytest.mark.parametrize("target", ["predicted", 0, "all"])
def test_a_contrast_to_none_is_to_the_runner_up_of_the_unmasked_row(trees, behavior, target):
    p = trees.model.predict_proba(trees.x)
    explanation = explain(trees.model, trees.x, behavior, target=target)
    for i, row in enumerate(p):
        own = {"predicted": [row.argmax()], 0: [0], "all": [0, 1, 2]}[target]
        for at, c in enumerate(own):
            other = max((j for j in range(3) if j != c), key=lambda j, row=row: row[j])

            def value(x, c=c, other=other):
                p = trees.model.predict_proba(x)
                return p[:, c] - p[:, other]

            found = explanation.values[i].reshape(4, -1)[:, at]
            np.testing.assert_allclose(found, occlude(value, trees.x)[i], atol=1e-12)
            alone = explain(trees.model, trees.x[i : i + 1], behavior, target=target)
            np.testing.assert_allclose(found, alone.values.reshape(4, -1)[:, at], atol=1e-12)


def test_a_contrast_with_itself_is_refused(trees):
    with pytest.raises(ValueError, match=r"row 0 .*itself.*to=1"):
        explain(trees.model, trees.x, Contrast(to=1), target=1)
    p = trees.model.predict_proba(trees.x).argmax(axis=1)
    with pytest.raises(ValueError, match=rf"row {p.tolist().index(2)} .*itself.*to='cedar'"):
        explain(trees.model, trees.x, Contrast(to="cedar"))
    every = explain(trees.model, trees.x, Contrast(to=1), target="all")
    assert np.all(every.values[..., 1] == 0) and np.all(np.abs(every.values[..., 0]).max(1) > 0)


@pytest.mark.parametrize("to", [None, 0])
def test_a_contrast_of_one_output_is_refused(line, to):
    with pytest.raises(ValueError, match="two outputs"):
        xai.explain(
            line.model, line.x[:2], "occlusion", removal=Baseline(0.0), behavior=Contrast(to)
        )


def test_a_margin_is_the_gap_to_the_best_other_class(trees):
    def value(x):
        p = trees.model.predict_proba(x)
        return p[:, 1] - np.delete(p, 1, axis=1).max(axis=1)

    explanation = explain(trees.model, trees.x, Margin(), target=1)
    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-12)


def test_a_margin_is_taken_of_the_mean_output(trees, oracle):
    def margin(p):
        return p[..., 1] - np.delete(p, 1, axis=-1).max(axis=-1)

    explanation = xai.explain(
        trees.model, trees.x, "exact_shapley", data=trees.data, behavior=Margin(), target=1
    )
    for i in range(3):
        mean = oracle.marginal_game(trees.model.predict_proba, trees.x[i], trees.data)
        expected = oracle.shapley(lambda S, mean=mean: margin(mean(S)), 4)
        np.testing.assert_allclose(explanation.values[i], expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("k", [2, 3, 40])
def test_the_largest_of_the_others_in_little_memory(kind, k):
    rng = np.random.default_rng(k)
    out = rng.integers(0, 6, size=(500, k)).astype(float)
    index = np.tile(np.arange(k), (500, 1))
    expected = np.stack([np.delete(out, j, axis=1).max(axis=1) for j in range(k)], axis=1)
    given = pytest.importorskip("torch").tensor(out) if kind == "tensor" else out
    tracemalloc.start()
    found = arrays.largest_other(given, index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, expected)
    assert kind == "tensor" or peak < 5 * out.nbytes


@pytest.mark.parametrize("k", [2, 5])
def test_a_runner_up_is_the_first_largest_of_the_others(k):
    out = np.random.default_rng(k).integers(0, 3, size=(50, k)).astype(float)
    index = np.tile(np.arange(k), (50, 1))
    view = View("callable", [], [*map(str, range(k))], out, index)
    found = Contrast().bind(view).linear.places[..., 1]
    for i, j in np.ndindex(50, k):
        assert found[i, j] == np.where(np.arange(k) == j, -np.inf, out[i]).argmax()


def test_a_margin_of_one_output_is_refused(line):
    with pytest.raises(ValueError, match=r"(?i)output|class"):
        xai.explain(line.model, line.x[:2], "occlusion", removal=Baseline(0.0), behavior=Margin())


# ------------------------------------------------------------------------------ loss on a row


def losses(labels):
    index = {label: i for i, label in enumerate(["all", "birch", "cedar"])}
    at = np.array([index[label] for label in labels])

    def own(p):
        return p[np.arange(len(p)), at]

    return {
        "cross_entropy": lambda p: -np.log(own(p)),
        "squared": lambda p: ((p - np.eye(3)[at]) ** 2).sum(axis=1),
        "0-1": lambda p: (p.argmax(axis=1) != at).astype(float),
    }


@pytest.mark.parametrize("loss", losses([]))
def test_the_value_of_a_loss_is_its_negative(trees, loss):
    def value(x):
        return -losses(trees.y)[loss](trees.model.predict_proba(x))

    explanation = explain(trees.model, trees.x, PredictionLoss(loss), y=trees.y)
    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-10)
    np.testing.assert_allclose(explanation.predictions, value(trees.x), atol=1e-10)


@pytest.mark.parametrize("loss", losses([]))
def test_a_loss_is_that_of_the_mean_prediction(trees, oracle, loss):
    explanation = xai.explain(
        trees.model, trees.x, "loss_shap", data=trees.data, y=trees.y,
        behavior=PredictionLoss(loss), budget=10_000,
    )  # fmt: skip
    for i in range(3):
        mean = oracle.marginal_game(trees.model.predict_proba, trees.x[i], trees.data)

        def v(S, mean=mean, i=i):
            return np.array([-losses(trees.y[i : i + 1])[loss](mean(s[None]))[0] for s in S])

        np.testing.assert_allclose(explanation.values[i], oracle.shapley(v, 4), atol=1e-10)


def test_a_loss_of_ones_own(trees):
    """loss(y (B,), outputs (B, k)) -> (B,), with y as the caller gave it."""

    def absolute(y, out):
        assert out.shape == (len(y), 3)
        return np.abs(out[:, 0] - (y == "all"))

    def value(x):
        return -np.abs(trees.model.predict_proba(x)[:, 0] - (trees.y == "all"))

    explanation = explain(trees.model, trees.x, PredictionLoss(absolute), y=trees.y)
    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-12)


def test_a_loss_of_ones_own_gives_one_number_per_row(trees):
    with pytest.raises(ValueError, match=r"(?i)loss.*shape|shape.*loss"):
        explain(trees.model, trees.x, PredictionLoss(lambda y, out: np.sum(out)), y=trees.y)


def test_a_loss_of_ones_own_may_give_a_list(trees):
    losses = [lambda y, out: out[:, 0] > 0.5, lambda y, out: [float(p > 0.5) for p in out[:, 0]]]
    one, other = (explain(trees.model, trees.x, PredictionLoss(f), y=trees.y) for f in losses)
    assert one.values.any()
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize("end", [lambda t: t.detach().tolist(), lambda t: t.detach().numpy()])
def test_a_loss_of_ones_own_keeps_gradients(trees, end):
    def loss(y, out):
        return abs(out[:, 0] - y)

    def ends(y, out):
        return loss(y, out) if isinstance(out, np.ndarray) else end(loss(y, out))

    given = {"summary": "gradient", "y": np.array([0.5, 1.0, 2.0])}
    assert explain(network(2)[0], trees.x, PredictionLoss(loss), **given).values.any()
    with pytest.raises(TypeError, match=r"^the loss returned a (list|ndarray); .* needs a tensor"):
        explain(network(2)[0], trees.x, PredictionLoss(ends), **given)


@pytest.mark.parametrize("kind", ["prediction_loss", "dataset_loss"])
@pytest.mark.parametrize(("bad", "told"), [(np.inf, "inf"), (np.nan, "NaN")])
def test_a_loss_of_ones_own_that_is_not_finite_names_the_row(kind, bad, told):
    def loss(y, means):
        return np.where(means[:, 0] == 7, bad, 0.0)

    x = np.array([[1.0, 1.0], [5.0, 7.0]])
    how = {"removal": "baseline", "y": [0, 1], "loss": loss}
    with pytest.raises(ValueError, match=rf"values are {told} while explaining row 1 \(0-based\)"):
        xai.explain(lambda x: x.sum(axis=1), x, "occlusion", behavior=kind, **how)


def test_the_loss_of_a_regressor_is_squared(line):
    x, y = line.x[:3], np.array([1.0, -2.0, 0.5])

    def value(rows):
        return -((line.model.predict(rows) - y) ** 2)

    for behavior in (PredictionLoss(), PredictionLoss("squared")):
        explanation = xai.explain(
            line.model, x, "occlusion", removal=Baseline(0.0), behavior=behavior, y=y
        )
        gone = np.stack([value(np.where(np.arange(4) == i, 0, x)) for i in range(4)], axis=1)
        np.testing.assert_allclose(explanation.values, value(x)[:, None] - gone, atol=1e-10)


def test_the_loss_of_a_classifier_is_the_cross_entropy(trees):
    one = explain(trees.model, trees.x, PredictionLoss(), y=trees.y)
    other = explain(trees.model, trees.x, PredictionLoss("cross_entropy"), y=trees.y)
    np.testing.assert_array_equal(one.values, other.values)


def test_cross_entropy_is_not_for_regressors(line):
    with pytest.raises(ValueError, match=r"(?i)cross.entropy|class"):
        xai.explain(
            line.model, line.x[:3], "occlusion", removal=Baseline(0.0),
            behavior=PredictionLoss("cross_entropy"), y=np.zeros(3),
        )  # fmt: skip


@pytest.mark.parametrize("target", [99, -1, "nonsense", xai.Label("nonsense"), xai.Top(9), 1.5])
@pytest.mark.parametrize("behavior", [PredictionLoss(), DatasetLoss(), Prediction(), Margin()])
def test_a_bad_target_is_refused_by_every_behavior(trees, behavior, target):
    with pytest.raises((TypeError, ValueError), match=r"target|label|Top"):
        explain(trees.model, trees.x, behavior, y=trees.y, target=target)


@pytest.mark.parametrize(("target", "shape"), [("all", (3, 4, 1)), (xai.Top(2), (3, 4, 1)),
                                               ("predicted", (3, 4)), (1, (3, 4))])  # fmt: skip
def test_a_loss_has_one_value_and_keeps_the_axis_that_was_asked_for(trees, target, shape):
    explanation = explain(trees.model, trees.x, PredictionLoss(), y=trees.y, target=target)
    assert explanation.values.shape == shape
    plain = explain(trees.model, trees.x, PredictionLoss(), y=trees.y)
    np.testing.assert_array_equal(explanation.values.reshape(3, 4), plain.values)


def test_error_is_the_0_1_loss_of_a_classifier_and_the_squared_one_of_a_regressor(trees, line):
    keywords = {"y": trees.y}
    one = explain(trees.model, trees.x, PredictionLoss("error"), **keywords)
    other = explain(trees.model, trees.x, PredictionLoss("0-1"), **keywords)
    np.testing.assert_array_equal(one.values, other.values)
    assert "0-1" in str(one.output_names)
    amounts = {"removal": Baseline(0.0), "y": np.array([1.0, 2.0])}
    one, other = (
        xai.explain(line.model, line.x[:2], "occlusion", behavior=PredictionLoss(loss), **amounts)
        for loss in ("error", "squared")
    )
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize("clip", [-0.1, 1, 2.0])
def test_a_clip_that_is_no_probability(trees, clip):
    with pytest.raises(ValueError, match="clip"):
        explain(trees.model, trees.x, PredictionLoss(clip=clip), y=trees.y)


@pytest.mark.parametrize("loss", ["squared", "0-1", lambda y, out: out[:, 0]])
def test_a_clip_without_effect_is_refused(trees, loss):
    with pytest.raises(ValueError, match=r"clip=0.1 has no effect"):
        explain(trees.model, trees.x, PredictionLoss(loss, clip=0.1), y=trees.y)


# ------------------------------------------- what labels are, where a model does not know them


def network(outputs):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Linear(4, outputs)

    def call(x):
        with torch.no_grad():
            return module(torch.as_tensor(np.asarray(x)).float()).numpy().astype(float)

    return module, call


@pytest.mark.parametrize("loss", ["auto", "error", "squared"])
def test_floats_are_amounts_for_a_module_of_one_output(trees, loss):
    module, call = network(1)
    y = np.array([0.5, 1.0, -3.0])
    explanation = explain(module, trees.x, PredictionLoss(loss), y=y)
    np.testing.assert_allclose(
        explanation.predictions, -((call(trees.x)[:, 0] - y) ** 2), rtol=1e-5
    )


def test_labels_may_be_numbers_among_objects(trees):
    """As a row of a mixed DataFrame's values is."""
    for kind, loss, y in (
        (network(1)[0], "squared", [0.5, 1.0, -3.0]),
        (network(3)[0], "cross_entropy", [0, 2, 1]),
    ):
        numbers = explain(kind, trees.x, PredictionLoss(loss), y=np.array(y))
        objects = explain(kind, trees.x, PredictionLoss(loss), y=np.array(y, object))
        np.testing.assert_array_equal(objects.values, numbers.values)


def test_integers_are_classes_of_the_one_logit_of_a_module(trees):
    module, call = network(1)
    p = 1 / (1 + np.exp(-call(trees.x)[:, 0]))
    y = np.array([0, 1, 1])
    own = np.where(y == 1, p, 1 - p)
    for dtype in (int, bool, np.uint8):
        explanation = explain(module, trees.x, PredictionLoss(), y=y.astype(dtype))
        np.testing.assert_allclose(explanation.predictions, np.log(own), rtol=1e-4)
    brier = explain(module, trees.x, PredictionLoss("squared"), y=y)
    np.testing.assert_allclose(brier.predictions, -2 * (1 - own) ** 2, rtol=1e-4)


@pytest.mark.parametrize("dtype", [int, float])
def test_the_one_output_of_a_callable_is_an_amount(trees, dtype):
    y = np.array([5, 0, 2]).astype(dtype)
    explanation = explain(lambda x: x[:, 0] * x[:, 2], trees.x, PredictionLoss(), y=y)
    expected = -((trees.x[:, 0] * trees.x[:, 2] - y) ** 2)
    np.testing.assert_allclose(explanation.predictions, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["module", "callable"])
@pytest.mark.parametrize("loss", ["auto", "squared", "0-1", "cross_entropy"])
def test_floats_are_no_class_indices(trees, kind, loss):
    model = network(3)[kind == "callable"]
    with pytest.raises(TypeError, match=r"float64.*integers from 0 to 2.*loss=f"):
        explain(model, trees.x, PredictionLoss(loss), y=np.array([0.0, 1.0, 2.0]))


def test_class_indices_out_of_range_say_what_they_may_be(trees):
    with pytest.raises(ValueError, match=r"index 5; .* classes 0 to 1; .*astype\(float\)"):
        explain(network(1)[0], trees.x, PredictionLoss(), y=np.array([0, 1, 5]))
    with pytest.raises(ValueError, match=r"index 3; .* classes 0 to 2$"):
        explain(network(3)[0], trees.x, PredictionLoss(), y=np.array([0, 1, 3]))
    with pytest.raises(ValueError, match=r"cross_entropy.*class indices: y.astype\(int\)"):
        explain(network(1)[0], trees.x, PredictionLoss("cross_entropy"), y=np.array([0.0, 1, 1]))


def test_a_loss_of_several_amounts_asks_for_no_target(trees):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(trees.data, trees.data[:, :2] ** 2)

    def value(x):
        return -(model.predict(x) ** 2).sum(axis=1)

    behavior = PredictionLoss(lambda y, out: ((out - y[:, None]) ** 2).sum(axis=1))
    explanation = explain(model, trees.x, behavior, y=np.zeros(3))
    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-10)


def test_a_loss_of_ones_own_takes_labels_as_they_are(trees):
    """Amounts for a model of several outputs, words for a callable."""
    module, call = network(2)
    y = np.array([0.5, 2.0, -1.0])
    explanation = explain(
        module, trees.x, PredictionLoss(lambda y, out: (out.sum(axis=1) - y) ** 2), y=y
    )
    expected = -((call(trees.x).sum(axis=1) - y) ** 2)
    np.testing.assert_allclose(explanation.predictions, expected, rtol=1e-4)
    words = explain(
        call, trees.x, PredictionLoss(lambda y, out: (y == "a") * 1.0), y=["a", "b", "a"]
    )
    np.testing.assert_array_equal(words.predictions, [-1, 0, -1])


def test_one_amount_for_several_outputs_of_a_regressor_is_refused():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 4))
    model = LinearRegression().fit(x, x[:, :2])
    with pytest.raises(ValueError, match=r"2 outputs.*loss=f"):
        explain(model, x[:3], PredictionLoss(), y=np.zeros(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, "much"])
def test_amounts_are_finite_numbers(line, bad):
    with pytest.raises(ValueError, match="y must hold finite numbers"):
        explain(line.model, line.x[:3], PredictionLoss(), y=[0.0, bad, 1.0])


@pytest.mark.parametrize("behavior", [PredictionLoss(), DatasetLoss("squared")], ids=repr)
def test_a_loss_of_amounts_from_a_callable_says_what_else_to_take(trees, behavior):
    with pytest.raises(ValueError, match=r"^loss='(cross_entropy|squared)' needs .*loss='0-1'"):
        explain(network(3)[1], trees.x, behavior, y=[0, 1, 2])
    explain(network(3)[1], trees.x, replace(behavior, loss="0-1"), y=[0, 1, 2])


def test_the_loss_of_scores_is_refused_as_that_of_a_classifier(trees):
    from sklearn.linear_model import RidgeClassifier

    scores, y = RidgeClassifier().fit(trees.data, np.arange(len(trees.data)) % 3), [0, 1, 2]
    with pytest.raises(ValueError, match=r"^loss='cross_entropy' needs probabilities, which d"):
        explain(scores, trees.x, PredictionLoss(), y=y)
    wrong = explain(scores, trees.x, PredictionLoss("error"), y=y).predictions
    np.testing.assert_array_equal(-wrong, scores.predict(trees.x) != y)


def test_an_unknown_loss_names_the_nearest(trees):
    with pytest.raises(ValueError, match="squared"):
        explain(trees.model, trees.x, PredictionLoss("sqared"), y=trees.y)


# ------------------------------------------------------------------------- loss on a data set


@pytest.mark.parametrize("loss", ["cross_entropy", "0-1"])
def test_sage_against_brute_force(trees, oracle, loss):
    """v(S) = -mean over rows of the loss of the row's mean prediction; Covert 2020."""
    rows = slice(0, 150, 30)
    x, y, data = trees.all_x[rows], trees.all_y[rows], trees.data[:4]
    explanation = xai.explain(
        trees.model, x, "sage", y=y, data=data, behavior=DatasetLoss(loss), budget=10_000
    )

    def v(S):
        total = 0.0
        for i in range(len(x)):
            mean = oracle.marginal_game(trees.model.predict_proba, x[i], data)(S)
            total = total - np.array([losses(y[i : i + 1])[loss](p[None])[0] for p in mean])
        return total / len(x)

    assert explanation.values.shape == (1, 4) and len(explanation) == 1
    np.testing.assert_allclose(explanation.values[0], oracle.shapley(v, 4), atol=1e-10)
    np.testing.assert_allclose(explanation.base_values, v(np.zeros((1, 4), bool)), atol=1e-10)
    np.testing.assert_allclose(explanation.predictions, v(np.ones((1, 4), bool)), atol=1e-10)


def test_sage_is_the_mean_of_each_rows_loss_shapley_values(trees):
    """The game of a data set is the mean of its rows' games, and Shapley values are linear."""
    x, given = trees.all_x[:150:25], {"y": trees.all_y[:150:25], "data": trees.data[:4]}
    whole, each = (xai.explain(trees.model, x, m, **given) for m in ("sage", "loss_shap"))
    np.testing.assert_allclose(whole.values[0], each.values.mean(axis=0), atol=1e-12)


def test_a_permutation_test_averages_after_the_loss(line):
    """Breiman 2001: the loss rises by the mean, over (row, replacement), of each one's loss."""
    x, data = line.x[:6], line.data
    y = line.model.predict(x) + np.linspace(-1, 1, 6)
    here = np.mean((line.model.predict(x) - y) ** 2)
    expected = []
    for i in range(4):
        worse = []
        for b in data:
            changed = x.copy()
            changed[:, i] = b[i]
            worse.append((line.model.predict(changed) - y) ** 2)
        expected.append(np.mean(worse) - here)
    found = []
    for seed in range(60):
        explanation = xai.explain(line.model, x, "permutation_test", y=y, data=data, seed=seed)
        assert explanation.values.shape == (1, 4)
        np.testing.assert_allclose(explanation.predictions, -here, atol=1e-9)
        found.append(explanation.values[0])
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - expected) <= 4.5 * error + 1e-9)
    assert np.all(error[:2] < 0.1 * np.array(expected[:2]))


@pytest.mark.parametrize("labels", ["as classes_", "as indices"])
def test_labels_of_a_module_or_callable_are_indices(trees, labels):
    """An estimator takes y as classes_ has them; its predict_proba as a callable, indices."""
    index = np.searchsorted(trees.model.classes_, trees.y)
    model = trees.model if labels == "as classes_" else trees.model.predict_proba
    y = trees.y if labels == "as classes_" else index
    explanation = xai.explain(
        model, trees.x, "occlusion", removal=Baseline(B), y=y,
        behavior=PredictionLoss("cross_entropy"),
    )  # fmt: skip

    def value(x):
        return np.log(trees.model.predict_proba(x)[np.arange(3), index])

    np.testing.assert_allclose(explanation.values, occlude(value, trees.x), atol=1e-10)


def test_integer_labels_are_labels_and_not_indices():
    """classes_ of 1, 2, 3: a y of 1 is the first class."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(X, y + 1)
    x = X[[0, 75]]
    explanation = explain(model, x, PredictionLoss("cross_entropy"), y=np.array([1, 2]))
    expected = np.log(model.predict_proba(x)[[0, 1], [0, 1]])
    np.testing.assert_allclose(explanation.predictions, expected, atol=1e-12)


# --------------------------------------------------------- every behavior with every summary

BEHAVIORS = [
    Prediction(),
    Contrast(to=1),
    Margin(),
    PredictionLoss("cross_entropy"),
    DatasetLoss("squared"),
]
SUMMARIES = [
    RemoveIndividual(),
    IncludeIndividual(),
    Shapley(),
    Banzhaf(),
    MeanWhenIncluded(),
    LinearFit(kernel="shapley", regularizer=None),
    LinearFit(kernel="exponential", regularizer="ridge"),
]
REMOVALS = {
    "baseline": lambda data: Baseline("mean"),
    "marginal": Marginal,
    "product": ProductOfMarginals,
    "uniform": lambda data: Uniform(data=data),
}


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("behavior", BEHAVIORS, ids=repr)
@pytest.mark.parametrize("summary", SUMMARIES, ids=repr)
def test_every_triple_is_a_method(large, counting, removal, behavior, summary):
    method = xai.Method(removal=REMOVALS[removal](large.data), behavior=behavior, summary=summary)
    model = counting(large.model)
    whole = isinstance(behavior, DatasetLoss)
    x, y = (large.rows, large.y) if whole else (large.x[:2], large.y[:2])
    explanation = xai.explain(
        model, x, method, y=y, data=large.data, target=0, batch_size=2000, budget=20_000
    )
    assert explanation.values.shape == ((1, 8) if whole else (2, 8))
    assert np.isfinite(explanation.values).all()
    assert explanation.evaluations == -(-model.rows // len(explanation))
    assert explanation.evaluations <= 20_000
    if isinstance(summary, Shapley) or getattr(summary, "kernel", None) == "shapley":
        total = explanation.values.sum(axis=1) + explanation.base_values
        np.testing.assert_allclose(total, explanation.predictions, rtol=0, atol=1e-10)


def test_a_third_of_a_method_may_be_replaced(trees):
    """behavior=, removal=, summary= of a named method, as objects or names."""
    keywords = {"data": trees.data, "target": 0}
    banzhaf = xai.explain(trees.model, trees.x, "banzhaf", **keywords)
    for summary in (Banzhaf(), "banzhaf"):
        same = xai.explain(trees.model, trees.x, "exact_shapley", summary=summary, **keywords)
        np.testing.assert_allclose(same.values, banzhaf.values, atol=1e-12)
    margins = [
        xai.explain(trees.model, trees.x, "banzhaf", behavior=behavior, **keywords).values
        for behavior in (Margin(), "margin")
    ]
    np.testing.assert_array_equal(*margins)
    assert not np.allclose(margins[0], banzhaf.values)


@pytest.mark.parametrize(("method", "name"), [
    ("permutation_test", "minus 0-1 loss"), ("sage", "minus cross-entropy loss"),
    ("loss_shap", "minus cross-entropy loss"),
])  # fmt: skip
def test_the_output_of_a_loss_is_named_in_words(trees, method, name):
    e = xai.explain(trees.model, trees.x, method, y=trees.y[: len(trees.x)], data=trees.data)
    assert list(e.output_names) == [name]
