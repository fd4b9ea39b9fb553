"""Quantus's numbers, where Quantus is right, and its defects, where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from xai import metrics
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
