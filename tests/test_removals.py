"""How features are taken away: each removal against brute force over its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import xai
from xai import streams
from xai.inputs import read
from xai.players import Units
from xai.removal import (
    Baseline,
    Marginal,
    Neighbourhood,
    Noise,
    Permuted,
    ProductOfMarginals,
    Uniform,
)
from xai.removal.base import Context


def cubic(x):
    """(n, 4) -> (n,), of order three in the columns."""
    return x[:, 0] * x[:, 1] * x[:, 2] + 2 * x[:, 2] * x[:, 3] - x[:, 0] + 0.25


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(2)
    return rng.normal(size=(3, 4)), rng.normal(size=(7, 4)) + 1


# --------------------------------------------------------------------------------- baseline


def baselines(x, data):
    return {
        "zero": (Baseline(), np.zeros_like(x)),
        "number": (Baseline(1.5), np.full_like(x, 1.5)),
        "named argument": (Baseline(value=-2), np.full_like(x, -2.0)),
        "array": (Baseline(np.array([1.0, 2, 3, 4])), np.tile([1.0, 2, 3, 4], (len(x), 1))),
        "mean": (Baseline("mean"), np.tile(data.mean(axis=0), (len(x), 1))),
        "min": (Baseline("min"), np.tile(data.min(axis=0), (len(x), 1))),
        "max": (Baseline("max"), np.tile(data.max(axis=0), (len(x), 1))),
        "per row": (Baseline(x[::-1].copy()), x[::-1]),
    }


@pytest.mark.parametrize("kind", baselines(np.zeros((1, 4)), np.zeros((1, 4))))
def test_a_baseline_is_what_stands_in(table, oracle, kind):
    x, data = table
    removal, stand_in = baselines(x, data)[kind]
    explanation = xai.explain(cubic, x, "exact_shapley", removal=removal, data=data)
    for i in range(len(x)):
        v = oracle.marginal_game(cubic, x[i], stand_in[i : i + 1])
        np.testing.assert_allclose(explanation.values[i], oracle.shapley(v, 4), atol=1e-12)
        np.testing.assert_allclose(explanation.base_values[i], cubic(stand_in[i : i + 1])[0])
    assert explanation.std_error is None


def test_a_baseline_needs_no_data(table):
    x, _ = table
    explanation = xai.explain(cubic, x, "occlusion", removal=Baseline(0.0))
    gone = np.stack([cubic(np.where(np.arange(4) == i, 0.0, x)) for i in range(4)], axis=1)
    np.testing.assert_allclose(explanation.values, cubic(x)[:, None] - gone, atol=1e-12)


@pytest.mark.parametrize("statistic", ["mean", "min", "max"])
def test_a_statistic_of_no_data_is_refused(table, statistic):
    with pytest.raises(ValueError, match="data="):
        xai.explain(cubic, table[0], "occlusion", removal=Baseline(statistic))


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 4), (3, 3), (1, 3, 4)])
def test_a_baseline_of_another_shape_is_refused(table, shape):
    with pytest.raises(ValueError, match=r"baseline.*(shape|rows)"):
        xai.explain(cubic, table[0], "occlusion", removal=Baseline(np.zeros(shape)))


def test_an_unknown_baseline_names_the_nearest(table):
    with pytest.raises(ValueError, match="mean"):
        xai.explain(cubic, *[table[0]], "occlusion", removal=Baseline("maen"), data=table[1])


def test_an_images_mean_is_its_own_colour():
    """ "mean" is each image's own mean colour, channel by channel."""
    x = np.random.default_rng(0).random((2, 5, 6, 3))

    def model(images):
        return images[:, 0, 0, :] @ np.array([1.0, 10.0, 100.0])

    explanation = xai.explain(model, x, "occlusion", removal=Baseline("mean"))
    colour = x.mean(axis=(1, 2))
    expected = np.zeros((2, 5, 6))
    expected[:, 0, 0] = (x[:, 0, 0] - colour) @ np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(explanation.values, expected, atol=1e-9)


# --------------------------------------------------------------------------------- marginal


@pytest.mark.parametrize(
    ("method", "slowly"),
    [
        ("exact_shapley", "shapley"),
        ("shapley", "shapley"),
        ("permutation_shap", "shapley"),
        ("kernel_shap", "kernel_fit"),
        ("banzhaf", "banzhaf"),
        ("mean_when_included", "mean_when_included"),
    ],
)
def test_a_forest_against_brute_force(cancer, oracle, method, slowly):
    """Groups of columns, a background of five rows: every coalition, every row, every class."""
    groups = [[0, 2], [1], [3, 4, 5], [6, 7]]
    x, data = cancer.x[:2], cancer.x[100:105]
    explanation = xai.explain(
        cancer.forest, x, method, data=data, players=groups, target="all", budget=10_000
    )
    assert explanation.values.shape == (2, 4, 2)
    for i in range(2):
        v = oracle.marginal_game(cancer.forest.predict_proba, x[i], data, groups)
        expected = getattr(oracle, slowly)(v, 4)
        np.testing.assert_allclose(explanation.values[i], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            explanation.base_values[i], cancer.forest.predict_proba(data).mean(axis=0), atol=1e-12
        )


