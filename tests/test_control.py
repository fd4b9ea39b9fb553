"""The control variate of walks: its exact values, what it must not touch, what it gives."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import xai
from xai.kernels.pairs import sine_steps
from xai.summary import control

D, M = 10, 12
WEIGHTS = np.array([1.5, 1.0, 1.0, 0.5, 0.2, 0.2, 0.1, 0.1, 0.1, 0.0])


def saturated(x):
    """A steep probability of all columns but the last."""
    return 1 / (1 + np.exp(-3 * (x @ WEIGHTS)))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(4)
    return rng.normal(size=(1, D)) + 1.5, rng.normal(size=(M, D))


def runs(f, table, seeds, budget=M + 1 + 18 * 80):
    """Values and standard errors (seeds, d) of one row by walks, over seeds."""
    x, data = table
    found = [
        xai.explain(f, x, "shapley", data=data, estimator="permutation", budget=budget, seed=seed)
        for seed in range(seeds)
    ]
    return np.array([e.values[0] for e in found]), np.array([e.std_error[0] for e in found])


@pytest.mark.parametrize("d", [1, 2, 7, 11])
def test_values_of_the_sine(d):
    theta = np.random.default_rng(d).normal(size=d)
    game = xai.Game.from_function(lambda S: np.sin(np.where(S, theta, -theta).sum(1)) / 2, d)
    exact = xai.summary.Shapley("exact")(game).values
    np.testing.assert_allclose(control.sine_values(theta[:, None])[:, 0], exact, atol=1e-14)


@pytest.mark.parametrize("d", [65, 400])
def test_values_of_the_sine_of_many_players_add_up(d):
    theta = control._angles(np.random.default_rng(d).normal(size=(d, 2)) + 0.1)
    total = control.sine_values(theta).sum(axis=0)
    np.testing.assert_allclose(total, np.sin(theta.sum(axis=0)), atol=1e-12)


@pytest.mark.parametrize("kernel", [sine_steps, sine_steps.py_func])
def test_steps_over_all_orders_have_the_values_for_mean(kernel):
    theta = np.random.default_rng(0).normal(size=(5, 2))
    theta[3] = 0
    orders = np.array(list(permutations(range(5))))
    steps = np.empty((len(orders), 5, 2))
    kernel(theta, orders, steps)
    np.testing.assert_allclose(steps.mean(axis=0), control.sine_values(theta), atol=1e-14)
    totals = np.broadcast_to(np.sin(theta.sum(axis=0)), (len(orders), 2))
    np.testing.assert_allclose(steps.sum(axis=1), totals, atol=1e-14)
    assert np.all(steps[:, 3] == 0)


def test_a_saturating_model_gains(table, monkeypatch):
    exact = xai.explain(saturated, table[0], "exact_shapley", data=table[1], budget=10**5).values[0]
    with_it, errors = runs(saturated, table, 60)
    monkeypatch.setattr(control, "LEAST", np.inf)
    without, _ = runs(saturated, table, 60)
    with_it, misses = with_it - exact, without - exact
    assert np.mean(with_it**2) < 0.6 * np.mean(misses**2)
    # some .63: errors do not see all that stratified positions save
    assert 0.5 < np.sqrt(np.mean(with_it**2) / np.mean(errors**2)) < 1.25
    assert np.all(with_it[:, -1] == 0)  # a dummy's is exactly 0


def test_the_mean_over_seeds_is_right(table):
    """No player's mean over 400 seeds is off by more than 4 of its standard errors."""
    exact = xai.explain(saturated, table[0], "exact_shapley", data=table[1], budget=10**5).values[0]
    values, _ = runs(saturated, table, 400, budget=M + 1 + 18 * 40)
    off = np.abs(values.mean(axis=0) - exact)[:-1]
    assert np.all(off < 4 * values.std(axis=0, ddof=1)[:-1] / np.sqrt(len(values)))


def test_games_of_order_two_stay_exact(table):
    def f(x):
        return x @ WEIGHTS + x[:, 0] * x[:, 1] - 2 * x[:, 2] * x[:, 5]

    exact = xai.explain(f, table[0], "exact_shapley", data=table[1], budget=10**5).values[0]
    values, errors = runs(f, table, 3)
    np.testing.assert_allclose(values, np.broadcast_to(exact, values.shape), atol=1e-12)
    assert errors.max() < 1e-12


@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e100])
def test_values_scale_with_the_output(table, scale):
    values, errors = runs(saturated, table, 1)
    scaled, scaled_errors = runs(lambda x: scale * saturated(x), table, 1)
    np.testing.assert_allclose(scaled, scale * values, rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(scaled_errors, scale * errors, rtol=1e-6, atol=1e-9 * scale)
