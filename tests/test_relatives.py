"""Relatives of Shapley's value: interactions of two players, semivalues, Owen values."""

from __future__ import annotations

import itertools
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

import xai
from xai.removal import Baseline, Marginal
from xai.summary import (
    Banzhaf,
    BetaShapley,
    IncludeIndividual,
    Interactions,
    MeanWhenIncluded,
    Owen,
    RemoveIndividual,
    Semivalue,
    Shapley,
)
from xai.summary.base import Plan
from xai.summary.closed import of_coins, of_orders
from xai.summary.stars import Stars
from xai.summary.stretches import Stretches, draws_of, visited

NESTED = [[0, 1], [2, [3, 4]], 5]
SEEDS = 80


def game_of(v, d):
    return xai.Game.from_function(v, n_players=d)


def binomial(p):
    """Weights of a semivalue in which every other player is there with chance p."""
    return lambda d: np.array([p**s * (1 - p) ** (d - 1 - s) for s in range(d)])


def off_diagonal(matrices):
    d = np.shape(matrices)[-1]
    return np.asarray(matrices)[..., ~np.eye(d, dtype=bool)]


# ------------------------------------------------------------------ slow, obvious: the definitions


def value_of(v, d, members):
    row = np.zeros((1, d), bool)
    row[0, list(members)] = True
    return v(row)[0]


def slow_semivalue(v, d, p):
    """phi_i = sum over S without i of p_|S| (v(S + i) - v(S)); Dubey, Neyman & Weber 1981."""
    phi = []
    for i in range(d):
        others = [j for j in range(d) if j != i]
        phi.append(
            sum(
                p[s] * (value_of(v, d, (*S, i)) - value_of(v, d, S))
                for s in range(d)
                for S in itertools.combinations(others, s)
            )
        )
    return np.array(phi)


def slow_interactions(v, d, p):
    """I_ij = sum over S without i, j of p_|S| times the second difference, 0 at (i, i)."""
    pairs = np.zeros((d, d, *np.shape(value_of(v, d, ()))))
    for i, j in itertools.permutations(range(d), 2):
        others = [k for k in range(d) if k not in (i, j)]
        for s in range(d - 1):
            for S in itertools.combinations(others, s):
                pairs[i, j] += p[s] * (
                    value_of(v, d, (*S, i, j))
                    - value_of(v, d, (*S, i))
                    - value_of(v, d, (*S, j))
                    + value_of(v, d, S)
                )
    return pairs


def sii_weights(d):
    """Grabisch & Roubens 1999: s! (d - s - 2)! / (d - 1)!."""
    return [
        math.factorial(s) * math.factorial(d - s - 2) / math.factorial(d - 1) for s in range(d - 1)
    ]


def orders_of(tree):
    """Every order of a tree's players that keeps each of its groups together."""
    if isinstance(tree, int):
        return [(tree,)]
    found = []
    for arrangement in itertools.permutations(tree):
        for parts in itertools.product(*map(orders_of, arrangement)):
            found += [tuple(itertools.chain(*parts))]
    return found


def slow_owen(v, d, tree):
    """Mean contribution over these orders; Owen 1977, Winter 1989."""
    phi = np.zeros((d, *np.shape(value_of(v, d, ()))))
    orders = orders_of(tree)
    for order in orders:
        for at, i in enumerate(order):
            phi[i] += value_of(v, d, order[: at + 1]) - value_of(v, d, order[:at])
    return phi / len(orders)


# ------------------------------------------------------------------------------------ interactions


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("d", [2, 3, 5, 6])
def test_interactions_equal_their_definition(set_function, oracle, d, k):
    v = set_function(d, k, seed=d)
    pairs, phi = slow_interactions(v, d, sii_weights(d)), oracle.shapley(v, d)
    every = np.arange(d)
    whole = Interactions("SII")(game_of(v, d), budget=2**d)
    assert whole.std_error is None and "interactions_std_error" not in whole.info
    np.testing.assert_allclose(whole.values, phi, atol=1e-12)
    expected = pairs.copy()
    expected[every, every] = phi
    np.testing.assert_allclose(whole.interactions, expected, atol=1e-12)
    half = Interactions()(game_of(v, d), budget=2**d).interactions
    expected = pairs / 2
    expected[every, every] = phi - pairs.sum(axis=1) / 2
    np.testing.assert_allclose(half, expected, atol=1e-12)


@pytest.mark.parametrize("d", [2, 3, 6])
def test_banzhafs_interactions_equal_their_definition(set_function, oracle, d):
    v = set_function(d, seed=d)
    expected = slow_interactions(v, d, [0.5 ** (d - 2)] * (d - 1))
    np.fill_diagonal(expected, oracle.banzhaf(v, d))
    for summary in (Interactions("Banzhaf"), Banzhaf(order=2)):
        attribution = summary(game_of(v, d), budget=2**d)
        np.testing.assert_allclose(attribution.interactions, expected, atol=1e-12)
        np.testing.assert_allclose(attribution.values, np.diag(expected), atol=1e-12)


def test_a_product_of_two_and_an_and_of_three():
    product = Interactions("SII")(game_of(lambda Z: 6.0 * Z[:, 0] * Z[:, 1], 4)).interactions
    expected = np.zeros((4, 4))
    expected[:2, :2] = [[3, 6], [6, 3]]
    np.testing.assert_allclose(product, expected, atol=1e-12)

    def all_three(Z):
        return Z[:, :3].all(axis=1).astype(float)

    three = Interactions("SII")(game_of(all_three, 5)).interactions
    expected = np.zeros((5, 5))
    expected[:3, :3] = 1 / 2  # two of them wait for the third, who came before half of the time
    expected[np.arange(3), np.arange(3)] = 1 / 3
    np.testing.assert_allclose(three, expected, atol=1e-12)


@pytest.mark.parametrize("budget", [None, 3000])
@pytest.mark.parametrize("d", [1, 3, 15, 16])
def test_an_additive_game_has_no_interactions(d, budget):
    w = np.linspace(-2, 3, d)
    for summary in (Shapley(order=2), Banzhaf(order=2)):
        found = summary(game_of(lambda Z: 1.5 + Z @ w, d), budget=budget)
        np.testing.assert_allclose(found.values, w, atol=1e-10)
        np.testing.assert_allclose(found.interactions, np.diag(w), atol=1e-10)