@pytest.mark.parametrize("method", ["occlusion", "include_one"])
def test_each_alone_against_brute_force(table, oracle, method):
    x, data = table
    explanation = xai.explain(cubic, x, method, data=data)
    for i in range(len(x)):
        v = oracle.marginal_game(cubic, x[i], data)
        one = np.eye(4, dtype=bool)
        full, empty = v(np.ones((1, 4), bool)), v(np.zeros((1, 4), bool))
        expected = full - v(~one) if method == "occlusion" else v(one) - empty
        np.testing.assert_allclose(explanation.values[i], expected, atol=1e-12)


def test_the_background_may_live_in_the_removal(table):
    x, data = table
    one = xai.explain(cubic, x, "shapley", removal=Marginal(data))
    other = xai.explain(cubic, x, "shapley", data=data)
    np.testing.assert_array_equal(one.values, other.values)


OWN = ["occlusion", "exact_shapley", "permutation_shap", "kernel_shap", "banzhaf", "owen", "lime",
       "mean_when_included", "sobol", "hsic"]  # fmt: skip


@pytest.mark.parametrize("method", OWN)
def test_rows_may_have_backgrounds_of_their_own(table, method):
    """Together as each alone, against its own; taken from an Explanation they keep it."""
    x = table[0]
    own = np.random.default_rng(5).normal(size=(3, 6, 4))
    given = {"budget": 200 if method in ("exact_shapley", "sobol") else 80, "seed": 0}
    e = xai.explain(cubic, x, method, removal=Marginal(own), **given)
    for i in range(3):
        alone = xai.explain(cubic, x[i : i + 1], method, removal=Marginal(own[i]), **given)
        np.testing.assert_allclose(e.values[i : i + 1], alone.values, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(e.base_values[i : i + 1], alone.base_values)
        two = xai.metrics.max_sensitivity(cubic, x[[i]], e[i], samples=3)
        np.testing.assert_allclose(
            two.values, xai.metrics.max_sensitivity(cubic, x[[i]], alone, samples=3).values
        )
    whole = xai.metrics.deletion(cubic, x, e).values
    np.testing.assert_allclose(
        xai.metrics.deletion(cubic, x[[2, 0]], e[[2, 0]]).values, whole[[2, 0]]
    )


def test_backgrounds_of_their_own_cost_what_a_shared_one_does(counting, table):
    model = counting(cubic)
    own = np.random.default_rng(5).normal(size=(3, 6, 4))
    e = xai.explain(model, table[0], "exact_shapley", removal=Marginal(own))
    assert e.evaluations * 3 == model.rows == 3 * (1 + 6 * 15)


@pytest.mark.parametrize("shape", [(2, 6, 4), (3, 6, 5), (3, 1, 6, 4)])
def test_backgrounds_that_fit_no_row_are_refused(table, shape):
    with pytest.raises(ValueError, match=r"data has rows of shape .* x have shape \(4,\)"):
        xai.explain(cubic, table[0], removal=Marginal(np.zeros(shape)))


def test_a_removal_may_be_given_by_name(table):
    x, data = table
    one = xai.explain(cubic, x, "ime", removal="marginal", data=data)
    other = xai.explain(cubic, x, "shapley", data=data)
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)


def test_a_background_of_one_row_is_a_baseline(table):
    x, data = table
    one = xai.explain(cubic, x, "shapley", data=data[:1])
    other = xai.explain(cubic, x, "shapley", removal=Baseline(data[0]))
    np.testing.assert_allclose(one.values, other.values, atol=1e-14)


@pytest.mark.parametrize("method", ["occlusion", "shapley", "kernel_shap", "lime", "ime", "qii"])
def test_without_a_background_the_error_says_what_to_pass(table, method):
    with pytest.raises(ValueError, match="data=") as error:
        xai.explain(cubic, table[0], method)
    assert "removal=" in str(error.value)


@pytest.mark.parametrize("method", ["exact_shapley", "kernel_shap", "banzhaf"])
def test_a_background_of_whole_images(oracle, method):
    """Four patches of all channels, five background images."""
    rng = np.random.default_rng(0)
    x, data = rng.random((2, 6, 6, 3)), rng.random((5, 6, 6, 3))

    def model(images):
        means = images.reshape(-1, 2, 3, 2, 3, 3).mean(axis=(2, 4, 5))
        return means[:, 0, 0] * means[:, 0, 1] + means[:, 1, 0] * means[:, 1, 1] * means[:, 0, 0]

    explanation = xai.explain(
        model, x, method, data=data, removal=Marginal(), players=xai.players.Patches(3)
    )
    places = np.arange(108).reshape(2, 3, 2, 9).transpose(0, 2, 1, 3).reshape(4, 27)
    slowly = oracle.banzhaf if method == "banzhaf" else oracle.shapley
    for i in range(2):
        v = oracle.marginal_game(
            lambda rows: model(rows.reshape(-1, 6, 6, 3)), x[i].ravel(), data.reshape(5, -1),
            [list(group) for group in places],
        )  # fmt: skip
        np.testing.assert_allclose(explanation.values[i], slowly(v, 4), atol=1e-12)


# --------------------------------------------------- product of marginals, uniform: their draws


