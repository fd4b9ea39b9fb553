"""Standard errors are right, not merely wide; a tolerance is met and stops early."""

from __future__ import annotations

import numpy as np
import pytest

import xai
from xai.behavior import DatasetLoss
from xai.removal import Marginal, Uniform
from xai.summary import (
    HSIC,
    Banzhaf,
    BetaShapley,
    IncludeIndividual,
    LinearFit,
    MeanWhenIncluded,
    Shapley,
    Sobol,
)

SEEDS = 80
D, M = 8, 40  # 2^8 coalitions times 40 background rows: 10,240 model rows are all there are


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


def calibration(estimates, errors, exact):
    """RMS of (estimate - exact) / std_error over seeds and players: 1 where errors are right.

    Players whose estimate is exact (games of order two, on all draws alike) have no error.
    """
    misses, errors = np.array(estimates) - exact, np.array(errors)
    uncertain = errors.max(axis=0) > 1e-9 * np.abs(exact).max()
    np.testing.assert_allclose(misses[:, ~uncertain], 0, atol=1e-12)
    return np.sqrt(np.mean((misses[:, uncertain] / errors[:, uncertain]) ** 2))


def explained(table, method, budget, **keywords):
    x, data = table
    found = [
        xai.explain(rough, x, method, data=data, budget=budget, seed=seed, **keywords)
        for seed in range(SEEDS)
    ]
    return [e.values[0] for e in found], [e.std_error[0] for e in found]


# --------------------------------------------------------------------- right, not merely wide

# 80 seeds of some five independent players: a calibration of 1 is found within .8 to 1.25 unless
# the replicates behind an error are so few that their own noise shows.


@pytest.mark.parametrize(
    "budget", [300, 700, 1500, 8000], ids=["fewer", "as many", "more", "many more"]
)
@pytest.mark.parametrize("method", ["shapley", "permutation_shap"])
def test_walks_over_a_background(table, method, budget):
    """A pair of walks costs some 2 x 8 rows: fewer pairs than background rows, as many, more."""
    exact = xai.explain(rough, table[0], "exact_shapley", data=table[1]).values[0]
    values, errors = explained(table, method, budget)
    ratio = calibration(values, errors, exact)
    assert 0.8 < ratio < 1.25


@pytest.mark.parametrize("per_draw", [1.5, 2.1, 2.9, 3.1])
@pytest.mark.parametrize("m", [30, 60])
def test_walks_where_a_gap_of_nothing_hides_a_spread(m, per_draw):
    """Two rules that a walk passes one after the other, and no change from end to end."""

    def rules(x):
        first = (x[:, 0] > 0.5) & (x[:, 1] > 0) & (x[:, 2] > -0.5)
        second = (x[:, 3] > 0) & (x[:, 4] > 0.3) & (x[:, 5] > 0.3) & (x[:, 6] > 0)
        return first + second + 0.2 * ((x[:, 7] > 0) & (x[:, 0] > 0))

    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, D)) + 0.5, rng.normal(size=(m, D))
    exact = xai.explain(rules, x, "exact_shapley", data=data, budget=10**5).values[0]
    budget = m + 1 + 2 * (D - 1) * int(per_draw * m)
    found = [
        xai.explain(rules, x, "permutation_shap", data=data, budget=budget, seed=seed)
        for seed in range(SEEDS)
    ]
    misses = np.array([e.values[0] for e in found]) - exact
    errors = np.array([e.std_error[0] for e in found])
    assert 0.75 < np.sqrt(np.mean(misses**2) / np.mean(errors**2)) < 1.25


@pytest.mark.parametrize("budget", [500, 4000])
@pytest.mark.parametrize("method", ["kernel_shap", "banzhaf", "mean_when_included"])
def test_regressions_and_means_over_a_background(table, method, budget):
    exact = xai.explain(rough, table[0], method, data=table[1], budget=20_000)
    assert exact.std_error is None
    found = explained(table, method, budget)
    assert 0.8 < calibration(*found, exact.values[0]) < 1.25


