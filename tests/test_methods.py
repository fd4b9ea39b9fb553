"""The table of methods, and what each promises that the laws do not say."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import xai
from xai import recipe
from xai.inputs import read
from xai.methods import find
from xai.removal import Baseline, Blur, BlurPyramid, Inpaint


def records():
    return {record.name: record for record in xai.methods()}


# ------------------------------------------------------------------------------------ the table


def test_every_method_has_a_row_in_the_tests_table(method_table):
    """A method that is added is added to conftest.py's table, so that every law runs over it."""
    assert set(records()) == set(method_table)


def test_the_table_prints_itself():
    printed = str(xai.methods())
    for name in records():
        assert name in printed
    assert "budget" in printed.lower()


@pytest.mark.parametrize("records", [xai.methods(), xai.metrics.names()])
def test_tables_of_records_print_within_120_columns(records):
    """Each begins a line, and none of its words is left out."""
    lines = repr(records).splitlines()
    assert max(map(len, lines)) <= 120
    names = [line.split()[0] for line in lines]
    assert [name for name in names if name in {r.name for r in records}] == [
        r.name for r in records
    ]
    shown = {"budget", "cost", "needs", "says"}
    for record in records:
        words = " ".join(text for field, text in vars(record).items() if field in shown).split()
        assert all(word in repr(records) for word in words)


def test_records_say_what_they_are_made_of(case):
    record = records()[case.name]
    for field in ("name", "removal", "behavior", "summary", "inputs", "paper"):
        assert str(getattr(record, field)), field
    assert hasattr(record, "budget")


PAPERS = {
    "occlusion": ("Marginal", "Prediction", "RemoveIndividual"),
    "include_one": ("Marginal", "Prediction", "IncludeIndividual"),
    "shapley": ("Marginal", "Prediction", "Shapley"),
    "exact_shapley": ("Marginal", "Prediction", "Shapley"),
    "permutation_shap": ("Marginal", "Prediction", "Shapley"),
    "kernel_shap": ("Marginal", "Prediction", "LinearFit"),
    "banzhaf": ("Marginal", "Prediction", "Banzhaf"),
    "beta_shapley": ("Marginal", "Prediction", "BetaShapley"),
    "owen": ("Marginal", "Prediction", "Owen"),
    "mean_when_included": ("Marginal", "Prediction", "MeanWhenIncluded"),
    "lime": (None, "Prediction", "LinearFit"),
    "sobol": ("Marginal", "Prediction", "Sobol"),
    "hsic": ("Marginal", "Prediction", "HSIC"),
    "c_lime": ("Noise", "Prediction", "LinearFit"),
    "gradient": ("Noise", "Prediction", "Gradient"),
    "gradient_x_input": ("Baseline", "Prediction", "Gradient"),
    "smoothgrad": ("Noise", "Prediction", "Gradient"),
    "squaregrad": ("Noise", "Prediction", "Gradient"),
    "vargrad": ("Noise", "Prediction", "Gradient"),
    "integrated_gradients": ("Baseline", "Prediction", "IntegratedGradient"),
    "blur_integrated_gradients": ("BlurPyramid", "Prediction", "IntegratedGradient"),
    "expected_gradients": ("Marginal", "Prediction", "Gradient"),
    "layer_integrated_gradients": ("Baseline", "Prediction", "IntegratedGradient"),
    "gradcam": ("Baseline", "Prediction", "ChannelGradient"),
    "gradcam++": ("Baseline", "Prediction", "ChannelGradient"),
    "ablation_cam": ("Baseline", "Prediction", "RemoveIndividual"),
    "score_cam": ("Baseline", "Prediction", "IncludeIndividual"),
    "deeplift": ("Baseline", "Prediction", "Propagation"),
    "lrp": ("Baseline", "Prediction", "Propagation"),
    "guided_backprop": ("Baseline", "Prediction", "Propagation"),
    "deconvnet": ("Baseline", "Prediction", "Propagation"),
    "craft": ("Baseline", "Prediction", "Sobol"),
    "permutation_test": (None, "DatasetLoss", "RemoveIndividual"),
    "loss_shap": ("Marginal", "PredictionLoss", "Shapley"),
    "sage": ("Marginal", "DatasetLoss", "Shapley"),
    "ime": ("Uniform", "Prediction", "Shapley"),
    "qii": ("ProductOfMarginals", "Prediction", "Shapley"),
}