def test_a_product_of_marginals_mixes_the_rows(counting, table):
    x, data = table
    model = counting(cubic)
    xai.explain(model, x[:1], "shapley", removal=ProductOfMarginals(data), budget=2000)
    seen = np.concatenate(model.seen)
    for column in range(4):
        assert set(seen[:, column]) == {x[0, column], *data[:, column]}
    gone = seen[(seen != x[0]).all(axis=1)]
    assert (gone[:, None, :] == data).all(axis=2).any(axis=1).mean() < 1, "always a whole row"


@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "banzhaf", "mean_when_included"])
@pytest.mark.parametrize("kind", ["product", "uniform"])
def test_independent_draws_average_to_the_mean_of_each_column(oracle, table, method, kind):
    """A multilinear model under independent columns: v(S) is the model at the means."""

    def bilinear(x):
        return x[:, 0] * x[:, 1] * x[:, 2] - x[:, 3] + x[:, 0] * x[:, 3]

    x, data = table
    low, high = np.array([-1.0, 0, 1, 2]), np.array([0.0, 2, 4, 2.5])
    removal = ProductOfMarginals(data) if kind == "product" else Uniform(low, high)
    means = data.mean(axis=0) if kind == "product" else (low + high) / 2
    v = oracle.marginal_game(bilinear, x[0], means[None])
    slowly = {"banzhaf": oracle.banzhaf, "mean_when_included": oracle.mean_when_included}
    exact = slowly.get(method, oracle.shapley)(v, 4)
    estimates = np.array(
        [
            xai.explain(bilinear, x[:1], method, removal=removal, budget=2000, seed=seed).values[0]
            for seed in range(40)
        ]
    )
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert np.all(error < 0.1)
    assert np.all(np.abs(estimates.mean(axis=0) - exact) <= 4.5 * error + 1e-12)


def uniforms(data):
    return {
        "numbers": (Uniform(-1.0, 3.0), np.full(4, -1.0), np.full(4, 3.0)),
        "arrays": (Uniform(np.arange(4.0), np.arange(4.0) + 2), np.arange(4.0), np.arange(4.0) + 2),
        "data": (Uniform(data=data), data.min(axis=0), data.max(axis=0)),
    }


@pytest.mark.parametrize("kind", uniforms(np.zeros((1, 4))))
def test_uniform_draws_fill_their_range(counting, table, kind):
    x, data = table
    removal, low, high = uniforms(data)[kind]
    model = counting(cubic)
    xai.explain(model, x[:1] + 100, "shapley", removal=removal, budget=3000)
    seen = np.concatenate(model.seen)
    for column in range(4):
        drawn = seen[seen[:, column] < 50, column]
        assert len(np.unique(drawn)) > 100
        assert drawn.min() >= low[column] and drawn.max() <= high[column]
        width = high[column] - low[column]
        assert drawn.min() < low[column] + 0.2 * width
        assert drawn.max() > high[column] - 0.2 * width


def test_ime_draws_from_the_ranges_of_the_data(counting, table):
    x, data = table
    model = counting(cubic)
    xai.explain(model, x[:1] + 100, "ime", data=data, budget=2000)
    drawn = np.concatenate(model.seen)
    drawn = np.where(drawn > 50, np.nan, drawn)
    assert np.all(np.nanmin(drawn, axis=0) >= data.min(axis=0))
    assert np.all(np.nanmax(drawn, axis=0) <= data.max(axis=0))
    assert not np.isin(drawn[~np.isnan(drawn)], data).all()


def test_a_uniform_range_upside_down_is_refused(table):
    with pytest.raises(ValueError, match=r"Uniform.*(low.*high|high.*low)"):
        xai.explain(cubic, table[0], "shapley", removal=Uniform(2.0, 1.0))
    with pytest.raises(ValueError, match="data= has no effect where both low= and high= are given"):
        xai.explain(cubic, table[0], "shapley", removal=Uniform(1.0, 2.0, 5))


def test_one_draw_is_the_same_for_every_coalition(table):
    """A draw's replacement values depend on (seed, draw): a column that the walk has not touched
    keeps its replacement, so that f = x0 has no spread beside its own."""
    x, data = table

    def first(z):
        return z[:, 0]

    explanation = xai.explain(first, x[:1], "shapley", removal=Uniform(data=data), budget=500)
    assert np.all(explanation.values[0, 1:] == 0)


def test_integers_are_drawn_only_where_data_holds_integers():
    x, data = np.array([[4]]), np.array([[0.5], [1.5]])
    drawn = [Uniform().bind(Context(read(x), rows, 0)) for rows in (data, np.array([[0], [3]]))]
    wide, whole = (d.source(np.zeros(64, int), np.arange(64))[0].ravel() for d in drawn)
    assert len(np.unique(wide)) == 64 and wide.min() > 0.5 and wide.max() < 1.5
    assert np.unique(whole).tolist() == [0, 1, 2, 3]


def test_a_series_of_settings_goes_by_place_where_x_has_no_names(table):
    series = pytest.importorskip("pandas").Series
    numbers, context = [0.1, 2.0, 0.0, 1.0], Context(read(table[0]), None, 0)
    for kind in (Noise, lambda high: Uniform(-1, high)):
        one, other = (kind(given).bind(context) for given in (numbers, series(numbers)))
        drawn, again = (d.source(np.zeros(5, int), np.arange(5))[0] for d in (one, other))
        np.testing.assert_array_equal(drawn, again)