@pytest.mark.parametrize(
    ("m", "pairs"), [(1, 5), (3, 5), (3, 12), (3, 30), (10, 5), (10, 12), (10, 40), (10, 100)]
)
@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "banzhaf", "mean_when_included"])
def test_small_backgrounds(method, m, pairs):
    """Few background rows, few or many walks over each: right on average over seeds."""
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, D)) + 0.5, rng.normal(size=(m, D))
    budget = m + 1 + pairs * 2 * D
    exact = xai.explain(rough, x, method, data=data, budget=100_000).values[0]
    values, errors = explained((x, data), method, budget)
    ratio = np.sqrt(np.mean(np.square(values - exact)) / np.mean(np.square(errors)))
    assert 0.8 < ratio < 1.25


def test_all_coalitions_once_on_one_of_many_draws():
    """As many pairs as there are, of both sizes: none is left out, and the error is of draws."""
    rng = np.random.default_rng(5)
    x, data = rng.normal(size=(1, 5)), rng.normal(size=(10, 5))

    def f(z):
        return np.tanh(z.sum(axis=1)) + z[:, :3].prod(axis=1) + (z[:, 3] > 0) * z[:, 0]

    exact = xai.explain(f, x, "exact_shapley", data=data, budget=1000).values
    given = {"method": "kernel_shap", "data": data, "budget": 11 + 2 * 15}
    found = [xai.explain(f, x, seed=seed, **given) for seed in range(2 * SEEDS)]
    misses = np.square([e.values - exact for e in found])
    assert 0.85 < np.sqrt(np.mean(misses) / np.mean([e.std_error**2 for e in found])) < 1.15


@pytest.mark.parametrize("game", ["additive", "rough"])
@pytest.mark.parametrize(("m", "budget"), [(2, 384), (2, 496), (3, 460), (4, 614)])
def test_each_coalition_once_on_one_of_few_draws(m, budget, game):
    """Neighbours may share their draw, so that the spread between them shows half of it, of two."""
    f = rough if game == "rough" else lambda x: x @ np.linspace(-1, 2, D)
    rng = np.random.default_rng(4)
    x, data = rng.normal(size=(1, D)) + 0.5, rng.normal(size=(m, D))
    exact = xai.explain(f, x, "exact_shapley", data=data, budget=100_000).values[0]
    found = [
        xai.explain(f, x, "kernel_shap", data=data, budget=budget, seed=s) for s in range(2 * SEEDS)
    ]
    misses = np.square([e.values[0] - exact for e in found])
    ratio = np.sqrt(np.mean(misses) / np.mean([e.std_error[0] ** 2 for e in found]))
    assert 0.85 < ratio < 1.15


@pytest.mark.parametrize("budget", [400, 4000])
@pytest.mark.parametrize("method", ["ime", "qii"])
def test_endless_draws(table, oracle, method, budget):
    """A multilinear model with independent columns: the exact game is the model at the means."""

    def multilinear(x):
        return x[:, 0] * x[:, 1] * x[:, 2] + x[:, 3] * x[:, 4] - x[:, 5] + x[:, 6] * x[:, 7]

    x, data = table
    means = data.mean(axis=0) if method == "qii" else (data.min(axis=0) + data.max(axis=0)) / 2
    exact = oracle.shapley(oracle.marginal_game(multilinear, x[0], means[None]), D)
    found = [
        xai.explain(multilinear, x, method, data=data, budget=budget, seed=seed)
        for seed in range(SEEDS)
    ]
    found = [e.values[0] for e in found], [e.std_error[0] for e in found]
    assert 0.8 < calibration(*found, exact) < 1.25


SUMMARIES = [
    Shapley(),
    Shapley("permutation"),
    Shapley("leverage"),
    Banzhaf(),
    MeanWhenIncluded(),
    MeanWhenIncluded(p=0.35),
    MeanWhenIncluded(p=0.8),
    LinearFit(kernel="shapley", regularizer=None),
    LinearFit(kernel=lambda Z: np.asarray(Z).mean(axis=1) + 0.1, regularizer=None),
]
IDS = [
    "Shapley",
    "walks",
    "leverage",
    "Banzhaf",
    "MeanWhenIncluded",
    "MeanWhenIncluded .35",
    "MeanWhenIncluded .8",
    "LinearFit shapley",
    "LinearFit own kernel",
]