@pytest.mark.parametrize("d", [13, 14])
@pytest.mark.parametrize("k", [None, 2])
def test_sampled_interactions_sum_to_the_values_and_these_to_the_whole(set_function, d, k):
    v = set_function(d, k)
    found = Shapley(order=2)(game_of(v, d), budget=1000)
    assert found.evaluations == v.evaluations <= 1000
    assert found.std_error is not None
    np.testing.assert_allclose(found.interactions, found.interactions.swapaxes(0, 1), atol=1e-14)
    np.testing.assert_allclose(found.interactions.sum(axis=1), found.values, atol=1e-11)
    total = v.table[-1] - v.table[0]
    np.testing.assert_allclose(found.interactions.sum(axis=(0, 1)), total, atol=1e-11)


def test_a_dummy_has_no_sampled_interactions(set_function):
    v = set_function(11)
    summary = Shapley("permutation", order=2)
    found = summary(game_of(lambda Z: v(Z[:, :11]), 12), budget=1200)
    assert np.all(found.interactions[11] == 0) and np.all(found.interactions[:, 11] == 0)
    assert np.all(found.interactions[:11, :11] != 0)


@pytest.mark.parametrize("masses", [of_orders, of_coins])
def test_a_star_is_the_second_differences_at_its_centre(set_function, masses):
    d, v = 6, set_function(6)
    game = game_of(v, d)
    stars = Stars(game, 1, masses, Plan(None, "none", None, seed=3), 2)
    (S,), (found,) = stars._coalitions(), stars.run(np.zeros((1, d, 1)))[0]
    for place, (i, j) in enumerate(itertools.combinations(range(d), 2)):
        S[[i, j]] = False
        others = set(np.flatnonzero(S))
        expected = sum(
            sign * value_of(v, d, others | more)
            for sign, more in ((1, {i, j}), (-1, {i}), (-1, {j}), (1, set()))
        )
        assert found[place, 0] == pytest.approx(expected, abs=1e-12)
        S[:] = stars._coalitions()[0]


@pytest.mark.parametrize("masses", [of_orders, of_coins])
def test_what_stands_beside_two_players_of_a_star_is_of_the_indexs_sizes(masses):
    d, count = 7, 4000
    S = Stars(SimpleNamespace(n_players=d), count, masses, Plan(None, "", None, 0), 2)._coalitions()
    for i, j in ((0, 1), (2, 6)):
        sizes = np.delete(S, [i, j], axis=1).sum(axis=1)
        found = np.bincount(sizes, minlength=d - 1) / count
        np.testing.assert_allclose(found, masses(d - 1), rtol=0, atol=4 / np.sqrt(4 * count))


@pytest.mark.parametrize("m", [1, 3])
def test_the_default_budget_pays_for_a_star_of_very_many_players(m):
    d = 170
    x = np.arange(3.0 * d).reshape(3, d) % 7 + 1
    unit, ends = 1 + d + math.comb(d, 2) + 2 * (d - 1), m + 1
    assert 8192 + 32 * d < unit
    found = xai.explain(lambda x: x[:, 0] * x[:, 1], x, "shapley", data=-x[:m], order=2)
    assert found.ran == "walks and stars" and found.evaluations <= unit + ends
    np.testing.assert_allclose(found.interactions.sum(axis=1), found.values, rtol=0, atol=1e-9)
    pairs = off_diagonal(found.interactions).reshape(3, d, d - 1)
    assert np.all(pairs[:, 2:] == 0) and np.all(pairs[:, [0, 1], [0, 0]] != 0)
    with pytest.raises(ValueError, match=f"needs at least {unit + ends} model rows"):
        xai.explain(lambda x: x[:, 0], x, "shapley", data=-x[:m], order=2, budget=unit + m)


def test_errors_of_few_stars_on_few_draws():
    """What is within two draws is what regression on sizes left, of few degrees of freedom."""
    rng = np.random.default_rng(2)
    A, x, data = rng.normal(size=(9, 4)), rng.normal(size=(1, 9)), rng.normal(size=(2, 9))

    def model(x):
        return np.tanh(x @ A).prod(axis=1) * 5

    def pairs(estimator, samples, seed):
        summary = Interactions("SII", samples, estimator)
        return xai.explain(model, x, "shapley", summary=summary, data=data, seed=seed)

    exact = pairs("exact", None, 0)
    found = [pairs("permutation", 6, seed) for seed in range(150)]
    misses = off_diagonal([e.interactions - exact.interactions for e in found])
    errors = off_diagonal([e.info["interactions_std_error"] for e in found])
    assert 0.85 < ratio_of(misses, errors) < 1.15


def test_errors_of_interactions_are_0_where_rows_beside_sampled_ones_are_exact():
    def judge(texts):
        return np.array([len(set(t.split())) + np.sin(len(t)) for t in texts])

    texts = ["a b", "a b c d e f g h i j k l m n o p"]
    found = xai.explain(judge, texts, "shapley", order=2, budget=900)
    assert found.exact.tolist() == [True, False]
    errors = found.info["interactions_std_error"]
    assert np.all(errors[0, :2, :2] == 0) and np.isnan(errors[0, 2:]).all()
    assert np.all(off_diagonal(errors[1]) > 0)


@pytest.mark.parametrize("size", [1e4, 1e9, 1e15, 1e300])
def test_a_large_alpha_and_beta_are_coins(size):
    """Nothing of the sizes' chances is lost, however large alpha and beta are."""
    found, limit = BetaShapley(size, size)._masses(30), of_coins(30)
    np.testing.assert_allclose(found, limit, rtol=300 / size + 1e-12, atol=0)
    mass = BetaShapley(3 * size, size)._masses(3)
    np.testing.assert_allclose(mass, np.array([9, 6, 1]) / 16, rtol=3 / size + 1e-12, atol=0)