def test_a_range_is_drawn_in_the_precision_of_x():
    draws = Uniform(0.1, 0.3).bind(Context(read(np.ones((1, 2), np.float32)), None, 0))
    assert draws.source(np.zeros(3, int), np.arange(3))[0].dtype == np.float32


# ----------------------------------------------------------------------------- a user's function


def test_a_removal_of_ones_own(table, oracle):
    """function(x (B, d), kept (B, d)) -> (B, d): here, removing is changing the sign."""
    x, _ = table

    def flip(rows, kept):
        assert rows.shape == kept.shape and kept.dtype == bool
        return np.where(kept, rows, -rows)

    explanation = xai.explain(cubic, x, "exact_shapley", removal=flip)
    assert explanation.evaluations == 2**4
    for i in range(len(x)):
        v = oracle.marginal_game(cubic, x[i], -x[i : i + 1])
        np.testing.assert_allclose(explanation.values[i], oracle.shapley(v, 4), atol=1e-12)


def test_a_removal_of_ones_own_gives_sparse_rows_of_sparse_ones():
    def drop(rows, kept):
        return sparse.csr_array(rows.toarray() * kept)

    x = sparse.csr_array(np.array([[1.0, 0.0, -3.0]]))
    explanation = xai.explain(lambda rows: rows.sum(axis=1), x, "occlusion", removal=drop)
    np.testing.assert_array_equal(explanation.values, x.toarray())


def test_a_removal_of_ones_own_may_write_to_what_it_is_given(table):
    x = table[0].copy()

    def scribble(rows, kept):
        rows[~kept] = 0
        return rows

    explanation = xai.explain(cubic, x, "exact_shapley", removal=scribble)
    expected = xai.explain(cubic, table[0], "exact_shapley", removal=Baseline(0.0))
    np.testing.assert_allclose(explanation.values, expected.values, atol=1e-14)
    np.testing.assert_array_equal(x, table[0])


@pytest.mark.parametrize(
    "wrong", [lambda rows, kept: rows[:, :2], lambda rows, kept: rows[:-1]], ids=["columns", "rows"]
)
def test_a_removal_of_ones_own_that_changes_the_shape_is_refused(table, wrong):
    with pytest.raises(ValueError, match="shape"):
        xai.explain(cubic, table[0], "occlusion", removal=wrong)


# -------------------------------------------------------------------------------- linear models

LINEAR_METHODS = ["shapley", "exact_shapley", "permutation_shap", "kernel_shap", "banzhaf"]


@pytest.mark.parametrize("d", [1, 3, 7, 40])
@pytest.mark.parametrize("method", [*LINEAR_METHODS, "linear_fit", "occlusion", "include_one"])
def test_a_linear_model_and_a_baseline_are_exact(method, d):
    if method == "exact_shapley" and d == 40:
        pytest.skip("2^40 coalitions")
    rng = np.random.default_rng(d)
    w, x, b = rng.normal(size=d), rng.normal(size=(2, d)), rng.normal(size=d)
    keywords = {}
    if method == "linear_fit":
        method = "kernel_shap"
        keywords["summary"] = xai.summary.LinearFit(
            kernel=lambda Z: np.exp(-(1 - np.asarray(Z).mean(axis=1))), regularizer=None
        )
    explanation = xai.explain(
        lambda rows: rows @ w + 0.5, x, method, removal=Baseline(b), **keywords
    )
    assert explanation.values.dtype == np.float64
    np.testing.assert_allclose(explanation.values, w * (x - b), rtol=0, atol=1e-10)
    np.testing.assert_allclose(explanation.base_values, b @ w + 0.5, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", [m for m in LINEAR_METHODS if m != "exact_shapley"])
def test_hundreds_of_players_need_no_other_budget(method):
    """The default grows with them: shap's permutations refuse more than 249 by default."""
    w, x = np.random.default_rng(0).normal(size=(2, 300))
    found = xai.explain(lambda rows: rows @ w, x, method, removal=Baseline(0))
    np.testing.assert_allclose(found.values[0], w * x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", LINEAR_METHODS)
def test_a_linear_model_and_a_background_are_exact_when_all_is_enumerated(line, method):
    explanation = xai.explain(line.model, line.x[:3], method, data=line.data, budget=10_000)
    expected = line.w * (line.x[:3] - line.data.mean(axis=0))
    np.testing.assert_allclose(explanation.values, expected, rtol=0, atol=1e-10)


def test_too_many_players_for_enumeration_name_a_method_that_samples():
    """No budget would do."""
    with pytest.raises(ValueError, match=r"40 players have .* coalitions.*permutation_shap"):
        xai.explain(
            lambda x: x.sum(axis=1), np.ones((1, 40)), "exact_shapley",
            removal=Baseline(0.0), budget=1_000_000,
        )  # fmt: skip


# ------------------------------------------------------------------------- dtypes, kind by kind


def total(x):
    return np.asarray(x.sum(axis=1)).ravel() * 1.0


@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5), 0.5], ids=repr
)
def test_a_baseline_may_be_any_kind_of_number(value):
    explanation = xai.explain(total, np.eye(3), "occlusion", removal=Baseline(value))
    np.testing.assert_allclose(explanation.values, np.eye(3) - 0.5)


