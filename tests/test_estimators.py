"""Estimators of Shapley values: what each promises, and where its error is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

import xai
from xai.summary import Owen, Shapley, walks

SAMPLERS = ["permutation", "kernel", "leverage", "gp"]


def ratio(summary, game, exact, budget, seeds=60):
    """RMS of misses over RMS of standard errors, over seeds and players."""
    found = [summary(game, budget=budget, seed=seed) for seed in range(seeds)]
    misses = np.array([a.values for a in found]) - exact
    return np.sqrt(np.mean(misses**2) / np.mean([a.std_error**2 for a in found]))


@pytest.mark.parametrize("estimator", ["auto", *SAMPLERS])
def test_an_additive_game_is_exact(estimator):
    w = np.linspace(-2, 3, 40)
    game = xai.Game.from_function(lambda S: 0.3 + S @ w, n_players=40)
    found = Shapley(estimator)(game, budget=1000)
    np.testing.assert_allclose(found.values, w, rtol=0, atol=1e-10)


@pytest.mark.parametrize("estimator", ["auto", *SAMPLERS])
def test_a_game_without_three_way_terms_is_exact(estimator):
    """A coalition and its complement cancel every term of an even number of players."""
    Q = np.random.default_rng(0).normal(size=(20, 20))
    game = xai.Game.from_function(lambda S: 0.3 + np.einsum("bi,ij,bj->b", S, Q, S), n_players=20)
    found = Shapley(estimator)(game, budget=600)
    expected = np.diag(Q) + (Q + Q.T - 2 * np.diag(np.diag(Q))).sum(axis=1) / 2
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", ["shapley", "permutation_shap"])
@pytest.mark.parametrize("budget", [316, 1000])
def test_walks_over_a_background_are_exact_where_columns_meet_in_pairs(method, budget):
    """14 pairs on 7 rows, and 45: each is exact on its row, and all rows count alike."""
    rng = np.random.default_rng(0)
    Q, x, data = rng.normal(size=(12, 12)), rng.normal(size=(2, 12)), rng.normal(size=(7, 12))
    f = lambda x: np.einsum("bi,ij,bj->b", x, Q, x)  # noqa: E731
    found = xai.explain(f, x, method, data=data, budget=budget)
    moved, middle = x[:, None] - data, (x[:, None] + data) / 2
    expected = (moved * (middle @ (Q + Q.T))).mean(axis=1)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("estimator", ["auto", *SAMPLERS])
def test_the_opposite_game_has_the_opposite_values(estimator):
    def v(S):
        return np.sin(S @ np.linspace(-2, 3, 20)) + 3.0 * S[:, 0] - S[:, :3].all(axis=1)

    one, other = (
        Shapley(estimator)(xai.Game.from_function(f, n_players=20), budget=600)
        for f in (v, lambda S: -v(S))
    )
    np.testing.assert_allclose(other.values, -one.values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(other.std_error, one.std_error, rtol=1e-9)


@pytest.mark.parametrize("estimator", ["auto", *SAMPLERS])
@pytest.mark.parametrize("d", [20, 60, 100])
def test_efficiency_where_many_players_interact(estimator, d):
    factor = np.exp(0.1 * np.linspace(-1, 2, d))
    game = xai.Game.from_function(lambda S: np.where(S, factor, 1 / factor).prod(axis=1), d)
    found = Shapley(estimator)(game, budget=1200)
    gap = found.values.sum() + found.base_value - found.prediction
    assert abs(gap) < 1e-10 * np.abs(found.values).max()


@pytest.mark.parametrize(("outputs", "ran"), [(100, "a Gaussian process"), (101, "regression")])
def test_many_outputs_are_regressed_together(outputs, ran):
    """Each would have a process of its own: a vocabulary of 5,000 took four minutes a row."""
    W = np.random.default_rng(0).normal(size=(12, outputs))
    e = xai.explain(
        lambda x: np.tanh(x @ W), np.ones((1, 12)), "shapley", removal="baseline", target="all",
        budget=200,
    )  # fmt: skip
    assert e.ran == ran
    np.testing.assert_allclose(e.values.sum(axis=1) + e.base_values, e.predictions, atol=1e-12)


def test_a_process_finds_what_pairs_leave():
    """Three-way terms among players that matter: a tenth of the error of regression alone."""
    rng = np.random.default_rng(0)
    d = 30
    members, beta = rng.integers(15, d, size=(40, 3)), 0.1 * rng.normal(size=40)

    def v(S):
        z = np.where(S, 1.0, -1.0)
        return z @ np.linspace(0, 1, d) + z[:, members].prod(axis=2) @ beta

    game = xai.Game.from_function(v, n_players=d)
    exact = 2 * np.linspace(0, 1, d)
    for triple, b in zip(members, beta, strict=True):
        odd = [i for i in set(triple) if list(triple).count(i) % 2]  # z² = 1
        exact[odd] += 2 * b / len(odd)
    errors = {
        name: np.sqrt(np.mean((Shapley(name)(game, budget=2048).values - exact) ** 2))
        for name in ("leverage", "gp")
    }
    assert errors["gp"] < 0.1 * errors["leverage"]


@pytest.mark.parametrize("pairs", [10, 30, 80])
def test_owens_errors(pairs):
    """Orders within groups are not stratified: no trend over positions may be taken off."""
    d, a = 20, np.linspace(0.2, 1, 20)
    game = xai.Game.from_function(lambda S: (S @ a) ** 4 / 100, n_players=d)
    summary = Owen([list(range(10)), list(range(10, 20))])
    exact = summary(game, budget=10**6).values
    assert 0.75 < ratio(summary, game, exact, 2 + 38 * pairs) < 1.3


def rough(x):
    """(n, 8) -> (n,): products of three and a threshold."""
    return x[:, 0] * x[:, 1] * x[:, 2] + (x[:, 3] + x[:, 4] > x[:, 5]) + np.abs(x[:, 7] - x[:, 0])


def explained_ratio(x, exact, method, seeds=60, **keywords):
    found = [xai.explain(rough, x, method, seed=seed, **keywords) for seed in range(seeds)]
    misses = np.array([e.values for e in found]) - exact
    return np.sqrt(np.mean(misses**2) / np.mean([e.std_error**2 for e in found]))


@pytest.mark.parametrize(("m", "pairs"), [(300, 160), (300, 320), (60, 320)])
def test_chunks_of_walks_visit_draws_of_their_own(m, pairs, monkeypatch):
    monkeypatch.setattr(walks, "CHUNK", 8 * 40)
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, 8)) + 0.5, rng.normal(size=(m, 8))
    exact = xai.explain(rough, x, "exact_shapley", data=data).values
    found = explained_ratio(x, exact, "permutation_shap", data=data, budget=m + 1 + 14 * pairs)
    assert 0.6 < found < 1.25


@pytest.mark.parametrize("pairs", [6, 12, 40])
def test_draws_alike_leave_the_gap_to_who_is_large(pairs):
    """Of a player that adds nothing at one draw in ten, few draws show no spread at all."""

    def model(x):
        return 10.0 * (x[:, 0] > 0) + 0.1 * x[:, 1] * x[:, 2]

    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, 8)) + 0.5, rng.normal(size=(100, 8))
    x[0, 0], data[:, 0] = 1.0, np.where(np.arange(100) % 10, -1.0, 1.0)
    exact = xai.explain(model, x, "exact_shapley", data=data).values
    given = {"data": data, "budget": 101 + 14 * pairs}
    found = [xai.explain(model, x, "permutation_shap", seed=s, **given) for s in range(40)]
    misses = np.array([e.values for e in found]) - exact
    assert np.sqrt(np.mean(misses**2)) < 0.06
    assert np.sqrt(np.mean(misses**2) / np.mean([e.std_error**2 for e in found])) < 1.4


@pytest.mark.parametrize("budget", [200, 800])
def test_what_one_player_does_alone_is_known_without_an_error(budget):
    """It is all of v(N) − v(∅), whose mean over all draws is known, however few are visited."""
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(2, 8)), rng.normal(size=(100, 8))
    given = {"method": "permutation_shap", "data": data, "budget": budget}
    e = xai.explain(lambda z: np.exp(z[:, 2]), x, **given)
    expected = np.zeros((2, 8))
    expected[:, 2] = e.predictions - e.base_values
    np.testing.assert_allclose(e.values, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(e.std_error, 0, atol=1e-7)


def test_draws_that_tell_a_slope_leave_the_error_as_small_as_it_is():
    """A forest's errors were told half as large again where a dozen draws had told the slope."""
    x, y = load_breast_cancer(return_X_y=True)
    x = x[:, :10]
    model = RandomForestClassifier(15, max_depth=6, random_state=0).fit(x, y)
    rows, given = x[[3, 60, 200]], {"data": x[::6][:60], "target": 1}
    exact = xai.explain(model, rows, "exact_shapley", **given).values
    given |= {"method": "permutation_shap", "budget": 61 + 18 * 16}
    found = [xai.explain(model, rows, seed=s, **given) for s in range(40)]
    misses = np.array([e.values for e in found]) - exact
    assert 0.8 < np.sqrt(np.mean(misses**2) / np.mean([e.std_error**2 for e in found])) < 1.25