@pytest.mark.parametrize("count", [1, 3, 4, 8, 17, 40, 100])
def test_stars_take_draws_in_turn_and_a_few_of_them_twice(count):
    game = SimpleNamespace(commutes=True, endless=False, n_draws=12)
    draws = Stars(game, count, of_orders, Plan(None, "", None, 0), 1)._draws()
    visits = np.bincount(draws, minlength=12)
    assert np.ptp(visits[visits > 0]) <= 1
    assert np.count_nonzero(visits) == min(12, count - (count // 8 if count > 3 else 0))


@pytest.mark.parametrize(
    "summary",
    [Interactions("SII"), Interactions("SII", estimator="permutation"), Interactions("Banzhaf")],
)
@pytest.mark.parametrize("d", [8, 9])
def test_sampled_interactions_are_right_in_expectation(set_function, summary, d):
    v = set_function(d, seed=3)
    exact = summary(game_of(v, d), budget=2**d).interactions
    budget = 4 * -(-d // 2) * (d - 1) + 2 if summary.index == "SII" else 200
    estimates = np.array(
        [summary(game_of(v, d), budget=budget, seed=seed).interactions for seed in range(200)]
    )
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert np.abs((estimates.mean(axis=0) - exact) / error).max() < 4.5


@pytest.mark.parametrize("pairs", [3, 10])
def test_few_pairs_do_not_shrink_banzhafs_interactions(pairs):
    """Less the mean of all pairs, itself among them, a pair would count 1/pairs too little."""
    game = xai.Game.from_function(lambda S: 6.0 * S[:, 0] * S[:, 1], n_players=7)
    summary = Banzhaf(order=2)
    found = [summary(game, 2 + 2 * pairs, seed=s).interactions[0, 1] for s in range(300)]
    assert abs(np.mean(found) - 6) < 3 * np.std(found) / np.sqrt(300)


def test_the_error_of_interactions_falls_as_the_root_of_the_budget(set_function):
    d = 12
    v = set_function(d, seed=2)
    for summary in (Interactions("SII"), Interactions("Banzhaf")):
        exact = summary(game_of(v, d), budget=2**d).interactions
        budgets, errors = [300, 1000, 3300], []
        for budget in budgets:
            found = [
                summary(game_of(v, d), budget=budget, seed=seed).interactions for seed in range(20)
            ]
            errors.append(np.sqrt(np.mean(off_diagonal(np.array(found) - exact) ** 2)))
        assert np.polyfit(np.log(budgets), np.log(errors), 1)[0] < -0.42, (summary, errors)


def test_shaps_layout(cancer):
    """`TreeExplainer.shap_interaction_values` on the game it has in mind: paths of the tree."""
    shap = pytest.importorskip("shap")
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(64, 3)).astype(float)
    X = np.array(list(itertools.product([0.0, 1.0], repeat=3)) * 4)  # balanced: paths are marginals
    y = X[:, 0] * X[:, 1] + 2 * X[:, 1] * X[:, 2] - X[:, 0]
    tree = DecisionTreeRegressor().fit(X, y)
    theirs = shap.TreeExplainer(tree).shap_interaction_values(X[[7]])[0]
    ours = xai.explain(tree.predict, X[[7]], "shapley", order=2, data=X).interactions[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_shapiq_agrees(set_function):
    shapiq = pytest.importorskip("shapiq")
    d = 5
    v = set_function(d)
    computer = shapiq.ExactComputer(n_players=d, game=lambda Z: v(Z.astype(bool)))
    for index, summary in (("SII", Interactions("SII")), ("BII", Interactions("Banzhaf"))):
        theirs = computer(index, order=2).get_n_order_values(2)
        ours = summary(game_of(v, d)).interactions
        np.testing.assert_allclose(off_diagonal(ours), off_diagonal(theirs), atol=1e-9)


# -------------------------------------------------------------------------------------- semivalues

BETAS = [(1, 1), (4, 1), (1, 4), (16, 1), (0.5, 2.5), (3, 3)]


@pytest.mark.parametrize("d", [1, 2, 4, 6])
@pytest.mark.parametrize(("alpha", "beta"), BETAS)
def test_beta_shapley_equals_its_definition(set_function, d, alpha, beta):
    """Kwon & Zou 2022: weights B(j + beta - 1, n - j + alpha) / B(alpha, beta), j = s + 1."""

    def beta_of(a, b):
        return math.gamma(a) * math.gamma(b) / math.gamma(a + b)

    v = set_function(d, seed=d)
    p = [beta_of(s + beta, d - s - 1 + alpha) / beta_of(alpha, beta) for s in range(d)]
    expected = slow_semivalue(v, d, p)
    for summary in (BetaShapley(alpha, beta), Semivalue(p), Semivalue(lambda d: p)):
        found = summary(game_of(v, d), budget=2**d)
        assert found.std_error is None
        np.testing.assert_allclose(found.values, expected, atol=1e-10)


def test_the_limits_of_semivalues(set_function):
    d = 6
    game = game_of(set_function(d), d)

    def same(one, other, atol=1e-10):
        np.testing.assert_allclose(one(game).values, other(game).values, atol=atol)

    same(BetaShapley(1, 1), Shapley())
    same(BetaShapley(1e7, 1e7), Banzhaf(), atol=1e-5)
    same(Semivalue(binomial(0.5)), Banzhaf())
    same(BetaShapley(1e9, 1), IncludeIndividual(), atol=1e-5)
    same(BetaShapley(1, 1e9), RemoveIndividual(), atol=1e-5)
    same(Semivalue([1, 0, 0, 0, 0, 0]), IncludeIndividual())
    same(Semivalue([0, 0, 0, 0, 0, 1]), RemoveIndividual())


SEMIVALUES = {
    "beta(16, 1)": BetaShapley(),
    "beta(1, 4)": BetaShapley(1, 4),
    "beta(1, 1)": BetaShapley(1, 1),
    "beta(4, 4)": BetaShapley(4, 4),
    "binomial(.5)": Semivalue(binomial(0.5)),
    "binomial(.2)": Semivalue(binomial(0.2)),
}


@pytest.mark.parametrize("name", SEMIVALUES)
def test_sampled_semivalues_are_right_in_expectation(set_function, name):
    d, summary = 8, SEMIVALUES[name]
    v = set_function(d, seed=3)
    exact = summary(game_of(v, d), budget=2**d).values
    estimates = np.array(
        [summary(game_of(v, d), budget=120, seed=seed).values for seed in range(300)]
    )
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    # ratio and regression estimators' bias falls as 1/budget
    slack = 0.1 * estimates.std(axis=0)
    assert np.all(np.abs(estimates.mean(axis=0) - exact) <= 4 * error + slack)


@pytest.mark.parametrize("name", SEMIVALUES)
@pytest.mark.parametrize("d", [1, 8, 40])
@pytest.mark.parametrize("budget", [None, 500])
def test_a_semivalue_of_an_additive_game_is_exact(name, d, budget):
    w = np.linspace(-2, 3, d)
    found = SEMIVALUES[name](game_of(lambda Z: 1.5 + Z @ w, d), budget=budget)
    np.testing.assert_allclose(found.values, w, atol=1e-10)


@pytest.mark.parametrize("pairs", [4, 20, 60])
def test_few_pairs_know_a_straight_line(pairs):
    """Too few to regress on: what all players alike add is taken off first."""
    found = BetaShapley(4, 4)(game_of(lambda Z: 1.5 + Z.sum(axis=1), 30), budget=2 * pairs + 2)
    np.testing.assert_allclose(found.values, 1, atol=1e-12)
    np.testing.assert_allclose(found.std_error, 0, atol=1e-7)


@pytest.mark.parametrize("name", SEMIVALUES)
@pytest.mark.parametrize("budget", [30, 50, 333, 1000])
def test_a_sampled_semivalue_keeps_its_budget_and_repeats(set_function, name, budget):
    v = set_function(12)
    one, again, other = (
        SEMIVALUES[name](game_of(v, 12), budget=budget, seed=seed) for seed in (1, 1, 2)
    )
    assert one.evaluations <= budget
    if budget > 100:
        assert one.evaluations >= 0.9 * budget
    np.testing.assert_array_equal(one.values, again.values)
    assert not np.allclose(one.values, other.values)


@pytest.mark.parametrize("pairs", [1, 5, 300])
def test_every_size_has_its_mass_over_all_stretches(pairs):
    """However few walks visit it: those of a tiny mass are visited rarely, and weigh the more."""
    mass = np.array([0.9, 0.09, 0.0, 0.009, 0.001])
    game = game_of(lambda S: S.sum(axis=1), 5)
    stretches = Stretches(game, mass, pairs, seed=3, tolerance=None)
    visits = visited(mass, np.arange(pairs), 3).sum(axis=0)
    assert visits.max() == pairs and (pairs < 300 or visits[4] < pairs / 2)
    np.testing.assert_allclose(visits * stretches._weights(), pairs * mass, rtol=1e-12)


def test_two_pairs_of_stretches_share_a_draw_and_all_draws_take_turns():
    """In every cycle once, in an order of its own, whatever that of the background."""
    game = SimpleNamespace(commutes=True, endless=False, n_draws=6)
    found = np.array([draws_of(game, np.arange(36), seed) for seed in range(20)])
    cycles = found.reshape(20, 3, 6, 2)
    np.testing.assert_array_equal(cycles[..., 0], cycles[..., 1])
    whole = np.tile(np.arange(6), (20, 3, 1))
    np.testing.assert_array_equal(np.sort(cycles[..., 0], axis=2), whole)
    assert len(np.unique(cycles[..., 0].reshape(60, 6), axis=0)) > 50


def test_what_is_known_of_all_draws_is_regressed_out_of_stretches():
    """One player does all of v(N) − v(∅): a tenth of the error that few draws would leave."""
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, 8)), rng.normal(size=(100, 8))
    found = [
        xai.explain(lambda z: np.exp(z[:, 2]), x, "beta_shapley", data=data, budget=800, seed=seed)
        for seed in range(10)
    ]
    misses = [e.values[0, 2] - (e.predictions - e.base_values)[0] for e in found]
    assert np.sqrt(np.mean(np.square(misses))) < 0.03 * np.exp(data[:, 2]).std()


@pytest.mark.parametrize("tolerance", [None, 0.01])
@pytest.mark.parametrize("rows", [1, 3])
def test_stretches_evaluate_no_input_twice(rows, tolerance):
    """Where the weight lies on few players, most walks meet what others have met."""
    rng, seen = np.random.default_rng(0), []

    def f(x):
        seen.extend(row.tobytes() for row in x)
        return np.sin(2 * x).prod(axis=1) + x[:, 0]

    X, data = rng.normal(size=(rows, 12)), rng.normal(size=(3, 12))
    e = xai.explain(f, X, "beta_shapley", data=data, budget=2000, tolerance=tolerance)
    assert len(set(seen)) == len(seen) == e.total_evaluations()
    assert tolerance is not None or e.evaluations > 0.9 * 2000


@pytest.mark.parametrize("budget", [33, 60])
def test_few_walks_of_beta_shapley_do_not_magnify_rounding(budget):
    """A player that is met at one draw alone has no slope in what draws change."""
    rng = np.random.default_rng(0)
    x, data, w = rng.normal(size=(3, 8)), rng.normal(size=(2, 8)), rng.normal(size=8)

    def f(z):
        return np.tanh((z * w).sum(axis=1)) + 0.3 * z[:, 0] * z[:, 7]

    def rounded(z):
        return f(z) + 1e-16 * rng.normal(size=len(z))

    for seed in range(12):
        given = {"method": "beta_shapley", "data": data, "budget": budget, "seed": seed}
        one, other = (xai.explain(model, x, **given).values for model in (f, rounded))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def test_a_semivalue_of_one_size_is_known_once_that_size_is(set_function):
    """Symmetric weights on the ends: nothing else is evaluated, and nothing is left to chance."""
    d = 14
    v = set_function(d)
    weights = [0.5, *[0] * (d - 2), 0.5]
    found = Semivalue(weights)(game_of(v, d), budget=100)
    np.testing.assert_allclose(found.values, slow_ends(v, d), atol=1e-10)
    assert found.std_error is None and found.evaluations == 2 * d + 2


@pytest.mark.parametrize("sizes", [[0], [1], [2, 5], [6], [0, 3], [0, 1, 2, 4, 5, 6]])
def test_a_semivalue_asks_for_the_sizes_that_have_a_weight(set_function, sizes):
    """Exact where these fit the budget, and all coalitions need not; a dummy has exactly 0."""
    d = 7
    v = set_function(d - 1, seed=2)
    p = np.zeros(d)
    for i, s in enumerate(sizes, start=1):
        p[s] = i / sum(range(1, len(sizes) + 1)) / math.comb(d - 1, s)
    needed = sum(math.comb(d, s) for s in {0, d, *sizes, *(s + 1 for s in sizes)})
    found = Semivalue(p)(game_of(lambda S: v(S[:, 1:]), d), budget=needed)
    assert found.std_error is None and found.ran == "enumeration" and found.evaluations == needed
    np.testing.assert_allclose(
        found.values, slow_semivalue(lambda S: v(S[:, 1:]), d, p), rtol=0, atol=1e-12
    )
    assert found.values[0] == 0


@pytest.mark.parametrize("method", ["occlusion", "include_one"])
def test_leaving_out_is_exact_however_it_is_written(method):
    """30 players and 5 background rows: as many model rows, and not an error of 1 %."""
    rng = np.random.default_rng(0)
    w, x, data = rng.normal(size=30), rng.normal(size=(2, 30)), rng.normal(size=(5, 30))

    def f(z):
        return np.tanh(0.2 * z @ w) + z[:, :3].prod(axis=1)

    weights = np.zeros(30)
    weights[29 if method == "occlusion" else 0] = 1
    mine = xai.Method(summary=Semivalue(weights))
    one, other = (xai.explain(f, x, m, data=data) for m in (mine, method))
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-12)
    assert one.std_error is None and one.evaluations == other.evaluations == 154