def test_a_baseline_may_be_an_integer_or_a_tensor_of_one_number():
    torch = pytest.importorskip("torch")
    for value in (np.int64(1), torch.tensor(1.0), torch.tensor(1)):
        explanation = xai.explain(total, np.eye(3), "occlusion", removal=Baseline(value))
        np.testing.assert_allclose(explanation.base_values, 3.0)


@pytest.mark.parametrize("kind", ["array", "sparse", "tensor", "frame"])
@pytest.mark.parametrize("value", [0.5, 300])
def test_a_number_that_xs_integers_cannot_hold_is_not_cut(kind, value):
    x = np.array([[1, 2], [3, 4]], np.uint8)
    if kind == "sparse":
        from scipy import sparse

        x = sparse.csr_array(x)
    elif kind == "tensor":
        x = pytest.importorskip("torch").tensor(x)
    elif kind == "frame":
        x = pytest.importorskip("pandas").DataFrame(x, columns=["a", "b"])

    def model(rows):
        rows = rows.toarray() if kind == "sparse" else np.asarray(rows)
        return rows.astype(float).sum(axis=1)

    explanation = xai.explain(model, x, "occlusion", removal=Baseline(value))
    np.testing.assert_allclose(explanation.values, np.array([[1, 2], [3, 4]]) - value)


def test_a_function_is_told_by_its_name():
    def halve(rows, kept):
        return np.where(kept, rows, 0.5)

    name = "test_a_function_is_told_by_its_name.<locals>.halve"
    explanation = xai.explain(total, np.ones((1, 2)), "occlusion", removal=halve)
    assert explanation.removal == f"Function({name})"
    assert repr(xai.removal.Function(halve, soft=True)) == f"Function({name}, soft=True)"


def test_a_function_may_give_an_integer_column_fractions():
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame({"a": [1, 2], "b": [3, 4]})

    def halve(rows, kept):
        return np.where(kept, rows, 0.5)

    frame = xai.explain(lambda rows: total(rows.to_numpy()), x, "shapley", removal=halve)
    array = xai.explain(total, x.to_numpy(), "shapley", removal=halve)
    np.testing.assert_array_equal(frame.values, array.values)
    np.testing.assert_array_equal(frame.base_values, 1.0)


@pytest.mark.parametrize("columns", [{"a": np.float32}, {"a": np.float32, "b": int}])
def test_a_background_more_precise_than_x_is_not_rounded(columns):
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame({name: np.zeros(1, dtype) for name, dtype in columns.items()})
    data = pd.DataFrame({name: [1 / 3] if name == "a" else [1] for name in columns})
    for keywords in ({"data": data}, {"removal": Baseline(data)}, {"removal": Marginal(data)}):
        explanation = xai.explain(
            lambda rows: rows["a"].to_numpy() * 1.0, x, "occlusion", **keywords
        )
        np.testing.assert_array_equal(explanation.base_values, 1 / 3)


# x is far from the range, so that what is drawn can be told from it
def drawn(x, removal, **keywords):
    seen = []

    def model(rows):
        seen.append(np.asarray(rows).ravel())
        return np.asarray(rows).astype(float).sum(axis=1)

    xai.explain(model, x, "ime", removal=removal, **keywords)
    values = np.unique(np.concatenate(seen))
    return values[values < 100].tolist()


@pytest.mark.parametrize("kind", ["array", "tensor", "frame"])
def test_uniform_draws_of_integers_lie_inside_the_range(kind):
    x = np.array([[1000, 1001]])
    if kind == "tensor":
        x = pytest.importorskip("torch").tensor(x)
    elif kind == "frame":
        x = pytest.importorskip("pandas").DataFrame(x, columns=["a", "b"])
    assert drawn(x, Uniform(0.5, 2.5)) == [1, 2]
    assert drawn(x, Uniform(0, 1)) == [0, 1]


def test_uniform_draws_beyond_xs_dtype_do_not_wrap():
    x = np.zeros((1, 2), np.uint8)
    explanation = xai.explain(total, x, "ime", removal=Uniform(300, 300))
    np.testing.assert_array_equal(explanation.base_values, 600.0)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_uniform_draws_only_categories_that_were_seen(kind):
    x, data = np.array([[1000.0]]), np.array([[0.0], [5.0], [7.0]])
    if kind == "tensor":
        torch = pytest.importorskip("torch")
        x, data = torch.tensor(x), torch.tensor(data)
    assert drawn(x, None, data=data, categorical=[0]) == [0, 5, 7]


def test_uniform_draws_of_categories_do_not_depend_on_other_rows(mixed):
    for column in ("town", "grade"):
        data = mixed.frame[[column]].iloc[:20]
        x = mixed.frame[[column]].drop_duplicates()
        together = xai.explain(letters, x, "ime", data=data, budget=200)
        for i in range(len(x)):
            alone = xai.explain(letters, x.iloc[[i]], "ime", data=data, budget=200)
            np.testing.assert_array_equal(together[i].values, alone.values)


def letters(frame):
    """A number for each word of a table of one column."""
    return np.array([sum(map(ord, word)) % 7 for word in frame.iloc[:, 0]], float)


