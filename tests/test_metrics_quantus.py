"""Quantus's numbers, where Quantus is right, and its defects, where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from xai import metrics
from xai.metrics import perturb
from xai.metrics.subsets import of_size
from xai.removal import Baseline

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def quantus():
    return pytest.importorskip("quantus")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(3 * 16, 4)
    ).eval()  # fmt: skip


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(5, 1, 6, 6)).astype(np.float32)


@pytest.fixture
def a():
    return np.random.default_rng(1).normal(size=(5, 1, 6, 6))


TARGET = np.array([0, 1, 2, 3, 1])
PLAIN = {"abs": False, "normalise": False, "disable_warnings": True, "return_aggregate": False}


# ------------------------------------- what Quantus 0.6.0 gave, where it is not installed


@pytest.fixture
def recorded():
    """A network, rows and attributions that no release of torch makes otherwise."""
    rng = np.random.default_rng(7)
    small = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    ).eval()  # fmt: skip
    for p in small.parameters():
        p.data = torch.tensor(rng.normal(size=tuple(p.shape)), dtype=torch.float32)
    x = np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype(np.float32)
    return small, x, np.random.default_rng(1).normal(size=(2, 1, 3, 3))


GIVEN = {"target": np.array([0, 2]), "removal": Baseline(0.0)}
FLIPPED = [
    [-0.23722, -0.24505, 1.05242, 1.08256, 1.46443, 1.46323, 1.61222, 1.70966, 1.67735],
    [-0.65736, -0.65433, 0.18167, -0.47091, -0.33304, 0.16604, -0.1439, 1.10952, 3.42403],
]


def test_recorded_curves_and_correlations(recorded):
    curve = metrics.pixel_flipping(*recorded, steps=9, **GIVEN).curve
    assert_allclose(curve[:, 1:], FLIPPED, atol=2e-5)
    correlation = metrics.faithfulness_correlation(*recorded, subset_size=4, **GIVEN)  # all 126
    assert_allclose(correlation.values, [-0.29174, 0.61122], atol=1e-5)
    estimate = metrics.faithfulness_estimate(*recorded, **GIVEN)
    assert_allclose(estimate.values, [-0.271152, 0.581242], atol=1e-5)
    by_three = metrics.faithfulness_estimate(*recorded, steps=3, **GIVEN)
    assert_allclose(by_three.values, [-0.679256, 0.704318], atol=1e-5)


def test_recorded_simplicity_and_localisation(recorded):
    a = recorded[2]
    assert_allclose(metrics.sparseness(None, None, a).values, [0.261021, 0.381811], atol=1e-6)
    assert_allclose(metrics.complexity(None, None, a).values, [2.086909, 1.930167], atol=1e-6)
    mask = np.zeros(a.shape, bool)
    mask[0, 0, 0, :2] = mask[1, 0, 1:, 1] = True
    theirs = {"relevance_rank": [0.5, 0], "roc_auc": [0.642857, 0.5], "pointing_game": [0, 0]}
    for name, expected in theirs.items():
        score = getattr(metrics, name)(None, None, a, mask=mask)
        assert_allclose(score.values, expected, atol=1e-6)
    mass = metrics.relevance_mass(None, None, np.abs(a), mask=mask)
    assert_allclose(mass.values, [0.207128, 0.063685], atol=1e-6)


def test_recorded_sensitivity(recorded, monkeypatch):
    net, x, _ = recorded
    noise = np.random.default_rng(2).uniform(-0.2, 0.2, size=(6, 1, 3, 3))
    monkeypatch.setattr(perturb, "box", lambda *_: noise)

    def explain(model, rows, target):
        with torch.no_grad():
            largest = model(torch.as_tensor(rows)).numpy().max(axis=1)
        return largest[:, None, None, None] * rows

    given = {"target": GIVEN["target"], "samples": 6, "explain": explain}
    for name, expected in (("max", [0.248817, 0.445346]), ("avg", [0.192978, 0.239626])):
        score = getattr(metrics, f"{name}_sensitivity")(net, x, explain(net, x, None), **given)
        assert_allclose(score.values, expected, atol=1e-5)


# ---------------------------------------------------------------------- Quantus itself, if here


def test_pixel_flipping(quantus, net, x, a):
    theirs = quantus.PixelFlipping(perturb_baseline=0.0, **PLAIN)(
        model=net, x_batch=x, y_batch=TARGET, a_batch=a, softmax=False
    )
    ours = metrics.pixel_flipping(net, x, a, target=TARGET, removal=Baseline(0.0), steps=36)
    assert_allclose(ours.curve[:, 1:], theirs, atol=1e-5)


def test_faithfulness_correlation_with_the_same_subsets(quantus, net, x, a, monkeypatch):
    subsets = iter(np.repeat(of_size(36, 7, 200, seed=0), len(x), axis=0))
    choose = lambda *_, **__: np.flatnonzero(next(subsets))  # noqa: E731
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=200, subset_size=7, perturb_baseline=0.0, **PLAIN
    )
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "choice", choose)
        theirs = metric(model=net, x_batch=x, y_batch=TARGET, a_batch=a, softmax=False)
    ours = metrics.faithfulness_correlation(
        net, x, a, target=TARGET, removal=Baseline(0.0), subset_size=7, samples=200
    )
    assert_allclose(ours.values, theirs, atol=1e-5)


def test_max_and_average_sensitivity_with_the_same_noise(quantus, net, x):
    seen = []

    def explain(model, rows, target):
        rows = np.asarray(rows, np.float32)
        seen.append(rows)
        with torch.no_grad():
            return model(torch.as_tensor(rows)).numpy().max(axis=1)[:, None, None, None] * rows

    def again(model, inputs, targets, **_):
        return explain(model, inputs, targets)

    a = explain(net, x, TARGET)
    given = {"target": TARGET, "radius": 0.2, "samples": 8, "explain": explain}
    ours = [
        metrics.max_sensitivity(net, x, a, **given),
        metrics.avg_sensitivity(net, x, a, **given),
    ]
    copies = seen[1].reshape(5, 8, -1)
    for score, metric in zip(ours, (quantus.MaxSensitivity, quantus.AvgSensitivity), strict=True):
        step = iter(range(8))
        theirs = metric(
            nr_samples=8, perturb_func=lambda arr, step=step, **_: copies[:, next(step)],
            return_nan_when_prediction_changes=False, **PLAIN,
        )(model=net, x_batch=x, y_batch=TARGET, a_batch=a,
          explain_func=again)  # fmt: skip
        assert_allclose(score.values, theirs, rtol=1e-5)


def test_sparseness_and_complexity(quantus, net, x, a):
    given = {"model": net, "x_batch": x, "y_batch": TARGET, "a_batch": np.abs(a)}
    gini = quantus.Sparseness(normalise=False, disable_warnings=True)(**given)
    assert_allclose(metrics.sparseness(None, None, a).values, gini, atol=1e-6)
    entropy = quantus.Complexity(normalise=False, disable_warnings=True)(**given)
    assert_allclose(metrics.complexity(None, None, a).values, entropy, atol=1e-6)


def test_their_monotonicity_is_always_true_and_ours_is_not(quantus, net, x, a):
    theirs = quantus.Monotonicity(**(PLAIN | {"abs": True}))(
        model=net, x_batch=x, y_batch=TARGET, a_batch=a, softmax=False
    )
    ours = metrics.monotonicity(net, x, a, target=TARGET, removal=Baseline(0.0), steps=36)
    assert all(theirs)
    assert not ours.values.any()