def slow_ends(v, d):
    one, rest = np.eye(d, dtype=bool), ~np.eye(d, dtype=bool)
    none, every = v(np.zeros((1, d), bool)), v(np.ones((1, d), bool))
    return (v(one) - none + every - v(rest)) / 2


def test_a_semivalue_on_one_size_covers_what_it_can(set_function):
    """All weight on the largest coalitions: a walk tells of one player; the others are unknown."""
    d = 14
    v = set_function(d)
    summary = Semivalue([*[0] * (d - 1), 1])
    exact = RemoveIndividual()(game_of(v, d)).values
    found = summary(game_of(v, d), budget=12)
    known = np.isfinite(found.values)
    assert 0 < known.sum() < d
    np.testing.assert_allclose(found.values[known], exact[known], atol=1e-12)


def test_weights_say_what_is_wrong_with_them(set_function):
    game = game_of(set_function(4), 4)
    with pytest.raises(ValueError, match="it is 8"):
        Semivalue(np.ones(4))(game)
    with pytest.raises(ValueError, match="shape"):
        Semivalue(np.ones(3))(game)
    with pytest.raises(ValueError, match="negative"):
        Semivalue([2, -1 / 3, 0, 0])(game)
    with pytest.raises(ValueError, match="finite"):
        Semivalue([np.nan, 0, 0, 0])(game)
    with pytest.raises(TypeError, match="numbers"):
        Semivalue("shapley")(game)