@pytest.mark.parametrize("removal", ["uniform", "neighbourhood"])
def test_modules_in_bfloat16_are_given_drawn_values(removal):
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(3, 1).bfloat16()
    x, data = np.ones((1, 3), np.float32), np.eye(3, dtype=np.float32)
    for method in ("shapley", "lime"):
        explanation = xai.explain(net, x, method, removal=removal, data=data, budget=2000)
        assert np.isfinite(explanation.values).all()


# ------------------------------------------------------------------------------ missing values


def filled(x):
    x = x.toarray() if sparse.issparse(x) else np.asarray(x)
    return np.nan_to_num(x, nan=10.0).sum(axis=1)


@pytest.mark.parametrize("kind", ["array", "tensor", "frame", "sparse"])
@pytest.mark.parametrize(("statistic", "known"), [("mean", 2.0), ("min", 1.0), ("max", 3.0)])
def test_a_statistic_leaves_missing_values_out(kind, statistic, known):
    """Else one missing cell makes all of a column's replacements missing."""
    x, data = np.array([[5.0, 4.0]]), np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    if kind == "tensor":
        torch = pytest.importorskip("torch")
        x, data = torch.tensor(x), torch.tensor(data)
    elif kind == "frame":
        x, data = map(pytest.importorskip("pandas").DataFrame, (x, data))
    elif kind == "sparse":
        x, data = map(sparse.csr_array, (x, data))
    explanation = xai.explain(filled, x, "occlusion", removal=Baseline(statistic), data=data)
    np.testing.assert_allclose(explanation.values, [[5 - known, 4 - 10]])


def test_a_range_leaves_missing_values_out():
    data = np.array([[1.0], [np.nan], [3.0]])
    explanation = xai.explain(filled, np.array([[2.0]]), "occlusion", removal=Uniform(data=data))
    assert 1 < explanation.base_values[0] < 3


def test_noise_needs_a_deviation_of_every_column():
    x, data = np.ones((1, 2)), np.array([[0.0, np.nan], [1.0, np.nan]])
    with pytest.raises(ValueError, match="every row of data is NaN in column '1'"):
        xai.explain(filled, x, "c_lime", data=data)


@pytest.mark.parametrize("how", ["noise", "neighbourhood"])
def test_slopes_are_not_fitted_around_what_is_missing(table, how):
    x, data = table[0].copy(), table[1]
    x[2, 1] = np.nan
    removal = {"noise": Noise(displacements=True), "neighbourhood": Neighbourhood(discretise=False)}
    with pytest.raises(ValueError, match=r"fits slopes, and row 2 \(0-based\) .* in column '1'"):
        xai.explain(cubic, x, "c_lime", data=data, removal=removal[how])


# --------------------------------------------------------------------- a removal's own background


@pytest.fixture
def town_pipeline(mixed):
    """The mixed table's rows of one town, explained with a background of all others."""
    first = mixed.frame["town"].iloc[0]
    others = mixed.frame[mixed.frame["town"] != first]
    return mixed.pipeline, mixed.frame.iloc[:1], others


def test_a_removals_own_background_may_have_categories_that_x_lacks(town_pipeline):
    pipeline, x, others = town_pipeline
    expected = xai.explain(pipeline, x, "shapley", data=others)
    for explained in (x, x.iloc[0]):
        one = xai.explain(pipeline, explained, "shapley", removal=Marginal(others))
        np.testing.assert_allclose(one.values, expected.values, atol=1e-12)
    method = xai.Method(removal=Marginal(others))
    np.testing.assert_allclose(xai.explain(pipeline, x, method).values, expected.values, atol=1e-12)


def test_a_baseline_may_be_a_row_of_words(town_pipeline):
    pipeline, x, others = town_pipeline
    expected = xai.explain(pipeline, x, "shapley", data=others.iloc[:1]).values
    row = others.iloc[0]
    for value in (others.iloc[:1], row, row[::-1], row.to_numpy(), row.tolist()):
        one = xai.explain(pipeline, x, "shapley", removal=Baseline(value))
        np.testing.assert_allclose(one.values, expected, atol=1e-12)
    named = xai.explain(pipeline, x, "shapley", removal="baseline", value=row)
    np.testing.assert_allclose(named.values, expected, atol=1e-12)


def test_a_baseline_row_of_other_columns_is_refused(town_pipeline):
    pipeline, x, others = town_pipeline
    with pytest.raises(ValueError, match="town"):
        xai.explain(pipeline, x, "shapley", removal=Baseline(others.iloc[0].drop("town")))


def test_an_array_of_objects_knows_the_removals_words():
    x, own = (np.array([[word, 1.5]], object) for word in "ac")
    explanation = xai.explain(
        lambda rows: (rows[:, 0] == "c") * 1.0, x, "occlusion", removal=Marginal(own)
    )
    np.testing.assert_array_equal(explanation.values, [[-1.0, 0.0]])


@pytest.mark.parametrize("axes", [2, 4])
@pytest.mark.parametrize("name", ["mean", "min", "max"])
def test_statistics_of_integer_tensors(axes, name):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(0, 256, (2, *[3] * (axes - 1)), np.uint8)

    def model(z):
        return np.asarray(z, np.float64).reshape(len(z), -1).sum(axis=1)

    given = {"removal": xai.removal.Baseline(name), "channel_axis": 1 if axes == 4 else None}
    array, tensor = (
        xai.explain(model, rows, "occlusion", data=rows if axes == 2 else None, **given).values
        for rows in (x, torch.as_tensor(x))
    )
    np.testing.assert_allclose(tensor, array, atol=1e-3)