@pytest.mark.parametrize("budget", [2000, 30_000])
def test_endless_draws_however_many(budget):
    """The known mean that values add up to is one over 128 draws, and has an error."""
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, 8)) + 0.5, rng.normal(size=(40, 8))
    removal = xai.removal.ProductOfMarginals(data, n_draws=20_000)
    exact = xai.explain(rough, x, "exact_shapley", removal=removal, budget=10**7).values
    found = explained_ratio(x, exact, "qii", data=data, budget=budget, seeds=40)
    assert 0.75 < found < 1.3


@pytest.mark.parametrize("estimator", ["kernel", "leverage", "gp"])
@pytest.mark.parametrize("budget", [300, 700, 1000])
def test_regressions_on_a_set_function_evaluate_no_coalition_twice(estimator, budget):
    seen = []

    def v(S):
        seen.extend(row.tobytes() for row in S)
        return np.tanh(S @ np.linspace(-1, 2, 10))

    found = Shapley(estimator)(xai.Game.from_function(v, n_players=10), budget=budget)
    assert len(set(seen)) == len(seen) == found.evaluations


@pytest.mark.parametrize("estimator", ["kernel", "leverage", "gp"])
@pytest.mark.filterwarnings("error")
def test_sizes_without_a_pair_leave_the_error_unknown(estimator):
    game = xai.Game.from_function(lambda S: (S @ np.linspace(0.2, 1, 10)) ** 3, n_players=10)
    found = Shapley(estimator)(game, budget=22, tolerance=0.01)
    assert np.isnan(found.std_error).all() and not found.converged.any()