@pytest.mark.parametrize("summary", SUMMARIES, ids=IDS)
@pytest.mark.parametrize("budget", [300, 700])
@pytest.mark.parametrize("smooth", [True, False], ids=["smooth", "rough"])
def test_set_functions(set_function, summary, budget, smooth):
    d = 10
    table = set_function(d, seed=1)

    def cube(Z):
        return (Z @ np.linspace(0.2, 1, d)) ** 3 / 10

    v = cube if smooth else table
    game = xai.Game.from_function(v, n_players=d)
    exact = summary(game, budget=2**d)
    assert exact.std_error is None
    found = [summary(game, budget=budget, seed=seed) for seed in range(SEEDS)]
    estimates, errors = [a.values for a in found], [a.std_error for a in found]
    assert 0.8 < calibration(estimates, errors, exact.values) < 1.25


@pytest.mark.parametrize("p", [0.35, 0.5, 0.8])
def test_a_mean_is_as_certain_for_the_player_that_matters_most(set_function, p):
    """Coalitions of a run are not independent, which tells where means are far from each other."""
    d, table = 10, set_function(10, seed=1)
    game = xai.Game.from_function(lambda Z: 0.5 * table(Z) + 6.0 * Z[:, 0], n_players=d)
    summary = MeanWhenIncluded(p=p)
    exact = summary(game, budget=2**d).values
    found = [summary(game, budget=200, seed=seed) for seed in range(2 * SEEDS)]
    misses = np.mean([(a.values - exact) ** 2 for a in found], axis=0)
    ratio = np.sqrt(misses / np.mean([a.std_error**2 for a in found], axis=0))
    assert 0.8 < ratio[0] < 1.25 and 0.8 < np.sqrt(np.mean(ratio[1:] ** 2)) < 1.25


@pytest.mark.parametrize("summary", SUMMARIES, ids=IDS)
@pytest.mark.parametrize("per_player", [2.5, 4, 8])
def test_few_samples(set_function, summary, per_player):
    """A few coalitions a player: the error is right on average, or NaN where it is unknown."""
    d = 12
    v = set_function(d, seed=1)
    game = xai.Game.from_function(v, n_players=d)
    exact = summary(game, budget=2**d).values
    found = [summary(game, budget=int(per_player * d), seed=seed) for seed in range(SEEDS)]
    misses = np.array([a.values for a in found]) - exact
    errors = np.array([a.std_error for a in found])
    known = np.isfinite(errors)
    if per_player == 8:
        assert known.all()
    if known.any():
        ratio = np.sqrt(np.mean(misses[known] ** 2) / np.mean(errors[known] ** 2))
        assert 0.8 < ratio < 1.25


@pytest.mark.parametrize("per_player", [1.1, 1.5, 3])
def test_a_penalised_fit_of_few_samples(per_player):
    """Ridge leaves more of the samples' noise behind than least squares does: errors allow for it.

    A penalty's bias is no error of sampling: estimates are held against their own mean.
    """
    d, w = 40, np.linspace(-1, 1, 40)
    game = xai.Game.from_function(lambda S: np.tanh(S @ w) + S[:, 0] * S[:, 1], n_players=d)
    fit = LinearFit(regularizer="ridge", alpha=1.0)
    found = [fit(game, budget=int(per_player * d), seed=seed) for seed in range(SEEDS)]
    spread = np.var([a.values for a in found], axis=0, ddof=1)
    ratio = np.sqrt(spread.mean() / np.mean([a.std_error**2 for a in found]))
    assert 0.9 < ratio < 1.1


@pytest.mark.parametrize("designs", [12, 32, 64])
def test_shares_of_a_variance_that_few_designs_hold(designs):
    """Where values are small but for a few: errors are of their size, and no share is absurd.

    Of the variance of the first masks' values alone, shares of the second game were up to 267,000.
    """
    w = np.linspace(0.2, 1, 12)
    skewed, rare = (
        xai.Game.from_function(function, n_players=12)
        for function in (
            lambda m: np.exp(4 * (m @ w)),
            lambda m: 1 / (1 + np.exp(-12 * (m @ w - 0.72 * w.sum()))),
        )
    )
    exact = Sobol(designs=2**14, scrambles=16)(skewed).values
    found = [Sobol(designs=designs)(skewed, seed=seed) for seed in range(SEEDS)]
    misses = np.array([a.values for a in found]) - exact
    ratio = np.sqrt(np.mean(misses**2) / np.mean([a.std_error**2 for a in found]))
    assert 0.8 < ratio < 1.25
    assert max(Sobol(designs=designs)(rare, seed=s).values.max() for s in range(SEEDS)) < 13