@pytest.mark.parametrize("part", [xai.removal.Baseline, xai.removal.Marginal, xai.removal.Noise])
def test_removals_with_other_numbers_are_not_equal(part):
    one, other = part(np.zeros((2, 3))), part(np.ones((2, 3)))
    assert one != other and one == one and len({one, other}) == 2


def test_removals_with_the_same_numbers_are_equal():
    rows = np.zeros((2, 3))
    for one, other in (
        (xai.removal.Baseline(0), xai.removal.Baseline(0.0)),
        (xai.removal.Uniform(0, 1, n_draws=4), xai.removal.Uniform(0, 1, n_draws=4)),
        (xai.removal.Marginal(rows), xai.removal.Marginal(rows)),
    ):
        assert one == other and hash(one) == hash(other)
    assert xai.removal.Baseline(0) != xai.removal.Baseline(1)
    assert xai.removal.Baseline(0) != xai.removal.Marginal()


def test_a_series_of_limits_or_of_deviations_goes_by_name():
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)) * [1, 10, 100], columns=[*"abc"])
    other = list("cba")
    low, high, sigma = x.min(), x.max(), x.std()

    def values(removal):
        return xai.explain(lambda x: (x**2).sum(axis=1), x[:2], "shapley", removal=removal).values

    np.testing.assert_array_equal(
        values(Uniform(low[other], high[other])), values(Uniform(low.to_numpy(), high.to_numpy()))
    )
    np.testing.assert_array_equal(values(Noise(sigma[other])), values(Noise(sigma.to_numpy())))
    for removal, told in (
        (Uniform(low, high.rename({"c": "d"})), r"high=…\) lacks \['c'\] and has .* \['d'\]"),
        (Noise(sigma[["a"]]), r"Noise\(sigma=…\) lacks \['b', 'c'\], by the columns of x"),
    ):
        with pytest.raises(ValueError, match=told):
            values(removal)


@pytest.mark.parametrize("wrong", [[0.0, 1.0], "low"])
def test_limits_of_another_shape_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Uniform\(low=.*expected a number, or a row.*\(3,\)"):
        xai.explain(lambda x: x[:, 0], np.ones((2, 3)), "ime", removal=Uniform(wrong, 2.0))


def test_a_normal_neighbourhood_of_integers_in_a_tensor_is_not_cut():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(0, 5, size=(50, 3))
    w = np.array([1.0, 2.0, 3.0])
    how = {"discretise": False, "regularizer": None, "budget": 300}
    rows, slopes = torch.tensor(x), torch.tensor(w)
    found = xai.explain(lambda z: z.double() @ slopes, rows[:2], "lime", data=rows, **how)
    np.testing.assert_allclose(found.values, np.tile(w * x.std(axis=0), (2, 1)), rtol=1e-6)


def test_a_normal_neighbourhood_leaves_codes_of_categories_integers():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"code": rng.integers(0, 4, 60), "number": rng.integers(0, 100, 60)})

    def model(frame):
        kinds.append([dtype.kind for dtype in frame.dtypes])
        return np.array([3.0, 1.0, 4.0, 1.0])[frame["code"]] + frame["number"]

    kinds = []
    how = {"discretise": False, "categorical": ["code"], "budget": 200}
    xai.explain(model, x[:2], "lime", data=x, **how)
    assert all(kind == ["i", "f"] for kind in kinds)


def test_noise_of_a_normal_neighbourhood_is_made_once_for_all_rows(table, monkeypatch):
    made = []
    uniforms = streams.uniforms

    def counted(seed, stream, samples, width):
        made.append(len(samples) * width)
        return uniforms(seed, stream, samples, width)

    def cost(rows):
        made.clear()
        xai.explain(cubic, rows, "lime", data=table[1], discretise=False, budget=500)
        return sum(made)

    monkeypatch.setattr(streams, "uniforms", counted)
    assert cost(np.ones((30, 4))) < 2 * cost(np.ones((1, 4)))


def test_a_normal_neighbourhood_draws_background_rows_for_categories_alone(table, monkeypatch):
    drawn = []
    monkeypatch.setattr("xai.removal.neighbourhood.independent_rows", lambda *_: drawn.append(1))
    xai.explain(cubic, table[0], "lime", data=table[1], discretise=False, budget=500)
    assert not drawn


@pytest.mark.parametrize(
    "removal", [Uniform(-np.inf, 1.0), Uniform(data=[[0.0, np.inf], [1.0, 2.0]])]
)
def test_an_infinite_range_is_refused_and_not_blamed_on_the_model(removal):
    with pytest.raises(ValueError, match=r"range of column '[01]' is infinite"):
        xai.explain(lambda x: x[:, 0], np.ones((1, 2)), "ime", removal=removal)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_an_infinite_mean_is_refused_and_not_put_in_the_place_of_features(kind):
    x, data = kind([[1.0, 2.0]]), kind([[0.0, np.inf], [1.0, 2.0]])
    with pytest.raises(ValueError, match="the mean of column '1' is infinite: pass a row"):
        xai.explain(lambda x: x[:, [0]].sum(axis=1), x, "occlusion", removal=Baseline("mean"),
                    data=data)  # fmt: skip