def test_each_method_is_its_papers_triple(case, large, run):
    """Covert, Lundberg & Lee 2021, table 1."""
    removal, behavior, summary = PAPERS[case.name]
    explanation = run(case, large)
    assert explanation.method == case.name
    if removal is not None:
        assert str(explanation.removal).startswith(removal)
    assert str(explanation.behavior).startswith(behavior)
    assert str(explanation.summary).startswith(summary)


PICTURES = {
    "occlusion": (Baseline(0), "Prediction(output='auto')", "RemoveIndividual"),
    "lime": (Baseline("mean"), "Prediction(output='auto')", "LinearFit"),
    "rise": (Baseline(0), "Prediction(output='auto')", "MeanWhenIncluded"),
    "mir": (Inpaint(), "Margin(output='auto')", "MinimalSubset"),
    "meaningful_perturbation": (Blur(), "Prediction(output='probability')", "PenalizedSubset"),
    "extremal_perturbation": (BlurPyramid(), "Prediction(output='auto')", "ExtremalSubset"),
    "sobol": (Baseline(0), "Prediction(output='auto')", "Sobol"),
    "hsic": (Baseline(0), "Prediction(output='auto')", "HSIC"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_of_images_too_each_method_is_its_papers_triple(name):
    """Zeros, a default value, neighbours' values, a blur: same table; the last two Fel et al."""
    x = read(np.random.default_rng(0).random((1, 3, 16, 16)))
    found, _ = recipe.composed(find(name), x, 1, *[None] * 4, auto=False)
    removal, behavior, summary = PICTURES[name]
    assert found.removal == removal
    assert repr(found.behavior) == behavior and type(found.summary).__name__ == summary


def test_the_table_and_the_explanation_agree(case, large, run):
    record, explanation = records()[case.name], run(case, large)
    for third in ("removal", "behavior", "summary"):
        word = str(getattr(record, third)).split("(")[0]
        assert word in str(getattr(explanation, third)), third


# -------------------------------------------------------------------- Shapley by many roads


@pytest.mark.parametrize("method", ["shapley", "permutation_shap", "kernel_shap", "exact_shapley"])
def test_all_roads_to_shapley_meet(small, method):
    exact = xai.explain(small.model, small.x, "exact_shapley", data=small.data)
    other = xai.explain(small.model, small.x, method, data=small.data, budget=10_000)
    np.testing.assert_allclose(other.values, exact.values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["shapley", "permutation_shap", "kernel_shap"])
def test_sampled_shapley_values_come_near_the_exact_ones(large, method):
    exact = xai.explain(large.model, large.x, "exact_shapley", data=large.data).values
    sampled = xai.explain(large.model, large.x, method, data=large.data, budget=4000)
    error = np.abs(sampled.values - exact)
    assert np.all(error <= 6 * sampled.std_error + 1e-12)
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(exact**2))


def test_auto_is_exact_where_the_exact_answer_is_cheap(small):
    explanation = xai.explain(small.model, small.x, data=small.data)
    assert explanation.std_error is None
    exact = xai.explain(small.model, small.x, "exact_shapley", data=small.data)
    np.testing.assert_allclose(explanation.values, exact.values, atol=1e-12)


def test_auto_estimates_where_it_is_not():
    rng = np.random.default_rng(0)
    x, data = rng.normal(size=(1, 40)), rng.normal(size=(10, 40))
    explanation = xai.explain(lambda z: np.tanh(z.sum(axis=1)), x, data=data)
    assert np.isfinite(explanation.std_error).all()
    total = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(total, explanation.predictions, atol=1e-12)


# ------------------------------------------------------------------------------------------ LIME


def lime_weights(z, width):
    """exp(-distance^2 / width^2), distance over the 0/1 neighbourhood; its root, as lime's."""
    return np.sqrt(np.exp(-(1 - z).sum(axis=1) / width**2))


def test_lime_of_an_additive_model_is_the_gap_between_inside_and_outside_the_bin():
    """With columns drawn alone and a kernel that is a product over columns, the population's fit
    of sum g_j(x_j) has coefficients E[g_j | x's quartile] - E[g_j | another quartile]."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 3))
    x = np.array([[1.5, -0.2, 0.1], [-2.0, 0.4, 0.9]])

    def g(z):
        return np.stack([z[:, 0] ** 2, 3 * z[:, 1], 0 * z[:, 2]], axis=1)

    explanation = xai.explain(
        lambda z: g(z).sum(axis=1), x, "lime", data=data, budget=20_000, alpha=1e-6
    )
    cuts = np.quantile(data, [0.25, 0.5, 0.75], axis=0)
    for i in range(2):
        for j in range(3):
            bins = np.searchsorted(cuts[:, j], data[:, j])
            own = bins == np.searchsorted(cuts[:, j], x[i, j])
            parts = g(data)[:, j]
            expected = parts[own].mean() - parts[~own].mean()
            slack = 5 * explanation.std_error[i, j] + 1e-6
            assert abs(explanation.values[i, j] - expected) <= slack
    assert np.all(explanation.std_error < 0.15)


def test_lime_around_a_point_of_a_linear_model_is_its_slope(line):
    """Continuous neighbourhoods: per standard deviation of each column."""
    explanation = xai.explain(
        line.model, line.x[:2], "lime", data=line.data, discretise=False, budget=4000, alpha=1e-8
    )
    slope = line.w * line.data.std(axis=0)
    np.testing.assert_allclose(
        np.abs(explanation.values), np.tile(np.abs(slope), (2, 1)), atol=1e-4
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_limes_quartiles_of_small_integers_are_those_of_floats(dtype):
    low, high = {"int8": (-128, 127), "bool": (0, 1)}.get(dtype, (0, 255))
    x = np.array([[low + (high - low) // 3] * 3], dtype)  # left of the middle
    data = np.array([[low, low, high], [low, high, high]] * 2).astype(dtype)

    def model(z):
        return z.astype(float) @ np.array([1.0, 2.0, 3.0])

    floats = xai.explain(model, x.astype(float), "lime", data=data.astype(float))
    found = xai.explain(model, x, "lime", data=data)
    np.testing.assert_allclose(found.values, floats.values, rtol=1e-9)


def test_limes_quartiles_are_looked_up_in_all_columns_at_once(monkeypatch):
    """Some are unknown, some constant; the unknown has a bin of its own, beyond infinity."""
    rng, d, seen, calls = np.random.default_rng(0), 40, [], []
    data = np.round(rng.normal(size=(60, d)), 1)
    data[:, 0], data[:, 1] = 3.0, np.nan
    data[rng.random(data.shape) < 0.05] = np.nan
    data[5, 2], x = np.inf, data[7:8]
    w, search = rng.normal(size=d), np.searchsorted
    monkeypatch.setattr(np, "searchsorted", lambda *a, **k: calls.append(a) or search(*a, **k))

    def model(z):
        seen.append(z.copy())
        return np.tanh(np.nan_to_num(z, posinf=9.0) @ w)

    plain = {"regularizer": None, "kernel": "uniform"}
    found = xai.explain(model, x, "lime", data=data, samples=400, **plain)
    assert len(calls) < d
    z = np.concatenate(seen)
    same = np.empty(z.shape)
    for j, column in enumerate(data.T):
        known = column[~np.isnan(column)]
        cuts = np.append(np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else [], np.inf)
        same[:, j] = search(cuts, z[:, j]) == search(cuts, x[0, j])
    same, y = same - same.mean(axis=0), model(z)
    expected = np.linalg.pinv(same, rcond=1e-10) @ (y - y.mean())
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("discretise", [True, False])
def test_limes_players_may_be_columns_in_another_order(large, discretise):
    order = np.array([3, 1, 0, 2, 7, 6, 5, 4])
    plain, turned = (
        xai.explain(
            large.model, large.x, "lime", data=large.data, discretise=discretise, players=players
        ).values
        for players in (None, order)
    )
    np.testing.assert_allclose(turned[:, order], plain, rtol=1e-9, atol=1e-12)


def test_limes_groups_may_differ_from_row_to_row(large):
    ids = np.array([[0, 0, 1, 1, 2, 2, -1, -1], [2, 1, 0, 0, 0, 1, 2, 2], [0, 0, 0, 0, 1, 1, 2, 2]])
    together = xai.explain(large.model, large.x, "lime", data=large.data, players=ids).values
    for i in range(3):
        alone = xai.explain(
            large.model, large.x[i : i + 1], "lime", data=large.data, players=ids[i]
        ).values
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def half_categories():
    rng = np.random.default_rng(0)
    data = np.stack([rng.normal(size=300) * 2, rng.integers(0, 3, 300)], axis=1)
    return data, np.array([[0.5, 1.0], [-1.0, 2.0]])


def test_continuous_lime_takes_the_same_category_as_near(half_categories):
    """A narrow kernel sees only rows of x's own category, where the slope is another."""
    data, x = half_categories

    def model(z):
        return z[:, 0] * np.array([7.0, 1.0, -4.0])[z[:, 1].astype(int)]

    explanation = xai.explain(
        model, x, "lime", data=data, discretise=False, categorical=[1], width=0.15, samples=4000,
        regularizer=None,
    )  # fmt: skip
    scale = data[:, 0].std()
    np.testing.assert_allclose(explanation.values[:, 0], [scale, -4 * scale], rtol=0.02)


def test_continuous_lime_of_an_additive_model(half_categories):
    """Per standard deviation of a number, and for having x's own category, with their signs."""
    data, x = half_categories

    def model(z):
        return 3 * z[:, 0] + 5.0 * (z[:, 1] == 1)

    explanation = xai.explain(
        model, x[:1], "lime", data=data, discretise=False, categorical=[1], alpha=1e-8
    )
    np.testing.assert_allclose(explanation.values, [[3 * data[:, 0].std(), 5.0]], atol=1e-6)
    intercept = model(x[:1]) - 5.0
    np.testing.assert_allclose(explanation.info["intercept"], intercept, atol=1e-6)


@pytest.mark.parametrize("kernel", ["cosine", lambda S: np.ones(len(S))])
def test_a_kernel_of_coalitions_is_refused_where_there_are_distances(half_categories, kernel):
    data, x = half_categories
    with pytest.raises(ValueError, match="distances from x: use kernel='exponential' or 'uniform'"):
        xai.explain(
            lambda z: z[:, 0], x, "lime", data=data, discretise=False, categorical=[1],
            kernel=kernel,
        )  # fmt: skip
    xai.explain(lambda z: z[:, 0], x, "lime", data=data, kernel=kernel)  # the same bin or not


def test_lime_of_a_text_hardly_shrinks():
    """Few words, so that all coalitions are known: as near the truth as 5,000 samples come."""
    explanation = xai.explain(
        lambda texts: np.array([len(text) for text in texts], float), ["good film x"], "lime"
    )
    assert explanation.std_error is None
    np.testing.assert_allclose(explanation.values, [[5, 5, 1]], rtol=0.005)


@pytest.mark.parametrize("option", [{"p": 0.3}, {"alpha": 0.5, "regularizer": None}])
def test_an_option_of_lime_without_effect_is_refused(large, run, method_table, option):
    with pytest.raises(ValueError, match="has no effect"):
        run(method_table["lime"], large, **option)


@pytest.mark.parametrize("samples", [0, 2, 200.5, True, "abc"])
def test_a_number_of_samples_that_lime_cannot_take(large, run, method_table, samples):
    with pytest.raises(ValueError, match=f"samples={samples!r}: .* at least 3"):
        run(method_table["lime"], large, samples=samples)


def test_lime_takes_categories_by_their_frequencies(mixed):
    explanation = xai.explain(mixed.pipeline, mixed.x, "lime", data=mixed.data, target=1)
    assert explanation.values.shape == (3, 4)
    assert np.isfinite(explanation.values).all()


def test_lime_takes_no_category_for_another_that_the_background_lacks():
    """A category that is never drawn is that of x itself alone, whatever the other rows are."""
    data = np.array([["b"], ["c"]] * 20, object)
    x = np.array([["a"], ["b"]], object)

    def is_b(z):
        return (z[:, 0] == "b").astype(float)

    explanation = xai.explain(is_b, x, "lime", data=data, alpha=1e-8)
    np.testing.assert_allclose(explanation.values, [[0 - 0.5], [1.0]], atol=0.02)


def test_lime_takes_no_missing_value_for_a_large_one():
    data = np.array([[1.0], [2.0], [3.0], [4.0], [np.nan], [np.nan]] * 10)

    def model(z):
        return np.nan_to_num(z[:, 0], nan=-9.0)

    explanation = xai.explain(model, np.array([[np.nan]]), "lime", data=data, alpha=1e-8)
    np.testing.assert_allclose(explanation.values, [[-9 - 2.5]], atol=0.2)


@pytest.mark.parametrize("method", ["c_lime", "lime"])
def test_slopes_are_not_fitted_where_x_is_missing(method):
    x = np.array([[0.0, 1.0], [np.nan, 1.0]])
    data, options = np.eye(2), {"discretise": False} if method == "lime" else {}
    with pytest.raises(ValueError, match=r"row 1 .* NaN in column '0': fill it"):
        xai.explain(lambda z: np.nan_to_num(z).sum(axis=1), x, method, data=data, **options)


def test_continuous_lime_leaves_missing_background_values_out():
    data = np.array([[1.0], [np.nan], [3.0]])
    explanation = xai.explain(
        lambda z: 2 * z[:, 0], np.array([[0.0]]), "lime", data=data, discretise=False, alpha=1e-8
    )
    np.testing.assert_allclose(explanation.values, [[2 * np.nanstd(data)]], atol=1e-6)


def test_slopes_see_nothing_of_a_column_that_does_not_vary():
    """All neighbours are x's equals there: what the fit misses at x is no effect of the column."""
    data = np.random.default_rng(0).normal(size=(200, 3))
    data[:, 1] = 5.0

    def model(z):
        return 10 * np.abs(z[:, 0] - data[0, 0]) + z[:, 2]

    explanation = xai.explain(model, data[:1], "c_lime", data=data)
    np.testing.assert_allclose(explanation.values, [[0, 0, 1]], atol=0.3)
    assert explanation.values[0, 1] == pytest.approx(0, abs=1e-12)


def test_lime_reports_its_fit(large, run, method_table):
    info = run(method_table["lime"], large).info
    names = {name.lower() for name in info}
    assert "intercept" in names
    for value in info.values():
        assert len(value) == 3


def test_lime_of_series_removes_by_background_rows_as_the_other_methods_do():
    series = np.random.default_rng(0).normal(size=(6, 5, 2))
    flat = series.reshape(6, -1)

    def model(x):
        return np.sin(x.reshape(len(x), -1)).sum(axis=1)

    found = xai.explain(model, series[:2], "lime", data=series)
    again = xai.explain(model, flat[:2], "lime", data=flat, removal="marginal")
    np.testing.assert_allclose(found.values.reshape(2, -1), again.values, rtol=1e-9)
    assert "lime" in xai.choose(model, series[:2], data=series).errors
    with pytest.raises(ValueError, match=r"is for tables; of images and series remove with"):
        xai.explain(model, series[:2], "lime", data=series, removal="neighbourhood")


def test_lime_of_an_image_takes_patches():
    x = np.random.default_rng(0).random((1, 8, 8, 3))
    explanation = xai.explain(
        lambda z: z[:, :4, :4].mean(axis=(1, 2, 3)), x, "lime",
        players=xai.players.Patches(4), removal=xai.removal.Baseline(0.0),
    )  # fmt: skip
    assert explanation.values.shape == (1, 4)
    assert explanation.values[0, 0] > 10 * np.abs(explanation.values[0, 1:]).max()


# ---------------------------------------------------------------------------- data-set methods


def test_a_permutation_test_agrees_with_scikit_learn():
    """The rise of the squared loss as a column is shuffled, up to Monte Carlo."""
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = X @ [3.0, 1.0, 0.0] + rng.normal(size=200)
    model = LinearRegression().fit(X, y)
    reference = permutation_importance(
        model, X, y, scoring="neg_mean_squared_error", n_repeats=50, random_state=0
    ).importances_mean
    explanation = xai.explain(model, X, "permutation_test", y=y, data=X, budget=200_000)
    np.testing.assert_allclose(explanation.values[0], reference, rtol=0.03, atol=0.02)


def test_a_budget_leaves_a_count_of_permutations_as_it_is(cancer):
    rows = {"y": cancer.y[:20], "repeats": 3}
    given, free = (
        xai.explain(cancer.forest, cancer.x[:20], "permutation_test", budget=b, **rows)
        for b in (3000, None)
    )
    assert given.evaluations == free.evaluations == 20 * (1 + 1 + 3 * cancer.x.shape[1])
    np.testing.assert_array_equal(given.values, free.values)


def test_a_permutation_test_of_a_forest_is_the_rise_of_its_errors(cancer):
    """Breiman's measure: by default, though the forest gives some classes probability 0."""
    from sklearn.inspection import permutation_importance

    x, y = cancer.x[100:300], cancer.y[100:300]
    explanation = xai.explain(cancer.forest, x, "permutation_test", y=y, repeats=40)
    accuracy = (cancer.forest.predict(x) == y).mean()
    np.testing.assert_allclose(explanation.predictions, accuracy - 1, atol=1e-12)
    reference = permutation_importance(
        cancer.forest, x, y, scoring="accuracy", n_repeats=40, random_state=0
    ).importances_mean
    assert reference.max() > 0.05
    np.testing.assert_allclose(explanation.values[0], reference, atol=0.01)


@pytest.mark.parametrize("behavior", ["prediction", "margin", "prediction_loss"])
@pytest.mark.parametrize("data", [None, "large"])
def test_permuted_rows_have_no_explanation_of_their_own(large, behavior, data):
    """A row's partner would be another explained row, and itself where it is alone."""
    keywords = {"y": large.y, "data": None if data is None else large.data}
    with pytest.raises(ValueError, match=r"data set.*removal='marginal'.*behavior='dataset_loss'"):
        xai.explain(large.model, large.rows, "permutation_test", behavior=behavior, **keywords)


@pytest.mark.parametrize("method", ["permutation_test", "sage"])
def test_a_data_set_has_one_row_of_values(large, run, method_table, method):
    explanation = run(method_table[method], large)
    assert explanation.values.shape == (1, 8)
    assert explanation.base_values.shape == explanation.predictions.shape == (1,)
    assert len(explanation) == 1


def test_sage_of_a_useless_model_is_nothing(large, run, method_table):
    explanation = run(method_table["sage"], large, model=lambda x: np.full((len(x), 2), 0.5))
    np.testing.assert_allclose(explanation.values, 0, atol=1e-12)


# -------------------------------------------------------------------------- default budgets


def shown(formula, **numbers):
    """A budget as the table shows it, such as "8192 + 32d + m + 1", at d players, m draws."""
    formula = re.sub(r"(?<=[\w)])\s*(?=[a-z(])", "*", formula.replace("^", "**"))
    return eval(formula, {"__builtins__": {}}, numbers)


def test_the_default_budget_is_the_one_that_the_table_shows(local_case):
    """10 players with 30 background rows: too many to enumerate, so the budget is used."""
    rng = np.random.default_rng(0)
    x, data = rng.normal(size=(1, 10)), rng.normal(size=(30, 10))

    def model(z):
        s = z[:, 0] * z[:, 1] * z[:, 2] + z[:, 5]
        p = s * s / (1 + s * s)
        return np.stack([1 - p, p], axis=1)

    keywords = {"y": np.array([0])} if local_case.needs_y else {}
    explanation = xai.explain(model, x, local_case.name, data=data, **keywords)
    m = 30 if local_case.default_removal == "Marginal" else 128  # the draws of an expectation
    expected = shown(records()[local_case.name].budget, d=10, m=m)
    if local_case.samples:
        assert 0.9 * expected <= explanation.evaluations <= expected
    else:
        assert explanation.evaluations == expected


@pytest.mark.parametrize("method", ["permutation_test", "sage"])
def test_the_default_budget_of_a_data_set_is_the_one_that_the_table_shows(
    large, run, method_table, method
):
    explanation = run(method_table[method], large, budget=None)
    numbers = {"d": 8, "m": 20, "n": 12, "r": 10}
    assert explanation.evaluations <= shown(records()[method].budget, **numbers)
    if method == "permutation_test":
        assert explanation.evaluations == shown(records()[method].budget, **numbers)


@pytest.mark.parametrize("method", ["ablation_cam", "craft", "gradcam", "score_cam"])
def test_the_default_budget_inside_a_network_is_the_one_that_the_table_shows(method):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    every = torch.nn.Softplus()  # no channel is 0 everywhere, as what takes its place is
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), every, torch.nn.Flatten(), torch.nn.Linear(6 * 36, 2)
    )
    images = torch.rand(9, 1, 8, 8)
    keywords, d = {"layer": "1"}, 6
    if method == "craft":
        bank = xai.concepts.fit(net, images, layer="1", n_concepts=3)
        keywords, d = {"players": xai.players.Concepts(bank)}, 3
    explanation = xai.explain(net, images[:2], method, **keywords)
    assert explanation.evaluations == shown(records()[method].budget, d=d, m=1)