@pytest.mark.parametrize("alpha", [0, -1, np.inf, np.nan])
def test_beta_must_be_positive(set_function, alpha):
    with pytest.raises(ValueError, match="alpha"):
        BetaShapley(alpha, 1)(game_of(set_function(3), 3))
    with pytest.raises(TypeError, match="beta"):
        BetaShapley(1, "1")(game_of(set_function(3), 3))


# ------------------------------------------------------------------------------------- Owen values


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize(
    "groups",
    [NESTED, [[0, 1, 2], [3, 4, 5]], [[0], [1, 2], [3, 4, 5]], [[[0, 1], [2, 3]], [4, 5]],
     [[[[0, 1]], 2], [3, [4, 5]]]],
)  # fmt: skip
def test_owen_values_equal_their_definition(set_function, groups, k):
    v = set_function(6, k)
    found = Owen(groups)(game_of(v, 6), budget=2**6)
    assert found.std_error is None
    np.testing.assert_allclose(found.values, slow_owen(v, 6, groups), atol=1e-12)


@pytest.mark.parametrize(
    "groups", [None, range(6), [[i] for i in range(6)], [[0, 1, 2, 3, 4, 5]]], ids=str
)
def test_owen_values_without_groups_are_shapley_values(set_function, groups):
    v = set_function(6)
    groups = list(groups) if isinstance(groups, range) else groups
    found = Owen(groups)(game_of(v, 6))
    np.testing.assert_allclose(found.values, Shapley()(game_of(v, 6)).values, atol=1e-12)


def test_a_groups_values_sum_to_its_shapley_value_as_one_player(set_function):
    v = set_function(6)
    groups = [[0, 1, 2], [3], [4, 5]]

    def quotient(Z):
        members = np.zeros((len(Z), 6), bool)
        for player, group in enumerate(groups):
            members[:, group] = Z[:, [player]]
        return v(members)

    values = Owen(groups)(game_of(v, 6)).values
    sums = [values[group].sum() for group in groups]
    np.testing.assert_allclose(sums, Shapley()(game_of(quotient, 3)).values, atol=1e-12)


def test_only_consistent_coalitions_are_evaluated(set_function):
    """Three groups of four: 2^3 unions, and for each group 2^2 contexts times 2^4 - 2 parts."""
    v = set_function(12)
    groups = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    enough = 2**3 + 3 * 2**2 * (2**4 - 2)
    found = Owen(groups)(game_of(v, 12), budget=enough)
    assert found.std_error is None
    assert found.evaluations == v.evaluations == enough < 2**12
    assert Owen(groups)(game_of(v, 12), budget=enough - 1).std_error is not None


GROUPS_OF_12 = [[0, 1, 2, 3, 4], [5, [6, 7, 8]], [9, 10, 11]]


def test_sampled_owen_values(set_function):
    v = set_function(12, seed=1)
    summary = Owen(GROUPS_OF_12)
    exact = summary(game_of(v, 12), budget=2**12)
    assert exact.std_error is None
    found = [summary(game_of(v, 12), budget=150, seed=seed) for seed in range(150)]
    estimates = np.array([a.values for a in found])
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - exact.values) <= 4 * error)
    total = v.table[-1] - v.table[0]
    np.testing.assert_allclose(estimates.sum(axis=1), total, atol=1e-11)
    ratio = np.mean((estimates - exact.values) ** 2) / np.mean([a.std_error**2 for a in found])
    assert 0.8 < np.sqrt(ratio) < 1.25


def test_orders_keep_groups_together():
    from xai.summary.owen import _keys, _ranks, read_groups

    keys = _keys(read_groups(GROUPS_OF_12, 12, []), 12)
    ranks = _ranks(3, np.arange(500), keys)
    np.testing.assert_array_equal(np.sort(ranks, axis=1), np.tile(np.arange(12), (500, 1)))
    for group in ([0, 1, 2, 3, 4], [5, 6, 7, 8], [6, 7, 8], [9, 10, 11]):
        assert np.all(np.ptp(ranks[:, group], axis=1) == len(group) - 1)
    assert len(np.unique(ranks, axis=0)) > 450