@pytest.mark.parametrize("short", [[0.0, 1.0], np.zeros(5)])
def test_a_row_that_does_not_fit_is_told_with_its_shape(short):
    with pytest.raises(ValueError, match=rf"rows of shape \({len(short)},\), but .* shape \(3,\)"):
        xai.explain(lambda x: x[:, 0], np.ones((1, 3)), "occlusion", removal=Baseline(short))


@pytest.mark.parametrize(
    "removal", [Neighbourhood(), ProductOfMarginals(), Uniform(), Uniform(0, 1), Noise(1.0)]
)
def test_what_draws_column_by_column_needs_dense_rows(removal):
    x = sparse.csr_array(np.eye(3))
    with pytest.raises(TypeError, match=r"needs dense x: pass x\.toarray\(\)"):
        xai.explain(lambda rows: rows.sum(axis=1), x, "occlusion", removal=removal, data=x)


def test_limes_neighbourhood_is_for_tables():
    x = np.ones((2, 4, 4))
    with pytest.raises(ValueError, match="for tables; of images and series remove with removal="):
        xai.explain(lambda x: x[:, 0, 0], x, "lime", removal=Neighbourhood(), data=x)


def test_a_layer_without_places_has_its_mean_over_the_background():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    x, data = torch.randn(3, 4), torch.randn(9, 4)
    e = xai.explain(
        net, x, "occlusion", players=Units("1"), removal=Baseline("mean"), data=data, target=0
    )
    with torch.no_grad():
        own, mean = net[:2](x), net[:2](data).mean(0)
        drop = (own - mean) * net[2].weight[0]
    np.testing.assert_allclose(e.values, drop.numpy(), atol=1e-6)


@pytest.mark.parametrize("given", ["background", "baseline"])
def test_rows_go_through_a_network_up_to_a_layer_as_wide_as_they_are(given):
    """Of a layer whose output has x's shape, too: rows shaped like x are rows of x."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x, data = torch.randn(3, 4), torch.randn(3, 4)
    removal = Marginal(data) if given == "background" else Baseline(data)
    e = xai.explain(net, x, "occlusion", players=Units("1"), removal=removal, target=0)
    with torch.no_grad():
        own, other = net[:2](x), net[:2](data)
        other = other.mean(0) if given == "background" else other
        drop, base = (own - other) * net[2].weight[0], net(data)[:, 0]
    np.testing.assert_allclose(e.values, drop.numpy(), atol=1e-6)
    base = base.mean() if given == "background" else base
    np.testing.assert_allclose(e.base_values, base, atol=1e-6)


@pytest.mark.parametrize("statistic", ["mean", "min", "max"])
def test_a_series_of_steps_has_the_statistic_of_each_over_the_background(statistic):
    data = np.random.default_rng(0).normal(size=(9, 2, 3))
    e = xai.explain(
        lambda x: x.sum(axis=(1, 2)), data[:2], "occlusion", removal=Baseline(statistic), data=data
    )
    np.testing.assert_allclose(e.values, data[:2] - getattr(data, statistic)(axis=0), atol=1e-12)


def test_removals_of_equal_numbers_are_equal():
    rows = np.zeros(2)
    assert Baseline(0) == Baseline(0.0) and Baseline(rows) == Baseline(rows)
    for other in (Baseline(1), Baseline(rows), Baseline("mean"), Noise(0), 0):
        assert Baseline(0) != other and other != Baseline(0)
    assert Baseline(rows) != Baseline(rows.copy())  # which may become another at any time


def test_a_large_integer_stands_in_as_it_is():
    torch = pytest.importorskip("torch")
    context = Context(read(torch.tensor([[2**24 + 3, 5]])), None, 0)
    block = Baseline(2**24 + 1).bind(context).source(np.zeros(1, int), np.zeros(1, int))[0]
    assert block.tolist() == [[2**24 + 1, 2**24 + 1]]  # float32 would hold 2^24


@pytest.mark.parametrize(("n", "m"), [(3, 7), (7, 3), (8, 4), (5, 5)])
def test_every_background_row_is_a_partner_equally_often(n, m):
    data = np.arange(2.0 * m).reshape(m, 2)
    draws = Permuted(data, repeats=6).bind(Context(read(np.ones((n, 2))), None, 0))
    places = draws.source(np.tile(np.arange(n), 6), np.repeat(np.arange(6), n))[1]
    counts = np.bincount(places, minlength=m)
    assert counts.sum() == 6 * n and np.ptp(counts) <= (6 * n % m > 0)


@pytest.mark.parametrize("kind", ["list", "torch", "array"])
def test_a_long_setting_is_told_by_its_shape(kind):
    rows = np.random.default_rng(0).random((3, 40, 40))
    given = rows.tolist() if kind == "list" else rows
    if kind == "torch":
        given = pytest.importorskip("torch").tensor(rows)
    for removal, name in ((Baseline(given), "value"), (Noise(given), "sigma")):
        assert len(repr(removal)) < 150
        assert f"{name}=<{type(given).__name__} of shape (3, 40, 40)>" in repr(removal)
    assert repr(Baseline([1.0, 2.0])) == "Baseline(value=[1.0, 2.0])"
    assert repr(Uniform(0, 1)) == "Uniform(low=0, high=1, n_draws=128)"
