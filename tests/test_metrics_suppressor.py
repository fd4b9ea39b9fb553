"""The suppressor's closed forms, formula by formula, and metrics of faithfulness that flag it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr

import xai
from xai import datasets, metrics
from xai.overview import partial_dependence
from xai.removal import Baseline


@pytest.mark.parametrize(("s1", "s2", "c"), [(0.8, 0.5, 0.8), (1.5, 2.0, -0.6), (0.3, 1.0, 0.0)])
def test_every_closed_form_of_the_table(s1, s2, c):
    """x1 = z + η1, x2 = η2: w ∝ (1, −c s1/s2); Wilming et al. 2023."""
    data = datasets.suppressor2d(50, s1=s1, s2=s2, c=c)
    x, f = data.data, data.model(data.data)
    alpha = (1 + (c * s1 / s2) ** 2) ** -0.5
    w2 = -alpha * c * s1 / s2
    rest, left = s1 * np.sqrt(1 - c**2), s1**2 * (1 - c**2)
    best = ndtr(1 / rest)
    variance = alpha**2 * (1 + left)
    m = alpha * (x[:, 0] - c**2 * (x[:, 0] - np.tanh(x[:, 0] / s1**2)))
    r1, r12 = 1 / (1 + s1**2), 1 / (1 + left)
    of_rows = {
        "gradient": ([alpha] * 50, [w2] * 50),
        "partial_dependence": ([alpha] * 50, [w2] * 50),
        "gradient_x_input": (alpha * x[:, 0], w2 * x[:, 1]),
        "lime": ([alpha * np.sqrt(1 + s1**2)] * 50, [-alpha * c * s1] * 50),
        "counterfactual": (-f * alpha, -f * w2),
        "m_plot": (m, 0 * m),
        "conditional_shapley": ((m + f) / 2, (f - m) / 2),
    }
    of_all = {
        "permutation_test": (2 * alpha * (1 + alpha * (c * s1) ** 2), 2 * (alpha * c * s1) ** 2),
        "permutation_test_0_1": (best - 0.5, best - ndtr(1 / (s1 * np.sqrt(1 + c**2)))),
        "pattern": (alpha * (1 + left), 0),
        "haufe": (1 / alpha, 0),
        "net_effects": ((r1 + r12) / 2, (r12 - r1) / 2),
        "univariate": (r1, 0),
    }
    for name in ("integrated_gradients", "shapley", "occlusion"):
        of_rows[name] = of_rows["gradient_x_input"]
    for name, (first, second) in of_rows.items():
        a = np.broadcast_to(data.attributions[name], (50, 2))
        assert_allclose(a, np.stack([first, second], axis=1), atol=1e-12, err_msg=name)
    for name, both in of_all.items():
        assert_allclose(data.attributions[name], both, atol=1e-12, err_msg=name)
    spread = data.attributions["firm"][0] ** 2  # Var E[f | x1]
    effects = data.attributions["shapley_effects"]
    assert_allclose(effects, [(variance + spread) / 2, (variance - spread) / 2], atol=1e-12)
    assert_allclose(data.info["weights"], [alpha, w2], atol=1e-15)
    assert data.info["best_accuracy"] == pytest.approx(best)


def test_the_suppressor_helps_though_it_tells_nothing_alone():
    """Accuracy Φ(1/(s1 √(1 − c²))) with x2, Φ(1/s1) without, and a half of x2 alone."""
    data = datasets.suppressor2d(200_000, s1=0.8, c=0.8)
    z = 2 * data.target - 1
    right = [(np.sign(s) == z).mean() for s in (data.model(data.data), *data.data.T)]
    expected = [ndtr(1 / (0.8 * 0.6)), ndtr(1 / 0.8), 0.5]
    assert_allclose(right, expected, atol=0.005)


def test_slopes_of_partial_dependence_are_the_weights():
    """Linear in each feature: α and −α c s1/s2, so that the suppressor has a slope, too."""
    data = datasets.suppressor2d(300)
    for j, weight in enumerate(data.info["weights"]):
        effect = partial_dependence(data.model, data.data, j)
        assert_allclose(np.diff(effect.values), weight * np.diff(effect.grid), atol=1e-12)
        assert abs(weight) > 0.1


@pytest.mark.parametrize("b", [0.0, 0.7])
def test_what_is_most_faithful_flags_the_suppressor(b):
    """Single removals want a ∝ w ⊙ (x − b): better than any attribution of 0 to the suppressor."""
    data = datasets.suppressor2d(200)
    x, w = data.data, data.info["weights"]
    effects, without = w * (x - b), w * (x - b) * [1, 0]
    given = {"removal": Baseline(b)}
    for name in ("infidelity", "lfa_error"):
        metric = getattr(metrics, name)
        assert_allclose(metric(data.model, x, effects, **given).values, 0, atol=1e-20)
        assert (metric(data.model, x, without, **given).values > 0).all()
    for name in ("faithfulness_estimate", "faithfulness_correlation"):
        score = getattr(metrics, name)(data.model, x, effects, **given)
        assert_allclose(score.values, 1)
    gap = metrics.abpc(data.model, x, effects, **given).values
    rng = np.random.default_rng(0)
    for other in (without, -effects, rng.normal(size=x.shape)):
        assert (metrics.abpc(data.model, x, other, **given).values <= gap + 1e-12).all()
    mass = metrics.suppressor_mass(None, None, effects, mask=data.truth)
    assert mass.mean() > 0.2
    assert_allclose(xai.explain(data.model, x, "occlusion", **given).values, effects, atol=1e-12)