IN_LAYERS = ["ablation_cam", "score_cam", "craft"]
DIFFERENTIATED = ["gradcam", "gradcam++", "layer_integrated_gradients"]  # which texts are not


@pytest.mark.parametrize(
    ("method", "rows"),
    [(m, r) for m in IN_LAYERS + DIFFERENTIATED for r in ("table", "sequences")]
    + [(m, "texts") for m in IN_LAYERS],
)
def test_a_method_of_layers_is_not_another_one_under_its_name(method, rows):
    """Of rows that are no images Grad-CAM was the gradient, Ablation-CAM occlusion by 0."""
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.ReLU())
    x = {"table": torch.ones(2, 4), "sequences": torch.ones(2, 2, 2), "texts": ["a b", "c"]}[rows]
    model = (lambda texts: np.array([len(t) for t in texts])) if rows == "texts" else net
    with pytest.raises(ValueError, match=r"layer that sees images|concepts must be found first"):
        xai.explain(model, x, method, removal="baseline")


def test_a_method_of_layers_takes_players_inside_any_network():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    inside = xai.explain(net, torch.ones(2, 4), "ablation_cam", players=xai.players.Units("1"))
    assert inside.values.shape == (2, 3)
    for name in ("shapley", "occlusion", "lime", "sobol"):  # by 0, as in networks of images
        named = xai.explain(net, torch.ones(2, 4), name, players=xai.players.Units("1"))
        assert named.removal == "Baseline(value=0)"