def test_owen_groups_by_name(mixed):
    by_name = xai.explain(
        mixed.pipeline, mixed.x, "owen", data=mixed.data,
        groups=[["age", "income"], ["town", "grade"]],
    )  # fmt: skip
    by_index = xai.explain(
        mixed.pipeline, mixed.x, "owen", data=mixed.data, groups=[[0, 1], [2, 3]]
    )
    np.testing.assert_array_equal(by_name.values, by_index.values)
    plain = xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data)
    assert not np.allclose(by_name.values, plain.values)
    with pytest.raises(ValueError, match="income"):
        xai.explain(mixed.pipeline, mixed.x, "owen", data=mixed.data, groups=[["age", "incom"]])


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        ([[0, 1], [2]], ValueError, "in no group: 3"),
        ([[0, 1], [2, 3, 1]], ValueError, "more than once: 1"),
        ([[0, 1], [2, 3, 4]], ValueError, "players 0 to 3"),
        ([[0, 1], [2, -1]], ValueError, "players 0 to 3"),
        ([[0, 1], [], [2, 3]], ValueError, "empty"),
        ([[0, 1], [2, 3.0]], TypeError, "index or name"),
        ([[0, True], [2, 3]], TypeError, "index or name"),
        ("abcd", TypeError, "nested lists"),
        (3, TypeError, "nested lists"),
    ],
)
def test_groups_say_what_is_wrong_with_them(set_function, groups, error, words):
    with pytest.raises(error, match=words):
        Owen(groups)(game_of(set_function(4), 4))


# ---------------------------------------------------------- errors, over a background and without

D, M = 8, 40


def rough(x):
    """(n, 8) -> (n,): products of three and a threshold."""
    return (
        x[:, 0] * x[:, 1] * x[:, 2]
        + np.where(x[:, 3] + x[:, 4] > x[:, 5], 1.0, 0.0)
        + 0.5 * np.sin(x[:, 5] * x[:, 6])
        + np.abs(x[:, 7] - x[:, 0])
    )


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(4)
    return rng.normal(size=(1, D)) + 0.5, rng.normal(size=(M, D))


SAMPLED = {
    **SEMIVALUES,
    "owen": Owen([[0, [1, 2], 3, 4, 5], [6, 7]]),
    "k-SII": Interactions("k-SII"),
    "SII": Interactions("SII"),
    "walks": Interactions("SII", estimator="permutation"),
    "Banzhaf": Interactions("Banzhaf"),
}


def ratio_of(misses, errors):
    return np.sqrt(np.mean(np.square(misses)) / np.mean(np.square(errors)))


@pytest.mark.parametrize("budget", [400, 1500, 3400])
@pytest.mark.parametrize("name", SAMPLED)
def test_errors_over_a_background(table, name, budget):
    x, data = table
    exact = xai.explain(rough, x, summary=SAMPLED[name], data=data, budget=20_000)
    assert exact.std_error is None
    found = [
        xai.explain(rough, x, summary=SAMPLED[name], data=data, budget=budget, seed=seed)
        for seed in range(SEEDS)
    ]
    assert all(e.evaluations <= budget for e in found)
    misses = np.array([e.values - exact.values for e in found])
    assert 0.8 < ratio_of(misses, [e.std_error for e in found]) < 1.25
    if exact.interactions is not None:
        misses = off_diagonal([e.interactions - exact.interactions for e in found])
        errors = off_diagonal([e.info["interactions_std_error"] for e in found])
        # few rounds tell of the rarest differences in none: right on average over seeds and pairs
        assert 0.75 < ratio_of(misses, errors) < 1.3


@pytest.mark.parametrize("budget", [450, 900])
@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.parametrize("smooth", [True, False], ids=["smooth", "rough"])
def test_errors_of_set_functions(set_function, name, budget, smooth):
    d = 10
    if name == "owen":
        summary, budget = Owen([[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]), budget // 10
    else:
        summary = SAMPLED[name]

    def growth(Z):  # of every order: pairs find what is of order three at most without an error
        return np.exp(Z @ np.linspace(0.2, 1, d) / 2)

    game = game_of(growth if smooth else set_function(d, seed=1), d)
    exact = summary(game, budget=2**d)
    found = [summary(game, budget=budget, seed=seed) for seed in range(SEEDS)]
    misses = np.array([a.values - exact.values for a in found])
    assert 0.8 < ratio_of(misses, [a.std_error for a in found]) < 1.25
    if exact.interactions is not None:
        misses = off_diagonal([a.interactions - exact.interactions for a in found])
        errors = off_diagonal([a.info["interactions_std_error"][0, ..., 0] for a in found])
        assert 0.75 < ratio_of(misses, errors) < 1.3


@pytest.mark.parametrize("scale", [1e-6, -1e6])
@pytest.mark.parametrize(
    ("removal", "budget"), [("marginal", 400), ("marginal", 1500), ("baseline", 240)]
)
@pytest.mark.parametrize("name", SAMPLED)
def test_values_and_errors_have_the_outputs_unit(table, name, removal, budget, scale):
    x, data = table
    given = {"summary": SAMPLED[name], "removal": removal, "data": data, "budget": budget}
    one, other = (xai.explain(f, x, **given) for f in (rough, lambda z: scale * rough(z)))
    assert one.ran == other.ran
    for field in ("values", "std_error", "interactions"):
        a, b = getattr(one, field), getattr(other, field)
        if a is not None:
            a = a * (abs(scale) if field == "std_error" else scale)
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9 * abs(scale), err_msg=field)


def test_interactions_of_a_loss_take_its_means_over_draws():
    """Walks without draws of their own: a loss is of the mean prediction."""
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, 10)) + 0.5, rng.normal(size=(3, 10))

    def model(z):
        return np.tanh(z.sum(axis=1)) + rough(z)

    summary = Interactions("SII", estimator="permutation")
    given = {"y": np.array([0.7]), "data": data, "summary": summary}
    exact = xai.explain(model, x, "loss_shap", budget=4000, **given)
    found = [
        xai.explain(model, x, "loss_shap", budget=2200, seed=seed, **given) for seed in range(SEEDS)
    ]
    assert exact.std_error is None and found[0].ran == "walks and stars"
    misses = np.array([e.values - exact.values for e in found])
    assert 0.75 < ratio_of(misses, [e.std_error for e in found]) < 1.3
    misses = off_diagonal([e.interactions - exact.interactions for e in found])
    errors = off_diagonal([e.info["interactions_std_error"] for e in found])
    assert 0.75 < ratio_of(misses, errors) < 1.3


@pytest.mark.parametrize("name", SAMPLED)
def test_the_error_falls_as_the_root_of_the_budget(table, name):
    x, data = table
    exact = xai.explain(rough, x, summary=SAMPLED[name], data=data, budget=20_000).values
    budgets, errors = [400, 1200, 3400], []
    for budget in budgets:
        found = [
            xai.explain(rough, x, summary=SAMPLED[name], data=data, budget=budget, seed=seed)
            for seed in range(40)
        ]
        errors.append(np.sqrt(np.mean([(e.values - exact) ** 2 for e in found])))
    slope = np.polyfit(np.log(budgets), np.log(errors), 1)[0]
    assert slope < -0.42, f"errors {errors} at budgets {budgets}"