@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "banzhaf", "beta_shapley"])
def test_a_class_that_few_rows_have(method):
    """A probability near 0 almost everywhere: no value is above 1, and errors are of their size."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(100, 14))

    def rare(rows):
        z = rows[:, :3].sum(axis=1) - 0.2 * rows[:, 3:].sum(axis=1) - 4
        return 1 / (1 + np.exp(-6 * z))

    x = data[[np.argmax(rare(data))]]
    found = [
        xai.explain(rare, x, method, data=data, budget=1000, seed=seed) for seed in range(SEEDS)
    ]
    values = np.array([e.values for e in found])
    assert np.abs(values).max() < 1
    spread = values.var(axis=0, ddof=1).mean()
    assert 0.8 < np.sqrt(spread / np.mean([e.std_error**2 for e in found])) < 1.25


@pytest.mark.parametrize(
    ("method", "budget"),
    [("sage", None), ("sage", 4000), ("permutation_test", None)],
    ids=["sage, all coalitions", "sage, sampled", "permutation_test"],
)
def test_a_data_sets_error_is_over_its_rows_too(method, budget):
    """Values of a data set estimate those of the population that its rows come from."""
    rng = np.random.default_rng(8)
    population, background = rng.uniform(-1, 1, (4000, 5)), rng.uniform(-1, 1, (4, 5))

    def model(x):
        return 2 * x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + 0.5 * x[:, 3] * x[:, 4]

    y = model(population) + rng.uniform(-1, 1, 4000)
    everything = {"data": background, "budget": 10_000_000}
    exact = xai.explain(model, population, method, y=y, **everything).values[0]
    misses, errors = [], []
    for seed in range(SEEDS):
        chosen = np.random.default_rng(seed).choice(4000, 100, replace=False)
        explanation = xai.explain(
            model, population[chosen], method, y=y[chosen], data=background, budget=budget,
            seed=seed,
        )  # fmt: skip
        misses.append(explanation.values[0] - exact)
        errors.append(explanation.std_error[0])
    ratio = np.sqrt(np.mean(np.square(misses)) / np.mean(np.square(errors)))
    assert 0.8 < ratio < 1.25


def of_populations(summary, budget, *, rows=60, d=6, removal=None):
    """Misses and errors over data sets of some rows of a population, each explained as one game."""
    rng = np.random.default_rng(8)
    population, background = rng.uniform(-1, 1, (1000, d)), rng.uniform(-1, 1, (2, d))

    def model(x):
        return 2 * x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + x[:, 3] - x[:, 4] + x[:, 5:].prod(axis=1)

    y = model(population) + rng.uniform(-1, 1, 1000)
    given = {"method": "sage", "data": background, "summary": summary}
    many = None if removal is None else Uniform(-1, 1, n_draws=500)
    whole = 10**9 if not isinstance(summary, Sobol) else 10**7
    exact = xai.explain(model, population, y=y, budget=whole, removal=many, **given).values
    misses, errors = [], []
    for seed in range(SEEDS):
        some = np.random.default_rng(seed).choice(1000, rows, replace=False)
        e = xai.explain(
            model, population[some], y=y[some], budget=budget, seed=seed, removal=removal, **given
        )
        misses.append(e.values - exact)
        errors.append(e.std_error)
    return np.array(misses), np.array(errors)


@pytest.mark.parametrize(
    ("summary", "budget"),
    [
        (Banzhaf(), 3000), (Banzhaf(), 300), (Banzhaf(order=2), 3000), (MeanWhenIncluded(), 3000),
        (MeanWhenIncluded(p=0.3), 300), (Shapley("kernel"), 3000), (Shapley("kernel"), 300),
        (LinearFit(regularizer=None), 3000), (LinearFit(regularizer="ridge"), 3000),
        (LinearFit(regularizer="lasso", alpha=0.02), 3000), (IncludeIndividual(softmax=True), 1000),
        (HSIC(), 10_000), (Sobol(), 60 * 2 * 7 * 32 + 62),
    ],
    ids=str,
)  # fmt: skip
def test_what_shares_a_data_sets_rows_has_an_error_over_them_too(summary, budget):
    """Samples' spread falls with the budget, and the rows' does not: it would be a third of it."""
    misses, errors = of_populations(summary, budget)
    assert 0.8 < np.sqrt(np.mean(misses**2) / np.mean(errors**2)) < 1.25


def test_over_one_row_of_a_population_an_error_is_unknown():
    for summary in (Banzhaf(), Shapley("kernel"), LinearFit(), MeanWhenIncluded(), HSIC(), Sobol()):
        e = xai.explain(
            rough, np.ones((1, D)), "sage", y=[1.0], data=np.zeros((3, D)), summary=summary,
            budget=500,
        )  # fmt: skip
        assert np.isfinite(e.values).all() and np.isnan(e.std_error).all()


@pytest.mark.parametrize("order", [1, 2])
def test_of_samples_that_use_one_row_of_a_population_an_error_is_unknown(order):
    """Without that row nothing is left: it was an estimate of 0, or two warnings of NumPy's."""
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(4, D)), DatasetLoss(lambda y, z: z[:, 0], average="loss")
    e = xai.explain(
        rough, x, "sage", y=np.zeros(4), data=np.zeros((3, D)), behavior=mean,
        summary=Banzhaf(samples=1, order=order),
    )  # fmt: skip
    assert np.isfinite(e.values).all() and np.isnan(e.std_error).all()