# ------------------------------------------------------------------------------- the front door


@pytest.mark.parametrize(
    "before",
    ["xai.explain", "import xai.methods", "import xai.explain", "from xai.methods import Method",
     "xai.methods(); xai.explain; import xai.explain, xai.methods"],
)  # fmt: skip
def test_explain_and_methods_are_functions_whatever_was_imported_first(before):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import xai; {before}; xai.methods(); assert callable(xai.explain)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("method", "options"), [("c_lime", {}), ("lime", {"discretise": False})])
@pytest.mark.parametrize(("budget", "tolerance"), [(400, None), (130, None), (600, 0.2)])
def test_no_draw_of_a_neighbourhood_is_evaluated_twice(
    counting, large, method, options, budget, tolerance
):
    model = counting(large.model)
    e = xai.explain(
        model, large.x[:2], method, data=large.data, budget=budget, tolerance=tolerance, **options
    )
    seen = np.concatenate(model.seen)
    assert len(np.unique(seen, axis=0)) == len(seen)
    assert e.evaluations == -(-len(seen) // 2) <= budget
    whole = xai.explain(  # fewer samples are the first of many, and the empty value is the same
        large.model, large.x[:2], method, data=large.data, budget=5000, **options
    )
    np.testing.assert_allclose(e.base_values, whole.base_values, rtol=1e-12)