def test_one_round_has_an_unknown_error(set_function):
    found = Shapley(order=2, samples=1)(game_of(set_function(12), 12))
    assert np.isnan(found.std_error).all()
    assert np.isnan(found.info["interactions_std_error"]).all()
    assert np.isfinite(found.interactions).all()


@pytest.mark.parametrize("index", ["SII", "k-SII", "Banzhaf"])
def test_the_diagonal_has_the_values_errors_where_it_has_the_values(set_function, index):
    """k-SII's has what is left of a value beside its interactions, of which no error is known."""
    found = Interactions(index)(game_of(set_function(8), 8), budget=200)
    own = np.diagonal(found.interactions).T
    error = np.diagonal(found.info["interactions_std_error"][0, ..., 0])
    assert np.isfinite(found.std_error).all()
    if index == "k-SII":
        assert not np.allclose(own, found.values) and np.isnan(error).all()
    else:
        np.testing.assert_array_equal(own, found.values)
        np.testing.assert_array_equal(error, found.std_error)


def test_pairs_find_interactions_sooner_than_walks(set_function):
    """Where each coalition has one value to know, both parts of its pair are regressed."""
    d = 12
    game = game_of(lambda Z: np.tanh(Z @ np.linspace(-1, 2, d) - 2), d)
    exact = Interactions("SII")(game).interactions
    errors = []
    for estimator in ("auto", "permutation"):
        summary = Interactions("SII", estimator=estimator)
        found = [summary(game, budget=1000, seed=seed).interactions for seed in range(10)]
        errors.append(np.sqrt(np.mean(np.square(np.array(found) - exact), axis=(0, 1, 2))))
    assert errors[0] < 0.5 * errors[1]


def test_a_baseline_gives_semivalues_by_pairs(table):
    """Each coalition has one value to know: symmetric weights regress on complementary pairs."""
    x, _ = table
    walks, pairs = [], []
    settings = {"removal": Baseline(0.0), "budget": 120}
    summary = BetaShapley(1, 1)
    exact = xai.explain(rough, x, "exact_shapley", removal=Baseline(0.0)).values
    for seed in range(30):
        one = xai.explain(rough, x, "permutation_shap", seed=seed, **settings)
        two = xai.explain(rough, x, summary=summary, seed=seed, **settings)
        walks.append(one.values - exact)
        pairs.append(two.values - exact)
    assert np.std(pairs) < np.std(walks)


# -------------------------------------------------------------------------- through the front door