@pytest.mark.parametrize("summary", [Shapley(), Banzhaf(), IncludeIndividual()], ids=repr)
def test_a_data_sets_error_is_of_the_endless_draws_that_its_rows_share_too(summary):
    """Walks told .6 of it."""
    misses, errors = of_populations(summary, 40_000, rows=50, removal=Uniform(-1, 1, n_draws=32))
    bias = misses.mean(axis=0)  # of a loss of a mean over 32 draws, which no error tells
    assert 0.8 < np.sqrt(np.mean((misses - bias) ** 2) / np.mean(errors**2)) < 1.25


def test_shares_over_rows_that_share_endless_draws_have_an_unknown_error():
    """Both parts of it would have to be told."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(9, 4)), np.array([1.0, 2.0, 0.0, -1.0])
    given = {"y": x @ w, "removal": Uniform(-1, 1, n_draws=4), "summary": Sobol(designs=8)}
    e = xai.explain(lambda z: z @ w, x, "sage", tolerance=0.5, **given)
    assert np.isfinite(e.values).all() and np.isnan(e.std_error).all()
    assert not e.converged.any()


@pytest.mark.parametrize("behavior", ["margin", xai.behavior.PredictionLoss("squared")], ids=repr)
@pytest.mark.parametrize(
    "summary",
    [
        Shapley("permutation"), Shapley("kernel"), Shapley("gp"), Shapley(order=2), Banzhaf(),
        BetaShapley(), MeanWhenIncluded(), LinearFit(regularizer=None), HSIC(),
        IncludeIndividual(softmax=True),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("budget", [1900, 3000], ids=["sampled", "enumerated"])
def test_a_losss_error_is_of_its_endless_draws_too(summary, behavior, budget):
    """All coalitions share the draws that its means are of: walks told a tenth of the error."""
    rng = np.random.default_rng(5)
    x, data, w = rng.normal(size=(2, 7)), rng.normal(size=(6, 7)), rng.normal(size=(7, 3)) / 2

    def model(z):
        e = np.exp(z @ w)
        return e / e.sum(axis=1, keepdims=True)

    found = [
        xai.explain(
            model, x, "ime", y=np.array([0, 1]), data=data, removal=Uniform(n_draws=16),
            behavior=behavior, summary=summary, budget=budget, seed=seed,
        )
        for seed in range(SEEDS // 2)
    ]  # fmt: skip
    assert not any(e.exact.any() for e in found)
    spread = np.var([e.values for e in found], axis=0, ddof=1)
    assert 0.75 < np.sqrt(spread.mean() / np.mean([e.std_error**2 for e in found])) < 1.25
    if summary == Shapley(order=2):
        pairs = np.var([e.interactions for e in found], axis=0, ddof=1)
        errors = np.array([e.info["interactions_std_error"] for e in found])
        told = np.isfinite(errors).all(axis=0)
        assert told.sum() >= 2 * 7 * 6
        assert 0.75 < np.sqrt(pairs[told].mean() / np.mean(errors[:, told] ** 2)) < 1.25


@pytest.mark.parametrize(
    ("summary", "budget"),
    [(Shapley(order=2), 3000), (Shapley(order=2), 10_000), (BetaShapley(1, 4), 10_000)],
    ids=["order 2, few", "order 2", "beta(1, 4)"],
)
def test_relatives_of_a_data_set_have_errors_over_its_rows_too(summary, budget):
    """Fewer draws of walks than pairs of data and background rows, and some visited twice."""
    rng, d = np.random.default_rng(8), 8
    population, background = rng.uniform(-1, 1, (3000, d)), rng.uniform(-1, 1, (2, d))

    def model(x):
        return 2 * x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + x[:, 3] * x[:, 4] + x[:, 5:].prod(axis=1)

    y = model(population) + rng.uniform(-1, 1, 3000)
    given = {"method": "sage", "data": background, "summary": summary}
    exact = xai.explain(model, population, y=y, budget=10**7, **given).values
    misses, errors = [], []
    for seed in range(SEEDS):
        some = np.random.default_rng(seed).choice(3000, 60, replace=False)
        e = xai.explain(model, population[some], y=y[some], budget=budget, seed=seed, **given)
        misses.append(e.values - exact)
        errors.append(e.std_error)
    assert 0.85 < np.sqrt(np.mean(np.square(misses)) / np.mean(np.square(errors))) < 1.2


# ------------------------------------------------------------------ the error falls as B^(-1/2)


@pytest.mark.parametrize("summary", SUMMARIES, ids=IDS)
def test_the_error_falls_as_the_root_of_the_budget(set_function, summary):
    d = 14
    v = set_function(d, seed=2)
    game = xai.Game.from_function(v, n_players=d)
    exact = summary(game, budget=2**d).values
    budgets = [150, 600, 2400]
    errors = [
        np.sqrt(
            np.mean(
                [
                    (summary(game, budget=budget, seed=seed).values - exact) ** 2
                    for seed in range(30)
                ]
            )
        )
        for budget in budgets
    ]
    slope = np.polyfit(np.log(budgets), np.log(errors), 1)[0]
    assert slope < -0.42, f"errors {errors} at budgets {budgets}"


@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "banzhaf", "mean_when_included"])
def test_the_error_falls_over_a_background_too(method, table):
    exact = xai.explain(rough, table[0], method, data=table[1], budget=20_000).values[0]
    budgets = [400, 1600, 6400]
    errors = []
    for budget in budgets:
        values, _ = explained(table, method, budget)
        errors.append(np.sqrt(np.mean((np.array(values) - exact) ** 2)))
    slope = np.polyfit(np.log(budgets), np.log(errors), 1)[0]
    assert slope < -0.42, f"errors {errors} at budgets {budgets}"


# ----------------------------------------------------------- None where exact, NaN where unknown


@pytest.mark.parametrize("method", ["occlusion", "include_one", "exact_shapley"])
def test_a_deterministic_answer_has_no_error(table, method):
    assert xai.explain(rough, table[0], method, data=table[1]).std_error is None


def test_one_pair_of_walks_has_an_unknown_error(set_function):
    d = 12
    attribution = Shapley()(xai.Game.from_function(set_function(d), n_players=d), budget=2 * d + 1)
    assert np.isnan(attribution.std_error).all()
    assert np.isfinite(attribution.values).all()


def test_two_pairs_of_walks_have_an_error(set_function):
    d = 12
    attribution = Shapley()(xai.Game.from_function(set_function(d), n_players=d), budget=4 * d + 2)
    assert np.isfinite(attribution.std_error).all()


def test_the_error_of_a_row_does_not_depend_on_its_neighbours(large, run, method_table):
    explanation = run(method_table["kernel_shap"], large)
    assert explanation.std_error.shape == explanation.values.shape
    assert np.all(explanation.std_error > 0)


# ------------------------------------------------------------------------------------ tolerance


def is_met(explanation, tolerance):
    """The largest standard error is at most this fraction of max - min of the values."""
    width = explanation.values.max(axis=1) - explanation.values.min(axis=1)
    return explanation.std_error.max(axis=1) <= tolerance * width


def test_converged_is_true_to_its_word(sampling_case, large, run):
    for tolerance in (0.02, 0.1, 0.5):
        explanation = run(sampling_case, large, budget=3000, tolerance=tolerance)
        assert explanation.converged.shape == (len(explanation),)
        assert explanation.converged.dtype == bool
        assert explanation.evaluations <= 3000
        np.testing.assert_array_equal(explanation.converged, is_met(explanation, tolerance))


@pytest.mark.parametrize(
    ("method", "draws", "budget", "exact"),
    [
        ("beta_shapley", M, 5000, ("beta_shapley", 20_000)),
        ("sobol", 1, 10 + 9 * 256, ("sobol", 10 + 9 * 2**14)),
        ("mean_when_included", M, 5000, ("mean_when_included", 20_000)),
        ("permutation_shap", M, 5000, ("exact_shapley", 20_000)),
    ],
)
def test_a_tolerance_that_is_met_is_no_piece_of_luck(table, method, draws, budget, exact):
    """Errors may be small by chance, told by few groups, and rows would stop there of all places.

    Over seeds no player is further off than it says, but for what chance does to 150 of them.
    """
    x, data = table[0], table[1][:draws]
    name, enough = exact
    truth = xai.explain(rough, x, name, data=data, budget=enough).values[0]
    found = [
        xai.explain(rough, x, method, data=data, budget=budget, tolerance=0.2, seed=seed)
        for seed in range(150)
    ]
    assert np.mean([e.converged[0] for e in found]) > 0.95
    misses = np.sqrt(np.mean([(e.values[0] - truth) ** 2 for e in found], axis=0))
    assert misses.max() < 0.2 * 1.15 * np.ptp(truth)


@pytest.mark.parametrize("summary", [Banzhaf(), MeanWhenIncluded()], ids=["Banzhaf", "mean"])
def test_a_tolerance_is_not_met_before_anything_has_changed(summary):
    """Nine players have to be there together: 64 pairs of coalitions most often miss it."""
    game = xai.Game.from_function(lambda Z: Z[:, :9].all(axis=1) * 1.0, 12)
    for seed in range(10):
        found = summary(game, budget=2500, tolerance=0.5, seed=seed)
        assert np.ptp(found.values) > 0 or found.evaluations > 0.9 * 2500


def test_a_loose_tolerance_stops_early(sampling_case, large, run):
    x = large.rows if sampling_case.data_set else large.x[:1]
    if sampling_case.name == "permutation_test":
        pytest.skip("its error is that of the given rows, and they are few: see below")
    budget = (
        40_000 if sampling_case.data_set else 2000 if sampling_case.name == "kernel_shap" else 4500
    )
    full = run(sampling_case, large, x=x, budget=budget)
    errors = full.std_error.max(axis=1) / np.ptp(full.values, axis=1)
    loose = run(sampling_case, large, x=x, budget=budget, tolerance=float(errors[0]) * 3)
    assert loose.converged.all()
    assert loose.evaluations < 0.6 * full.evaluations


@pytest.mark.parametrize("estimator", ["gp", "leverage", "kernel", "permutation"])
def test_a_set_functions_estimate_stops_early(set_function, estimator):
    d = 16
    v = set_function(d, seed=3)
    game = xai.Game.from_function(lambda Z: (Z @ np.arange(d) / 50) ** 3 + 0.1 * v(Z), d)
    summary = Shapley(estimator=estimator)
    full = summary(game, budget=8000)
    wanted = 3 * full.std_error.max() / np.ptp(full.values)
    loose = summary(game, budget=8000, tolerance=wanted)
    assert loose.converged.all() and loose.evaluations < 0.6 * full.evaluations
    strict = summary(game, budget=8000, tolerance=1e-9)
    assert not strict.converged.any()
    np.testing.assert_allclose(strict.values, full.values, rtol=0, atol=1e-12)


def test_a_permutation_test_stops_before_it_has_seen_all_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4))
    y = x @ [3.0, 2.0, 1.0, 0.0]

    def model(rows):
        return rows @ [3.0, 2.0, 1.0, 0.0]

    full = xai.explain(model, x, "permutation_test", y=y)
    loose = xai.explain(model, x, "permutation_test", y=y, tolerance=0.2)
    assert loose.converged.all() and loose.evaluations < 0.6 * full.evaluations
    assert np.all(np.abs(loose.values - full.values) <= 4.5 * loose.std_error)


def test_a_tolerance_out_of_reach_uses_the_budget_and_says_so(sampling_case, large, run):
    x = large.rows if sampling_case.data_set else large.x[:1]
    plain = run(sampling_case, large, x=x)
    strict = run(sampling_case, large, x=x, tolerance=1e-9)
    assert not strict.converged.any()
    assert 0.9 * plain.evaluations <= strict.evaluations <= sampling_case.budget


def test_without_a_tolerance_nothing_is_said(case, large, run):
    assert run(case, large).converged is None


def test_every_output_must_meet_the_tolerance(large, run, method_table):
    explanation = run(method_table["shapley"], large, budget=4500, tolerance=0.1, target="all")
    width = explanation.values.max(axis=1) - explanation.values.min(axis=1)
    met = (explanation.std_error.max(axis=1) <= 0.1 * width).all(axis=1)
    np.testing.assert_array_equal(explanation.converged, met)


def test_a_tolerance_is_the_same_for_every_batch_size(sampling_case, large, run):
    one, two = (
        run(sampling_case, large, tolerance=0.1, budget=3000, batch_size=size)
        for size in (50, 5000)
    )
    assert one.evaluations == two.evaluations
    np.testing.assert_allclose(one.values, two.values, rtol=1e-9, atol=1e-12)


def test_rows_stop_on_their_own_under_a_tolerance(large, run, method_table):
    """explain(x)[i] equals explain(x[i:i+1]), also where rows need different numbers of walks."""
    case = method_table["shapley"]
    together = run(case, large, tolerance=0.15, budget=4500)
    for i in range(3):
        alone = run(case, large, x=large.x[i : i + 1], tolerance=0.15, budget=4500)
        np.testing.assert_allclose(together.values[i], alone.values[0], rtol=1e-9, atol=1e-12)


def test_an_exact_answer_under_a_tolerance_has_converged(small, run, method_table):
    explanation = run(method_table["shapley"], small, budget=10_000, tolerance=0.1)
    assert explanation.std_error is None
    assert explanation.converged is None or explanation.converged.all()


@pytest.mark.parametrize("removal", [Marginal, lambda data: Uniform(data=data)])
def test_a_better_budget_gives_a_smaller_error(table, removal):
    x, data = table
    errors = [
        xai.explain(rough, x, "shapley", removal=removal(data), budget=budget).std_error.mean()
        for budget in (300, 5000)
    ]
    assert errors[1] < 0.5 * errors[0]


# ---------------------------------------------------------------------- nothing but rounding


@pytest.mark.parametrize("ends", ["both far from 0", "one of them 0"])
@pytest.mark.parametrize("budget", [230, 900, 3000])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("permutation_shap", {}),
        ("shapley", {"order": 2}),
        ("shapley", {"tolerance": 0.01}),
        ("beta_shapley", {}),
    ],
)
def test_a_spread_of_rounding_takes_no_slope(method, options, budget, ends):
    """Rows that add up to 1 are predicted alike when nothing is kept, but for the last digit.

    Adding columns in another order changes that digit, and may change no more of the answer.
    """
    rng = np.random.default_rng(1)
    x, data = 2 * rng.dirichlet(np.ones(D), size=1), rng.dirichlet(np.ones(D), size=M)

    def of_sum(s, z):
        return np.sin(5 * s) + 30 * (s - 1) * z[:, 0] * z[:, 1]

    zero = of_sum(sum(x.T), x) if ends == "one of them 0" else 0.0

    def f(z):
        return of_sum(sum(z.T), z) - zero

    def other(z):
        return of_sum(sum(z.T[::-1]), z) - zero

    one, two = (xai.explain(g, x, method, data=data, budget=budget, **options) for g in (f, other))
    assert one.evaluations == two.evaluations
    np.testing.assert_allclose(one.values, two.values, atol=1e-9)
    np.testing.assert_allclose(one.std_error, two.std_error, rtol=1e-6, atol=1e-9)