@pytest.mark.parametrize("estimator", ["kernel", "leverage", "gp"])
def test_regression_on_a_data_sets_rows_has_their_error(estimator, large, run, method_table):
    e = run(method_table["sage"], large, estimator=estimator, budget=12_000)
    assert np.isfinite(e.values).all()
    walks = run(method_table["sage"], large, budget=12_000)
    assert walks.ran == "walks"
    ratio = np.sqrt(np.mean(e.std_error**2) / np.mean(walks.std_error**2))
    assert 0.5 < ratio < 2


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_one_player_and_what_nobody_owns(estimator):
    rng = np.random.default_rng(0)
    e = xai.explain(
        lambda x: x.sum(axis=1), rng.normal(size=(2, 4)), "shapley", removal="uniform",
        data=rng.normal(size=(5, 4)), players=np.array([-1, -1, 0, 0]), estimator=estimator,
        budget=300,
    )  # fmt: skip
    np.testing.assert_allclose(e.values[:, 0] + e.base_values, e.predictions, atol=1e-12)


def test_a_budget_is_refused_before_anything_is_spent():
    """Rows with few players that count come after those with many."""
    x = np.full((2, 6), 5.0)
    x[0, :2] = 1.0
    x[1, 1:] = 1.0
    calls = []

    def model(batch):
        calls.append(len(batch))
        return batch.prod(axis=1)

    keywords = {"removal": xai.removal.Baseline(5.0), "estimator": "permutation"}
    with pytest.raises(ValueError, match="at least 10"):
        xai.explain(model, x, "shapley", budget=9, **keywords)
    assert sum(calls) == 2  # the predictions
    assert xai.explain(model, x, "shapley", budget=10, **keywords).evaluations <= 10
    with pytest.raises(ValueError, match="at least 2"):
        xai.explain(model, x[:1] * 0 + 5.0, "shapley", budget=1, **keywords)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"estimator": "gp", "size": 0}, "size=0"),
        ({"estimator": "gp", "size": -1}, "size=-1"),
        ({"estimator": "gp", "size": "a"}, "size='a'"),
        ({"estimator": "gp", "size": 2.5}, "size=2.5"),
        ({"estimator": "gp", "size": True}, "size=True"),
        ({"estimator": "permutation", "size": 7}, "no effect"),
        ({"order": 2, "size": 7}, "no effect"),
        ({"order": 2, "estimator": "gp"}, "no interactions"),
        ({"index": "SII"}, "no interactions"),
        ({"estimator": "kernel", "samples": "a"}, "samples='a'"),
        ({"estimator": "leverage", "samples": 2.5}, "samples=2.5: leverage"),
        ({"estimator": "gp", "samples": 3}, "samples=3: a Gaussian process"),
    ],
)
def test_options_are_checked(options, told):
    game = xai.Game.from_function(lambda S: S.any(axis=1) * 1.0, n_players=12)
    with pytest.raises(ValueError, match=told):
        Shapley(**options)(game, budget=600)


@pytest.mark.parametrize("samples", [1, 7, 10])
def test_samples_of_auto_are_walks(samples):
    game = xai.Game.from_function(lambda S: (S.sum(axis=1) > 3) * 1.0, n_players=12)
    found = Shapley(samples=samples)(game)
    assert found.evaluations == 2 + 22 * samples and found.ran == "walks"