def test_explain_with_order_two(small, counting):
    model = counting(small.model)
    e = xai.explain(model, small.x, "shapley", order=2, data=small.data)
    assert e.std_error is None and e.evaluations == -(-model.rows // 3)
    assert e.interactions.shape == (3, 5, 5)
    plain = xai.explain(small.model, small.x, "shapley", data=small.data)
    np.testing.assert_allclose(e.values, plain.values, atol=1e-12)
    np.testing.assert_allclose(e.interactions.sum(axis=2), e.values, atol=1e-12)
    assert plain.interactions is None
    every = xai.explain(small.model, small.x, "shapley", order=2, data=small.data, target="all")
    assert every.interactions.shape == (3, 5, 5, 2)
    np.testing.assert_allclose(every.interactions.sum(axis=2), every.values, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "keywords"),
    [("shapley", {}), ("shapley", {"index": "SII"}), ("banzhaf", {}), ("loss_shap", {}),
     ("sage", {}), ("ime", {}), ("qii", {}), ("permutation_shap", {})],
)  # fmt: skip
@pytest.mark.parametrize("budget", [None, "least", "sampled"])
def test_every_kin_has_interactions(large, counting, method, keywords, budget):
    model = counting(large.model)
    given = {"y": large.y[:3]} if method in ("loss_shap", "sage") else {}
    found = {"data": large.data, "order": 2, **given, **keywords}
    if budget == "least":
        with pytest.raises(ValueError, match="budget") as error:
            xai.explain(large.model, large.x, method, budget=1, **found)
        budget = int(re.search(r"at least (\d+)", str(error.value))[1])
    budget = 4000 if budget == "sampled" else budget
    e = xai.explain(model, large.x, method, budget=budget, **found)
    n = len(e)
    assert e.interactions.shape == (n, 8, 8)
    assert e.evaluations == -(-model.rows // n)
    assert budget is None or e.evaluations <= budget
    np.testing.assert_allclose(e.interactions, e.interactions.swapaxes(1, 2), atol=1e-14)
    if keywords or method == "banzhaf":
        own = np.diagonal(e.interactions, axis1=1, axis2=2)
        np.testing.assert_array_equal(own, e.values)
    else:
        np.testing.assert_allclose(e.interactions.sum(axis=2), e.values, atol=1e-11)
    if method != "banzhaf":
        total = e.values.sum(axis=1) + e.base_values
        np.testing.assert_allclose(total, e.predictions, atol=1e-11)


@pytest.mark.parametrize("players", [1, 2, 3])
@pytest.mark.parametrize("method", ["shapley", "banzhaf", "ime"])
def test_few_players(large, method, players):
    ids = np.arange(8) % players
    e = xai.explain(large.model, large.x, method, order=2, data=large.data, players=ids, budget=260)
    assert e.interactions.shape == (3, players, players)
    assert e.evaluations <= 260
    assert np.isfinite(e.interactions).all()


@pytest.mark.parametrize("tolerance", [None, 0.3])
@pytest.mark.parametrize("keywords", [{"batch_size": 7}, {"batch_size": 200, "n_jobs": 2}])
@pytest.mark.parametrize("name", ["k-SII", "Banzhaf", "beta(1, 4)", "owen"])
def test_batches_and_threads_change_nothing(large, counting, name, keywords, tolerance):
    one, two = counting(large.model), counting(large.model)
    settings = {"data": large.data, "budget": 3000, "tolerance": tolerance}
    a = xai.explain(one, large.x, summary=SAMPLED[name], **settings)
    b = xai.explain(two, large.x, summary=SAMPLED[name], **settings, **keywords)
    assert one.rows == two.rows and a.evaluations == b.evaluations
    assert two.largest <= keywords["batch_size"]
    np.testing.assert_allclose(a.values, b.values, rtol=1e-9, atol=1e-12)
    if a.interactions is not None:
        np.testing.assert_allclose(a.interactions, b.interactions, rtol=1e-9, atol=1e-12)
        alone = xai.explain(large.model, large.x[1:2], summary=SAMPLED[name], **settings)
        np.testing.assert_allclose(a.interactions[1:2], alone.interactions, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(a.std_error[1:2], alone.std_error, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", ["k-SII", "SII", "beta(1, 4)", "beta(4, 4)", "owen"])
@pytest.mark.parametrize("removal", ["marginal", "baseline"])
def test_small_blocks_change_nothing(large, monkeypatch, name, removal):
    """Memory for few coalitions at a time: the same samples, cut elsewhere."""
    chosen = Marginal() if removal == "marginal" else Baseline(0.0)
    budget = 3000 if removal == "marginal" else 240
    settings = {"data": large.data, "removal": chosen, "budget": budget, "tolerance": 0.01}
    whole = xai.explain(large.model, large.x, summary=SAMPLED[name], **settings)
    monkeypatch.setattr("xai.game.BLOCK", 40)
    parts = xai.explain(large.model, large.x, summary=SAMPLED[name], **settings)
    assert whole.evaluations == parts.evaluations
    for field in ("values", "std_error", "interactions"):
        one, two = getattr(whole, field), getattr(parts, field)
        if one is not None:
            np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-10, err_msg=field)


def test_interactions_are_sliced_saved_and_loaded(large, tmp_path):
    e = xai.explain(large.model, large.x, "shapley", order=2, data=large.data, budget=3000)
    np.testing.assert_array_equal(e[1].interactions, e.interactions[1:2])
    errors = "interactions_std_error"
    np.testing.assert_array_equal(e[1:].info[errors], e.info[errors][1:])
    e.save(tmp_path / "e.npz")
    loaded = xai.load(tmp_path / "e.npz")
    np.testing.assert_array_equal(loaded.interactions, e.interactions)
    np.testing.assert_array_equal(loaded.info[errors], e.info[errors])


def test_rows_of_different_players_are_padded():
    x = np.arange(8.0).reshape(2, 4) + 1
    ids = np.array([[0, 1, 2, 3], [0, 0, 1, 1]])
    e = xai.explain(
        lambda z: z[:, 0] * z[:, 3], x, "shapley", order=2, players=ids, removal=Baseline(0.0)
    )
    assert e.interactions.shape == (2, 4, 4)
    assert np.isfinite(e.interactions[0]).all() and np.isfinite(e.interactions[1, :2, :2]).all()
    assert np.isnan(e.interactions[1, 2:]).all() and np.isnan(e.interactions[1, :, 2:]).all()


def test_a_model_of_pairs_has_its_interactions():
    """f = sum of a_ij x_i x_j around a zero baseline: I_ij = (a_ij + a_ji) x_i x_j, sampled too."""
    rng = np.random.default_rng(0)
    a, x = rng.normal(size=(12, 12)), rng.normal(size=(2, 12))

    def model(z):
        return np.einsum("ni,ij,nj->n", z, a, z)

    e = xai.explain(model, x, "shapley", order=2, index="SII", removal=Baseline(0.0), budget=800)
    expected = (a + a.T) * x[:, :, None] * x[:, None, :]
    np.testing.assert_allclose(off_diagonal(e.interactions), off_diagonal(expected), atol=1e-10)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("shapley", {"order": 3}, "order"),
        ("banzhaf", {"order": 0}, "order"),
        ("shapley", {"order": 2, "index": "k-SI"}, "k-SII"),
        ("shapley", {"order": 2, "index": "Banzhaf"}, "index"),
        ("shapley", {"order": 2, "samples": 0}, "samples"),
        ("shapley", {"order": 2, "estimator": "walk"}, "permutation"),
        ("shapley", {"order": 2, "samples": 30, "budget": 200}, "budget"),
        ("beta_shapley", {"samples": 0}, "samples"),
        ("owen", {"samples": 0, "groups": [[0, 1, 2, 3, 4], [5, 6, 7]]}, "samples"),
    ],
)
def test_bad_options_are_refused(large, method, options, words):
    with pytest.raises(ValueError, match=words):
        xai.explain(large.model, large.x, method, data=large.data, **options)


@pytest.mark.parametrize(
    ("given", "right"),
    [({"estimator": "permutations"}, "permutation"), ({"index": "k-SI"}, "k-SII")],
)
def test_interactions_name_the_nearest_word(set_function, given, right):
    with pytest.raises(ValueError, match=f"did you mean '{right}'"):
        Interactions(**given)(game_of(set_function(3), 3))


def test_exact_shapley_enumerates_with_interactions(large):
    e = xai.explain(large.model, large.x, "exact_shapley", order=2, data=large.data)
    assert e.std_error is None
    assert e.evaluations <= 2**8 * 20
    with pytest.raises(ValueError, match="budget"):
        xai.explain(large.model, large.x, "exact_shapley", order=2, data=large.data, budget=500)


def test_exact_interactions_enumerate_whatever_the_default():
    w = np.linspace(-1, 2, 14)  # 2^14 coalitions; the default pays for 8,192 and some
    found = Shapley("exact", order=2)(game_of(lambda Z: (Z @ w) ** 2, 14))
    assert found.std_error is None and found.evaluations == 2**14
    expected = w * w.sum() * np.eye(14) + 2 * np.outer(w, w) * (1 - np.eye(14))
    phi = w * w.sum()
    np.testing.assert_allclose(found.values, phi, atol=1e-10)
    pairs = off_diagonal(2 * found.interactions)
    np.testing.assert_allclose(pairs, off_diagonal(expected), atol=1e-10)


@pytest.mark.parametrize(
    "summary",
    [Interactions(), Shapley(order=2), Banzhaf(order=2), BetaShapley(4, 1), Owen(NESTED),
     Semivalue([0.5, 0.5])],
    ids=lambda summary: type(summary).__name__,
)  # fmt: skip
def test_a_summary_is_frozen_and_its_repr_makes_it_again(summary):
    from xai import summary as names

    assert eval(repr(summary), vars(names)) == summary
    with pytest.raises(AttributeError):
        summary.samples = 3


def test_mean_when_included_and_banzhaf_are_untouched_by_order():
    """What a summary lacks is no option of it."""
    with pytest.raises(TypeError, match="order"):
        xai.explain(lambda z: z[:, 0], np.ones((1, 3)), "mean_when_included", order=2)
    assert "order" not in MeanWhenIncluded.__dataclass_fields__
